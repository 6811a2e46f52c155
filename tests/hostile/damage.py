"""`python -m tests.hostile.damage [--files N] [--record]`: decode damaged pictures, sounds and films.

Each runs in a process under limits, and its memory and time are measured.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from hearth import deadline
from hearth.errors import HearthError
from hearth.ops.vision.images import open_image
from hearth.tasks.audio_file import read_audio
from hearth.tasks.video_file import Bounds, Video
from tests.functions.films import frames, make_video
from tests.hostile.bombs.__main__ import proc_status_kib
from tests.support.pictures import heic, jpeg, with_mpf_segment
from tests.support.record import record
from tests.support.sounds import encode_audio
from tests.support.sounds_in_containers import encode_in_container

SEED = 20261130
BATCH = 100
"""Files of one process."""
MEGABYTES, SECONDS = 300, 5.0
"""Most memory, beyond what the process used before, and time for one file; valid ones need a tenth."""
ADDRESS_SPACE = 3 << 30
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000000)
Mutation = Callable[[Random, bytes, bytes], bytes]


def pictures() -> dict[str, bytes]:
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    image = Image.fromarray(colours).resize((90, 70), Image.Resampling.BICUBIC)

    def save(form: str, mode: str = "RGB", **options: Any) -> bytes:
        file = io.BytesIO()
        image.convert(mode).save(file, form, **options)
        return file.getvalue()

    files = {f"tiff {name}": save("TIFF", compression=name) for name in ("raw", "tiff_lzw", "packbits", "jpeg")}
    files |= {f"png {mode}": save("PNG", mode) for mode in ("RGB", "RGBA", "P", "L", "1")}
    files |= {
        "tiff group4": save("TIFF", "1", compression="group4"),
        "tiff deflate": save("TIFF", compression="tiff_deflate"),
    }
    files |= {
        "gif": save("GIF", "P"),
        "bmp": save("BMP"),
        "webp": save("WEBP"),
        "webp lossless": save("WEBP", lossless=True),
    }
    files |= {
        "avif": save("AVIF"),
        "avif RGBA": save("AVIF", "RGBA"),
        "heic": heic(image),
        "heic grid": heic(image, tile=64),
    }
    files |= {
        "jpeg": jpeg(image),
        "jpeg progressive": jpeg(image, progressive=True),
        "jpeg cmyk": jpeg(image.convert("CMYK")),
    }
    return files | {"mpo": with_mpf_segment(jpeg(image)), "jpeg without its end": jpeg(image)[:-2]}


def sounds() -> dict[str, bytes]:
    sound = 0.4 * np.sin(np.arange(4000) / 5)
    forms = [
        ("WAV", "PCM_16"),
        ("WAV", "IMA_ADPCM"),
        ("WAV", "FLOAT"),
        ("WAV", "GSM610"),
        ("AIFF", "PCM_16"),
        ("CAF", "ALAC_16"),
    ]
    forms += [
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
        ("AU", "ULAW"),
        ("RF64", "PCM_16"),
    ]
    files = {f"{form} {subtype}": encode_audio(sound, 8000, form, subtype) for form, subtype in forms}
    containers = [
        ("mp4", "aac", 16_000),
        ("mp4", "alac", 16_000),
        ("3gp", "libopencore_amrnb", 8000),
        ("webm", "libopus", 48_000),
    ]
    containers += [
        ("matroska", "ac3", 48_000),
        ("avi", "mp3", 44_100),
        ("mpegts", "aac", 48_000),
        ("adts", "aac", 16_000),
    ]
    containers += [("amr", "libopencore_amrnb", 8000)]
    return files | {
        f"{form} {codec}": encode_in_container(sound, rate, form, codec) for form, codec, rate in containers
    }


def films() -> dict[str, bytes]:
    forms = [("mp4", codec) for codec in ("libx264", "libx265", "mpeg4", "libvpx-vp9", "libsvtav1")]
    forms += [("webm", "libvpx"), ("matroska", "libx264"), ("avi", "mpeg4"), ("mov", "libx264")]
    forms += [("mpegts", "libx264"), ("mpegts", "mpeg2video")]
    small = [np.ascontiguousarray(picture[:64, :64]) for picture in frames(6)]
    return {
        f"{form} {codec}": make_video(small, form=form, codec=codec, rate=25 if codec == "mpeg2video" else 10)
        for form, codec in forms
    }


def read_picture(data: bytes) -> None:
    image = open_image(data, 100_000)
    assert image.mode == "RGB"
    assert image.width * image.height <= 100_000


def read_sound(data: bytes) -> None:
    assert np.isfinite(read_audio(data, 8000, 30)).all()


def read_film(data: bytes) -> None:
    video = Video(data, Bounds(100, 20_000, 60))
    for frame in video.frames():
        assert frame.image.size == (video.width, video.height)


KINDS: dict[str, tuple[Callable[[], dict[str, bytes]], Callable[[bytes], None]]] = {
    "picture": (pictures, read_picture),
    "sound": (sounds, read_sound),
    "film": (films, read_film),
}


def change_bytes(random: Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 20))):
        changed[random.randrange(len(changed))] = random.choice((0, 0xFF, random.randrange(256)))
    return bytes(changed)


def change_header(random: Random, data: bytes, other: bytes) -> bytes:
    """A number near the start, or near the end where indices are, becomes an extreme one."""
    size, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
    position = random.randrange(max(min(len(data), 1200) - size, 1))
    position = position if random.random() < 0.7 else max(len(data) - size - position, 0)
    value = (random.choice(EXTREMES) & (1 << 8 * size) - 1).to_bytes(size, order)  # type: ignore[arg-type]
    return data[:position] + value + data[position + size :]


def cut(random: Random, data: bytes, other: bytes) -> bytes:
    return data[: random.randrange(12, max(len(data), 13))]


def remove(random: Random, data: bytes, other: bytes) -> bytes:
    start = random.randrange(12, max(len(data), 13))
    return data[:start] + data[start + random.choice((1, 2, 4, 100)) :]


def repeat(random: Random, data: bytes, other: bytes) -> bytes:
    start, size = random.randrange(len(data)), random.choice((1, 4, 50, 1000))
    return data[:start] + data[start : start + size] * random.choice((2, 3, 60)) + data[start + size :]


def splice(random: Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one file with the end of another."""
    return data[: random.randrange(12, max(len(data), 13))] + other[random.randrange(len(other)) :]


