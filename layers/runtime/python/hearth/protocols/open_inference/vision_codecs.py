"""Detections and tracks as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hearth.errors import BadRequest
from hearth.models.manifest import Manifest
from hearth.protocols.open_inference.codecs import JsonCodec, SingleItemCodec
from hearth.protocols.open_inference.schema import TensorMetadata
from hearth.protocols.open_inference.tensors import Array


class PicturesCodec(JsonCodec):
    """For tasks that take one picture or a list of pictures, and have parameters that need a single one."""

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        files = columns["image"]
        return [{"inputs": files if len(files) > 1 else files[0], "parameters": parameters}]

    def items(self, request: Any, response: Any) -> list[Any]:
        return list(response) if isinstance(request.inputs, list) else [response]


class DetectionsCodec(PicturesCodec):
    """Outputs as those of TensorRT's plugin for non-maximum suppression: all pictures have the same number of rows, and
    `num_dets` is the number of detections of each. Boxes are xmin, ymin, xmax, ymax in pixels; classes are indices of
    the manifest's labels, -1 in rows without a detection."""

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        return (
            TensorMetadata("num_dets", "INT32", (-1, 1)),
            TensorMetadata("det_boxes", "FP32", (-1, -1, 4)),
            TensorMetadata("det_scores", "FP32", (-1, -1)),
            TensorMetadata("det_classes", "INT32", (-1, -1)),
        )

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        images = [row if isinstance(row, list) else row.boxes for row in rows]
        longest = max(map(len, images))
        if name == "num_dets":
            return np.array([[len(detections)] for detections in images], np.int32)
        if name == "det_boxes":
            array = np.zeros((len(images), longest, 4), np.float32)
        elif name == "det_scores":
            array = np.zeros((len(images), longest), np.float32)
        else:
            array = np.full((len(images), longest), -1, np.int32)
        for index, detections in enumerate(images):
            for row, detection in enumerate(detections):
                if name == "det_boxes":
                    box = detection.box
                    array[index, row] = box.xmin, box.ymin, box.xmax, box.ymax
                else:
                    array[index, row] = detection.score if name == "det_scores" else labels.index(detection.label)
        return array


class TracksCodec(SingleItemCodec):
    """One film in a container of `video_file.FILMS`, or several pictures as its frames.

    `tracks` has one row per sighting, track after track: frame (from 1), track id, xmin, ymin, xmax, ymax in pixels,
    score, and the index of the label.
    """

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        files = columns["video"]
        return [{"inputs": files if len(files) > 1 else files[0], "parameters": parameters}]

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        return (TensorMetadata("tracks", "FP32", (-1, 8)),)

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        if rows[0].tracks is None:
            raise BadRequest("`tracks` needs `format` json; with mot, request only the output `response`")
        sightings = []
        for track in rows[0].tracks:
            class_id = labels.index(track.label)
            for sighting in track.sightings:
                box = sighting.box
                edges = (box.xmin, box.ymin, box.xmax, box.ymax)
                sightings.append((sighting.frame, track.id, *edges, sighting.score, class_id))
        return np.array(sightings, np.float32).reshape(-1, 8)
