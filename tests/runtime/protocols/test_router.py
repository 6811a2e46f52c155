"""Which route and which protocol a path has."""

from __future__ import annotations

from hearth.protocols.base import Response, Route
from hearth.protocols.router import PREFIXES, Router, protocol_for, protocols, without_slash


def test_every_route_and_no_other_path_is_matched() -> None:
    router = Router()
    for protocol, route in router.routes():
        path = route.path.replace("{", "the-").replace("}", "\n")
        match = router.find(route.method, path)
        assert match is not None
        assert (match.protocol, match.route) == (protocol, route)
        assert set(match.path_params.values()) <= set(path.split("/"))
    assert router.find("GET", "/models/a/b/c/d") is None
    assert router.find("DELETE", "/models") is None


def test_a_path_has_the_protocol_of_its_prefix() -> None:
    prefixes = {
        prefix.strip("/"): protocol.name for protocol in protocols() for prefix in protocol.prefixes if prefix != "/"
    }
    assert prefixes == PREFIXES
    for path, name in (("/v1/models", "openai"), ("/v2", "open_inference"), ("/ping", "sagemaker"), ("v1/x", "openai")):
        assert protocol_for(path).name == name
    assert protocol_for("/").name == protocol_for("/models/a").name == protocol_for("/v10").name == "huggingface"


def test_a_slash_at_the_end_means_nothing() -> None:
    assert [without_slash(path) for path in ("/", "//", "/a/", "/a", "/a//")] == ["/", "/", "/a", "/a", "/a"]
    match = Router().find("GET", "/models/")
    assert match is not None
    assert match.route.path == "/models"


def test_pages_are_routes_of_the_default_protocol() -> None:
    page = Route("GET", "/page/{file}", lambda _: Response(b""), "get_page", "Get a page")
    router = Router([page])
    match = router.find("GET", "/page/x.js")
    assert match is not None
    assert (match.route, match.protocol.name, match.path_params) == (page, "huggingface", {"file": "x.js"})
    assert Router().find("GET", "/page/x.js") is None
    assert router.find("POST", "/page/x.js") is None


def test_a_path_of_another_protocols_prefix_is_found() -> None:
    match = Router().find("POST", "/models/m/v1/chat/completions")
    assert match is not None
    assert match.protocol.name == "openai"
