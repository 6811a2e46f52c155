"""Valid inputs for the fuzzer to start from."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image

from hearth.protocols.open_inference.tensors import bytes_array, to_bytes
from hearth.tasks.task import Task
from tests.events import HERE as EVENTS
from tests.support.pictures import heic, with_mpf_segment
from tests.support.sounds_in_containers import encode_in_container

JSON_WORDS = ('"inputs"', '"parameters"', "[[", "]]", "{}", "null", "true", "1e9", "\\u0000", "\\ud800", '":', ",")


def documents(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def pictures() -> list[bytes]:
    colours, files = Image.new("RGB", (9, 7), (200, 30, 30)), []
    for kind, mode in (("JPEG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("WEBP", "RGB"), ("GIF", "P")):
        file = io.BytesIO()
        Image.new("I;16", (9, 7)).save(file, kind) if mode == "I;16" else colours.convert(mode).save(file, kind)
        files.append(file.getvalue())
    file = io.BytesIO()
    colours.save(file, "JPEG", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    animated = io.BytesIO()
    colours.save(animated, "WEBP", save_all=True, append_images=[colours.rotate(90)])
    bitmap = io.BytesIO()
    colours.save(bitmap, "BMP")
    modern = io.BytesIO()
    colours.save(modern, "AVIF")
    scan = io.BytesIO()
    colours.save(scan, "TIFF", compression="tiff_lzw")
    tile = colours.resize((32, 32))
    return [
        *(*files, file.getvalue(), animated.getvalue(), bitmap.getvalue(), modern.getvalue(), scan.getvalue()),
        *(heic(tile), heic(tile, tile=16), with_mpf_segment(files[0]), files[0][:-2]),
    ]


def sounds() -> list[bytes]:
    samples, files = np.sin(np.arange(900) / 3).astype(np.float32) / 4, []
    for kind, subtype in (
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("WAV", "IMA_ADPCM"),
        ("RF64", "PCM_U8"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ):
        file = io.BytesIO()
        soundfile.write(file, samples, 8000, format=kind, subtype=subtype)
        files.append(file.getvalue())
    containers = (("mp4", "aac", 16_000), ("webm", "libopus", 48_000), ("amr", "libopencore_amrnb", 8000))
    return [*files, *(encode_in_container(samples, rate, form, codec) for form, codec, rate in containers)]


def films() -> list[bytes]:
    files = []
    forms = (("mp4", "libx264"), ("mp4", "mpeg4"), ("matroska", "libx264"), ("avi", "mpeg4"), ("mpegts", "libx264"))
    for form, codec in forms:
        file = io.BytesIO()
        with av.open(file, "w", format=form) as container:
            stream: Any = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
            stream.codec_context.thread_count = 1
            for grey in (0, 120, 240):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((16, 32, 3), grey, np.uint8))))
            container.mux(stream.encode())
        files.append(file.getvalue())
    return files


def oip() -> list[bytes]:
    """Each request follows two bytes with the length of its JSON."""
    texts = {"name": "text", "shape": [2], "datatype": "BYTES"}
    numbers = {"name": "numbers", "shape": [1, 2], "datatype": "FP32"}
    plain = {"inputs": [{**texts, "data": ["a", "b"]}, {**numbers, "data": [[1.5, -2]]}], "id": "1"}
    coded = {"inputs": [{**texts, "data": ["YQ==", "Yg=="], "parameters": {"content_type": "base64"}}]}
    raw_text, raw_numbers = to_bytes("BYTES", bytes_array([b"a", b"bc"])), to_bytes("FP32", np.ones((1, 2)))
    binary = [
        {**texts, "parameters": {"binary_data_size": len(raw_text)}},
        {**numbers, "parameters": {"binary_data_size": 8}},
    ]
    outputs = [{"name": "scores", "parameters": {"binary_data": True, "classification": 2}}]
    bodies = [(plain, b""), (coded, b""), ({"inputs": binary, "outputs": outputs}, raw_text + raw_numbers)]
    requests = []
    for document, binary_data in bodies:
        header = json.dumps(document).encode()
        requests.append(len(header).to_bytes(2, "big") + header + binary_data)
    return requests


def multipart() -> list[bytes]:
    lines = [
        "--b",
        'Content-Disposition: form-data; name="model"',
        "",
        "whisper-1",
        "--b",
        'Content-Disposition: form-data; name="file"; filename="a.wav"',
        "Content-Type: audio/wav",
        "",
        "RIFF",
        "--b--",
        "",
    ]
    return ["\r\n".join(lines).encode(), "\r\n".join(lines[:4] + lines[-2:]).encode()]


def examples(tasks: tuple[Task, ...]) -> list[bytes]:
    return documents(*(task.example for task in tasks))


def events() -> list[bytes]:
    recorded = [path.read_bytes() for path in sorted(EVENTS.glob("*.json"))]
    queued = {"eventSource": "aws:sqs", "messageId": "1", "attributes": {"ApproximateReceiveCount": "1"}}
    created = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}
    created |= {"s3": {"bucket": {"name": "b"}, "object": {"key": "uploads/m/a+b", "size": 1, "eTag": "e"}}}
    body = json.dumps({"Records": [created]})
    return [*recorded, *documents({"Records": [created]}, {"Records": [{**queued, "body": body}]})]


def encoded() -> list[bytes]:
    return [base64.b64encode(b'{"inputs": "good"}'), b"====", b"YQ", b"YQ==\n"]
