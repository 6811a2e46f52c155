from __future__ import annotations

from hearth_build.cloud.finding import Finding, Level, note, ok, problem


def test_a_finding_has_its_level() -> None:
    assert ok("All is well.") == Finding(Level.OK, "All is well.")
    assert note("Fine.").level == "note"
    assert problem("Broken.").level == "problem"
