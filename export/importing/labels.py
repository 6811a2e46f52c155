"""Names that the user gives: of labels or columns."""

from __future__ import annotations

import json
from pathlib import Path

from hearth_build.data.datasets import DataError


def read_names(text: str) -> list[str]:
    """The names in a file, one per line or as JSON, or names separated by commas. Raises DataError.

    A JSON object numbers its names.
    """
    path = Path(text)
    if not path.is_file() and "," in text:
        return [name.strip() for name in text.split(",")]
    try:
        content = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            document = json.loads(content)
            if isinstance(document, dict):
                document = [document[key] for key in sorted(document, key=int)]
            return list(map(str, document))
        return [line.strip() for line in content.splitlines() if line.strip()]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{text} cannot be read ({error}); it must have one name per line, or be a JSON list."
        ) from None
