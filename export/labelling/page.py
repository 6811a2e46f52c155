"""A local page on which captured inputs are labelled, the most doubtful first. It works without JavaScript."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from hearth.errors import HearthError
from hearth.http.origin_check import OriginCheck
from hearth.storage.base import Store
from hearth_build.labelling.captured import Item, save_label

MAX_FORM = 10_000
"""Bytes of a form."""
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Review {model}</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }}
blockquote {{ margin: 1rem 0; padding: 1rem; border-left: .3rem solid #888; white-space: pre-wrap;
  overflow-wrap: anywhere }}
img {{ max-width: 100%; min-width: 12rem; image-rendering: pixelated }}
button {{ font: inherit; padding: .5rem 1rem; margin: 0 .4rem .4rem 0 }}
button.best {{ font-weight: bold }}
</style>
<h1>Review {model}</h1>
<p>{labelled} of {total} labelled.</p>
{body}
</html>
"""


def create_page(store: Store, model: str, labels: Sequence[str], items: list[Item], host: str) -> Starlette:
    """The page's application, started for `host`. `labels` are the model's; labels that items have are offered too."""
    by_id = {item.captured.id: item for item in items}
    skipped: set[str] = set()

    def show(_: Request) -> Response:
        remaining = [item for item in items if not item.label]
        item = next((item for item in remaining if item.captured.id not in skipped), next(iter(remaining), None))
        choices = [*labels] or sorted({label for item in items for label in (item.label, item.captured.label) if label})
        body = "<p>Everything is labelled. Stop this server; then <code>hearth train</code> reads the file that it "
        body += "writes.</p>"
        if item is not None:
            body = _item(item, choices)
        done = sum(bool(item.label) for item in items)
        return HTMLResponse(PAGE.format(model=escape(model), labelled=done, total=len(items), body=body))

    async def label(request: Request) -> Response:
        data = b""
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_FORM:
                return PlainTextResponse("The form is too long", 413)
        form = {name: values[-1] for name, values in parse_qs(data.decode(errors="replace")).items()}
        item, chosen = by_id.get(form.get("id", "")), form.get("label", "")
        if item is None:
            return PlainTextResponse("There is no such item", 404)
        if not chosen:
            skipped.add(item.captured.id)
        elif labels and chosen not in labels:
            return PlainTextResponse("The model has no such label", 400)
        else:
            save_label(store, item, chosen)
        return RedirectResponse("/", 303)

    def refuse(_: Request, error: HearthError) -> Response:
        return PlainTextResponse(error.message, error.status)

    return Starlette(
        routes=[Route("/", show), Route("/label", label, methods=["POST"])],
        middleware=[Middleware(OriginCheck, refuse=refuse, host=host)],
    )


def _item(item: Item, choices: Sequence[str]) -> str:
    captured = item.captured
    if captured.picture:
        source = base64.b64encode(captured.picture).decode()
        shown = f'<p><img alt="The captured picture" src="data:image/jpeg;base64,{source}"></p>'
    else:
        shown = f"<blockquote>{escape(captured.text)}</blockquote>"
    answer = ""
    if captured.label and captured.score is not None:
        answer = f"<p>The model answered {escape(captured.label)} ({captured.score:.2f}).</p>"
    buttons = "".join(
        f'<button name="label" value="{escape(choice)}"{best}>{escape(choice)}</button>'
        for choice in choices
        for best in [' class="best"' if choice == captured.label else ""]
    )
    own = "" if choices else '<input name="label" aria-label="Label" autofocus> <button>Save</button>'
    return (
        f'{shown}{answer}<form method="post" action="/label"><input type="hidden" name="id" '
        f'value="{escape(captured.id)}">{buttons}{own}<button name="label" value="">Skip</button></form>'
    )
