"""ResNet-50: the best five labels of a picture, a JPEG in and classes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import vision_peers
from tests.benchmarks.area import Case
from tests.benchmarks.vision_models import resnet


def cases(work: Path) -> Sequence[Case]:
    return vision_peers.cases(resnet(work), "labels", 2.9, 5.0, "OpenVINO int8: 6.9 where the processor has AMX")
