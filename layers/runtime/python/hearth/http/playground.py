"""The playground: a folder's files, read once, so that no path can ask for anything else.

Its files lie below a path that has a digest of them all: browsers keep them for good, and a new page never meets an
old page's parts. Only `/` itself is asked for again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from hearth.errors import NotFound
from hearth.protocols.base import Answer, Call, Route

MEDIA = {
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
    "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
}
FOREVER = "public, max-age=31536000, immutable"


def routes(folder: Path) -> tuple[Route, ...]:
    """`/` for index.html, whose links to `page/…` get the digest, and a path for the files that they name."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in MEDIA}
    digest = hashlib.sha256(b"".join(name.encode() + data for name, data in files.items())).hexdigest()[:16]
    index = files.pop("index.html").replace(b'"page/', f'"page/{digest}/'.encode())
    tag = f'"{digest}"'

    def start(call: Call) -> Answer:
        headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": tag}
        if tag in call.headers.get("if-none-match", ""):
            return Answer(b"", MEDIA[".html"], headers, status=304)
        return Answer(index, MEDIA[".html"], headers)

    def file(call: Call) -> Answer:
        name = call.path["file"]
        if name not in files:
            raise NotFound("The page has no such file; load it anew")
        # A page of before, still open while a new one came, gets what there is now, and must not keep it.
        control = FOREVER if call.path["digest"] == digest else "no-store"
        return Answer(files[name], MEDIA[Path(name).suffix], {**HEADERS, "Cache-Control": control})

    return (
        Route("GET", "/", start, "The playground", open=True),
        Route("GET", "/page/{digest}/{file}", file, "A part of the playground", open=True),
    )