def change_png_chunk(random: Random, data: bytes, other: bytes) -> bytes:
    """Change bytes of one chunk of a PNG, with the right checksum; other files are changed anywhere."""
    if not data.startswith(b"\x89PNG"):
        return change_bytes(random, data, other)
    chunks, position = [], 8
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + size]))
        position += 12 + size
    index = random.randrange(len(chunks))
    name, content = chunks[index]
    chunks[index] = name, change_header(random, content + b"\0" * 9, other)[: max(len(content), 1)]
    if random.random() < 0.2:
        chunks.insert(index, random.choice(chunks))
    parts = [
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big") for kind, body in chunks
    ]
    return data[:8] + b"".join(parts)


MUTATIONS: tuple[Mutation, ...] = (
    change_bytes,
    change_header,
    change_header,
    cut,
    remove,
    repeat,
    splice,
    change_png_chunk,
)


def damaged_file(kind: str, files: dict[str, bytes], number: int) -> tuple[str, bytes]:
    """The name and the bytes of a damaged file; the same for the same number."""
    random = Random(f"{SEED} {kind} {number}")
    name = random.choice(sorted(files))
    data = files[name]
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(MUTATIONS)(random, data, files[random.choice(sorted(files))])
    return name, data


@dataclass
class Tally:
    files: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    megabytes: float = 0.0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, outcome: str, label: str, megabytes: float, seconds: float) -> None:
        self.files += 1
        self.outcomes[outcome] += 1
        self.megabytes, self.seconds = max(self.megabytes, megabytes), max(self.seconds, seconds)
        if outcome == "failed" or megabytes > MEGABYTES or seconds > SECONDS:
            self.failures.append(f"{label}: {outcome}, {megabytes:.0f} MB, {seconds:.1f} s")


def decode(read: Callable[[bytes], None], data: bytes) -> str:
    deadline.set_seconds(60)
    try:
        read(data)
    except HearthError as error:
        return "refused" if 400 <= error.status < 500 else "failed"
    except Exception:
        traceback.print_exc()
        return "failed"
    return "decoded"


def run_batch(kind: str, files: dict[str, bytes], numbers: Sequence[int], tally: Tally) -> int:
    """Decode damaged files in a child process; returns how many it reported before it ended."""
    read_end, write_end = os.pipe()
    process = os.fork()
    if not process:
        resource.setrlimit(resource.RLIMIT_AS, (proc_status_kib("VmSize:") * 1024 + ADDRESS_SPACE,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
        with os.fdopen(write_end, "w") as pipe:
            for number in numbers:
                name, data = damaged_file(kind, files, number)
                with open("/proc/self/clear_refs", "w") as peak:
                    peak.write("5")  # reset the peak
                before, started = proc_status_kib("VmRSS:"), time.monotonic()
                outcome = decode(KINDS[kind][1], data)
                used = (proc_status_kib("VmHWM:") - before) / 1024
                print(
                    json.dumps([outcome, f"{kind} {number} ({name})", used, time.monotonic() - started]),
                    file=pipe,
                    flush=True,
                )
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        results = [json.loads(line) for line in pipe]
    os.waitpid(process, 0)
    for result in results:
        tally.add(*result)
    return len(results)


def run(count: int) -> dict[str, Tally]:
    """Decode `count` damaged files of each kind."""
    tallies = {}
    for kind, (make_files, read) in KINDS.items():
        files, tally = make_files(), Tally()
        for name, data in files.items():
            assert decode(read, data) == "decoded", name
        number = 0
        while number < count:
            done = run_batch(kind, files, range(number, min(number + BATCH, count)), tally)
            number += done
            if done < BATCH and number < count:
                tally.add("failed", f"{kind} {number}, which ended its process,", 0, 0)
                number += 1
        tallies[kind] = tally
    return tallies


def table(tallies: dict[str, Tally]) -> str:
    rows = [
        f"| {kind} | {tally.files:,} | {tally.outcomes['decoded']:,} | {tally.outcomes['refused']:,} | "
        f"{len(tally.failures)} | {tally.megabytes:.0f} | {tally.seconds:.2f} |"
        for kind, tally in tallies.items()
    ]
    head = "| kind | files | decoded | refused with 4xx | failed | peak, MB | slowest, s |"
    return "\n".join([head, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |", *rows])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.hostile.damage")
    parser.add_argument("--files", type=int, default=5000, help="damaged files of each kind")
    parser.add_argument("--record", action="store_true", help="write the table to docs/testing/results.md")
    options = parser.parse_args(arguments)
    tallies = run(options.files)
    failures = [failure for tally in tallies.values() for failure in tally.failures]
    if options.record:
        command = f"python -m tests.hostile.damage --files {options.files} --record"
        record("Damaged media", command, table(tallies), seed=SEED)
    print(table(tallies), *failures, sep="\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
