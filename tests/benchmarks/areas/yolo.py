"""YOLOv8n at 640: the boxes of a picture, a JPEG in and boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import vision_peers
from tests.benchmarks.area import Case
from tests.benchmarks.vision_models import yolo


def cases(work: Path) -> Sequence[Case]:
    return vision_peers.cases(yolo(work), "boxes", 1.9, 2.6, "OpenVINO bf16: 2.7 where the processor has AMX")
