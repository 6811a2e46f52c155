"""Sounds as phones and browsers record them, encoded by FFmpeg."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def encode_in_container(sound: NDArray[np.floating], rate: int, form: str, codec: str, channels: int = 1) -> bytes:
    """(samples,) in -1..1, the same in each channel."""
    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}[channels]
    with av.open(file, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        if codec == "libopencore_amrnb":
            stream.bit_rate = 12_200
        samples = np.repeat(np.round(sound * 32767).astype(np.int16)[:, None], channels, 1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format.name, layout, rate, stream.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode())
    return file.getvalue()
