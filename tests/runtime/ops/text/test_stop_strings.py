"""Stop strings in a text that arrives in pieces."""

from __future__ import annotations

from hearth.ops.text.stop_strings import StopStrings


def test_a_stop_string_across_pieces_is_never_emitted() -> None:
    for stop, text in (("\n\nUser:", "Hello.\n\nUser: more"), ("aab", "aaaab"), ("ab", "xaxab"), ("c", "abc")):
        for size in (1, 2, 3, 50):
            stop_strings, emitted = StopStrings([stop, "never"]), ""
            for start in range(0, len(text), size):
                emitted += stop_strings.push(text[start : start + size])
                if stop_strings.matched:
                    break
            assert stop_strings.matched
            assert emitted == text[: text.index(stop)]


def test_a_partial_stop_string_is_emitted() -> None:
    stop_strings = StopStrings(["END"])
    assert [stop_strings.push(piece) for piece in ("th", "e E", "N", "d E")] == ["th", "e ", "", "ENd "]
    assert not stop_strings.matched
    assert stop_strings.flush() == "E"
    assert stop_strings.flush() == ""


def test_the_first_of_several_stop_strings_ends_the_text() -> None:
    stop_strings = StopStrings(["two", "one"])
    assert stop_strings.push("zero one two") == "zero "
