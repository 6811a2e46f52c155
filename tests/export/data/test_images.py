from __future__ import annotations

from pathlib import Path

from hearth_build.data.images import sample_images


def test_files_of_operating_systems_are_no_images(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/._1.jpg", "__MACOSX/a/1.jpg", "@eaDir/a/1.jpg", "$RECYCLE.BIN/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert sample_images(tmp_path, 10) == [tmp_path / "a/1.jpg"]
