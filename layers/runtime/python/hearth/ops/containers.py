"""Opens films and recordings with FFmpeg, within bounds. The only module that opens files with it.

Opening a file decodes nothing. FFmpeg by itself decodes frames of every stream to learn about them: a QuickTime file of
two megabytes with one PNG took two gigabytes.
"""

from __future__ import annotations

from typing import Any

import av

from hearth import deadline
from hearth.errors import BadRequest, UnsupportedMedia
from hearth.ops.file_kinds import describe, kind_of
from hearth.ops.vision.mp4_index import MAX_TRACKS, has_plausible_index

DEMUXERS = {
    "MP4": "mov,mp4,m4a,3gp,3g2,mj2",
    "Matroska": "matroska,webm",
    "AVI": "avi",
    "MPEG-TS": "mpegts",
    "AMR": "amr",
    "AAC": "aac",
}
"""FFmpeg's demuxer for each kind of file. It tries no other one: some open further files."""
NO_DECODER = "none"
"""An allow-list of decoders with none in it, while the file is opened."""
MAX_SAMPLES = 2**20
"""Samples of each channel in a frame of sound; ALAC may declare sixteen million."""
PROBED_BYTES = 1_000_000
"""Bytes after which streams are taken as they are known."""


def open_container(data: bytes, supported: str) -> Any:
    """An open container of PyAV. `supported` is the sentence for other files. Raises UnsupportedMedia, BadRequest,
    DeadlineExceeded."""
    kind = kind_of(data)
    if kind not in DEMUXERS:
        raise UnsupportedMedia(describe(data, supported))
    options = {
        "codec_whitelist": NO_DECODER,
        "format_whitelist": DEMUXERS[kind],
        "max_streams": str(MAX_TRACKS),
        "probesize": str(PROBED_BYTES),
    }
    if kind == "MP4":
        if not has_plausible_index(data):
            raise BadRequest("The file is damaged: its index claims more samples than a file can have")
        options["advanced_editlist"] = "0"  # an edit list can repeat a sample thousands of times
    name = DEMUXERS[kind].partition(",")[0]
    try:
        return av.open(deadline.File(data), format=name, container_options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError):
        raise BadRequest(
            "The file is damaged: its index cannot be read. Many recorders write it last, so the file was probably "
            "cut off"
        ) from None


def open_decoder(stream: Any, max_pixels: int = 0) -> Any:
    """The decoder of a stream, which refuses frames of more than `max_pixels` or MAX_SAMPLES."""
    decoder = stream.codec_context
    decoder.options = {"max_pixels": str(max_pixels)} if max_pixels else {"max_samples": str(MAX_SAMPLES)}
    decoder.thread_count = 1  # each thread holds frames in memory
    return decoder
