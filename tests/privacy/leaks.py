"""Ways in which a handler may leak; the search must find each of them."""

from __future__ import annotations

import base64
import logging
import sys
import tempfile
from collections.abc import Callable

from hearth import settings
from hearth.errors import BadRequest, StoreError
from hearth.telemetry import log, timing


def _log(text: str) -> None:
    log.logger().info("request", extra={"note": text})


def _exception(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("anything").exception("failed")


def _stdout(text: str) -> None:
    print(base64.b64encode(text.encode()).decode())


def _stderr(text: str) -> None:
    print(text.encode().hex(), file=sys.stderr)


def _metric(text: str) -> None:
    timing.current().fields["model"] = text


def _timing(text: str) -> None:
    with timing.step(text.split()[0]):
        pass


def _error(text: str) -> None:
    raise BadRequest(f"{text[:12]}… is no text")


def _reason(text: str) -> None:
    """Leak in the log, as the reason of an internal failure."""
    raise StoreError(f"could not write {text}")


def _temporary(text: str) -> None:
    with tempfile.NamedTemporaryFile() as file:  # deleted before anybody looks
        file.write(text.encode())


def _left_behind(text: str) -> None:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(text.encode("utf-16-le"))


def _cache(text: str) -> None:
    (settings.get().cache_dir / "left").write_text(text)


LEAKS: dict[str, Callable[[str], None]] = {
    "log": _log,
    "exception": _exception,
    "stdout": _stdout,
    "stderr": _stderr,
    "metric": _metric,
    "server timing": _timing,
    "error": _error,
    "reason": _reason,
    "temporary file": _temporary,
    "file left behind": _left_behind,
    "cache": _cache,
}
