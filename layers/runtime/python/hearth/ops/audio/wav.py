"""Writes WAV files."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

IEEE_FLOAT = 3
"""The format code of floating-point samples."""


def float_wav(samples: np.ndarray[Any, Any], rate: int) -> bytes:
    """One channel of float32 samples, as they are, as a file."""
    data = samples.astype("<f4").tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, IEEE_FLOAT, 1, rate, 4 * rate, 4, 32)
    chunks = b"WAVE" + head + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(chunks)) + chunks
