"""Serves the playground: the files of a folder are read once, so that no path can reach any other file.

The files are below a path with a digest of all files, so browsers can cache them forever, and a new page never loads
files of an old one. Only `/` itself is requested again. The modules are one file, and what is text is compressed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from hearth import settings
from hearth.aws.s3 import Bucket
from hearth.errors import NotFound
from hearth.http.page_bundle import bundle
from hearth.protocols.base import Request, Response, Route
from hearth.protocols.compression import compress

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".mp4": "video/mp4",
    ".mp3": "audio/mpeg",
}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "media-src": "'self' blob:",
    "connect-src": "'self'",
    "font-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
}
MAIN, THEME = "main.js", "theme.js"
"""The module of the page, and the script that runs before its first paint."""
COMPRESSED = (".css", ".js", ".svg")
"""Files that compression makes smaller."""
COMPRESSION_LEVEL = 6
"""zlib's default, for files that a browser requests once."""
CACHE_FOREVER = "public, max-age=31536000, immutable"


def security_headers() -> dict[str, str]:
    """HEADERS and the content security policy, by which the page may also send files to the bucket of uploads."""
    uploads, policy = settings.get().uploads, POLICY
    if uploads.startswith("s3://"):
        bucket = Bucket(uploads.removeprefix("s3://"))
        policy = {**POLICY, "connect-src": f"'self' {bucket.url}"}
    return {**HEADERS, "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items())}


def routes(folder: Path) -> tuple[Route, ...]:
    """The route `/` for index.html, whose links to `page/…` get the digest, and a route for these files."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in MEDIA_TYPES}
    digest = hashlib.sha256(b"".join(name.encode() + data for name, data in files.items())).hexdigest()[:16]
    index = files.pop("index.html").replace(b'"page/', f'"page/{digest}/'.encode())
    modules = {name: files.pop(name).decode() for name in list(files) if name.endswith(".js") and name != THEME}
    files[MAIN] = bundle(modules, MAIN).encode()
    etag = f'"{digest}"'

    def index_page(request: Request) -> Response:
        body, encoding = compress(index, request.headers, COMPRESSION_LEVEL)
        headers = {**security_headers(), "Cache-Control": "no-cache", "ETag": etag, **encoding}
        if etag in request.headers.get("if-none-match", ""):
            return Response(b"", MEDIA_TYPES[".html"], headers, status=304)
        return Response(body, MEDIA_TYPES[".html"], headers)

    def page_file(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in files:
            raise NotFound("The page has no such file; reload the page")
        # A page of an older version gets the current file, but must not cache it.
        cache_control = CACHE_FOREVER if request.path_params["digest"] == digest else "no-store"
        body, suffix = files[name], Path(name).suffix
        body, encoding = compress(body, request.headers, COMPRESSION_LEVEL) if suffix in COMPRESSED else (body, {})
        return Response(body, MEDIA_TYPES[suffix], {**security_headers(), "Cache-Control": cache_control, **encoding})

    return (
        Route("GET", "/", index_page, "get_playground", "Open the playground", public=True),
        Route(
            "GET",
            "/page/{digest}/{file}",
            page_file,
            "get_playground_file",
            "Get a file of the playground",
            public=True,
        ),
    )
