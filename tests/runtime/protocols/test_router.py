"""Which route and which protocol a path has."""

from __future__ import annotations

from hearth.protocols.router import PREFIXES, Router, protocol_for, protocols


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
    assert protocol_for("/").name == protocol_for("/models/a").name == protocol_for("/v10").name == "huggingface"
