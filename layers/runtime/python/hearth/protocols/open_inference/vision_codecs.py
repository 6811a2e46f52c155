"""Detections and tracks as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hearth.errors import BadRequest
from hearth.models.manifest import Manifest
from hearth.protocols.open_inference.codecs import Each, View
from hearth.protocols.open_inference.schema import Spec
from hearth.protocols.open_inference.tensors import Array


class Detections(View):
    """Named and shaped as the TensorRT plugin for non-maximum suppression does it: each picture has as many rows as
    the fullest one, and `num_dets` says how many of them count. Boxes are xmin, ymin, xmax, ymax in pixels; classes are
    numbers of the manifest's labels, -1 in rows that do not count."""

    inputs = ("image",)
    binary = True

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        # One picture alone can be annotated.
        files = columns["image"]
        return [{"inputs": files if len(files) > 1 else files[0], "parameters": parameters}]

    def items(self, request: Any, response: Any) -> list[Any]:
        return list(response) if isinstance(request.inputs, list) else [response]

    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        return (
            Spec("num_dets", "INT32", (-1, 1)),
            Spec("det_boxes", "FP32", (-1, -1, 4)),
            Spec("det_scores", "FP32", (-1, -1)),
            Spec("det_classes", "INT32", (-1, -1)),
        )

    def typed(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        found = [row if isinstance(row, list) else row.boxes for row in rows]
        most = max(map(len, found))
        if name == "num_dets":
            return np.array([[len(row)] for row in found], np.int32)
        if name == "det_boxes":
            array = np.zeros((len(found), most, 4), np.float32)
        elif name == "det_scores":
            array = np.zeros((len(found), most), np.float32)
        else:
            array = np.full((len(found), most), -1, np.int32)
        for index, row in enumerate(found):
            for number, one in enumerate(row):
                if name == "det_boxes":
                    array[index, number] = one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax
                else:
                    array[index, number] = one.score if name == "det_scores" else labels.index(one.label)
        return array


class Tracks(Each):
    """One film: an mp4 file, or several pictures as its frames.

    `tracks` has a row a sighting, track after track: frame (from 1), track, xmin, ymin, xmax, ymax in pixels, score,
    and the number of its label.
    """

    inputs = ("video",)
    binary = True

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        files = columns["video"]
        return [{"inputs": files if len(files) > 1 else files[0], "parameters": parameters}]

    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        return (Spec("tracks", "FP32", (-1, 8)),)

    def typed(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        if rows[0].tracks is None:
            raise BadRequest("`tracks` goes with `format` json; with mot, ask for the output `response` alone")
        found = [
            (one.frame, track.id, one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax, one.score, kind)
            for track in rows[0].tracks
            for kind in (labels.index(track.label),)
            for one in track.sightings
        ]
        return np.array(found, np.float32).reshape(-1, 8)
