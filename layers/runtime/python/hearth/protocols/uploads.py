"""Routes of uploads: create an upload, get its result, delete both."""

from __future__ import annotations

from typing import Any

import msgspec

from hearth.async_inference import uploads
from hearth.protocols.base import Request, Response, Route

RETRY_AFTER = "2"
"""Seconds until a client should ask for a pending result again."""


def create_upload(request: Request) -> Response:
    upload = uploads.create_upload(request.body)
    return Response(msgspec.json.encode(upload), headers={"Cache-Control": "no-store"}, status=201)


def get_result(request: Request) -> Response:
    upload_id = request.path_params["id"]
    document = uploads.get_result(upload_id)
    if document is None:
        pending = uploads.get_pending(upload_id)
        return Response(msgspec.json.encode(pending), headers={"Retry-After": RETRY_AFTER}, status=202)
    return Response(document)


def delete_result(request: Request) -> Response:
    uploads.delete(request.path_params["id"])
    return Response(b"", status=204)


ROUTES = (
    Route(
        "POST",
        "/uploads",
        create_upload,
        "create_upload",
        "Create an upload",
        uploads.UploadRequest,
        responses={201: uploads.UploadTicket},
    ),
    Route(
        "GET",
        "/results/{id}",
        get_result,
        "get_result",
        "Get the result of an upload",
        responses={200: Any, 202: uploads.PendingResult},
    ),
    Route(
        "DELETE",
        "/results/{id}",
        delete_result,
        "delete_result",
        "Delete an upload and its result",
        responses={204: None},
    ),
)
