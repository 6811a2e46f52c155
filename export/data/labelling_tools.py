"""Items as labelling tools export them, as rows: without those that nobody labelled, skipped or rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ANSWERS = frozenset({"accept", "reject", "ignore"})
"""What Prodigy's `answer` says of each item."""


def labelled_rows(items: Sequence[Any]) -> list[Any]:
    """The items of Label Studio and of Prodigy as rows; others as they are."""
    if items and all(isinstance(item, dict) and item.get("answer") in ANSWERS for item in items):
        return prodigy_rows(items)
    rows = [label_studio_row(item) if is_label_studio(item) else item for item in items]
    return [without_choices(row) for row in rows if row is not None]


def prodigy_rows(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Accepted items, with the accepted options as `label`. Where a single label is asked for, a rejected item has the
    label `not LABEL`.
    """
    labels = {item["label"] for item in items if isinstance(item.get("label"), str)}
    rows = []
    for item in items:
        row = {name: value for name, value in item.items() if name not in ("answer", "options")}
        if isinstance(row.get("accept"), list):
            row["label"] = row.pop("accept")
        if item["answer"] == "accept":
            rows.append(row)
        elif item["answer"] == "reject" and len(labels) == 1 and isinstance(item.get("label"), str):
            rows.append({**row, "label": f"not {item['label']}"})
    return rows


def is_label_studio(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("annotations"), list) and isinstance(item.get("data"), dict)


def label_studio_row(item: dict[str, Any]) -> dict[str, Any] | None:
    """The data of an item, and what its first annotation has: spans, and answers by control; None without one."""
    entries = (entry for entry in item["annotations"] if isinstance(entry, dict))
    annotation = next((entry for entry in entries if not entry.get("was_cancelled")), None)
    if annotation is None:
        return None
    chosen: dict[str, list[Any]] = {}
    for result in annotation.get("result", ()):
        value, kind = result.get("value", {}), result.get("type", "")
        if "start" in value:
            chosen.setdefault("spans", []).append(value)
        elif kind in value or "text" in value:  # a text area has `text`
            answer = value.get(kind, value.get("text"))
            chosen.setdefault(result.get("from_name", kind), []).extend(
                answer if isinstance(answer, list) else [answer]
            )
    alone = {name: values[0] if len(values) == 1 and name != "spans" else values for name, values in chosen.items()}
    return {**item["data"], **alone}


def without_choices(row: Any) -> Any:
    """A row of Label Studio's JSON-MIN with plain lists of labels."""
    if not isinstance(row, dict):
        return row
    return {
        name: value["choices"] if isinstance(value, dict) and set(value) == {"choices"} else value
        for name, value in row.items()
    }
