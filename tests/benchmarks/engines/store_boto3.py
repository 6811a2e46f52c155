"""boto3's download_file of the same files, as it is or with SHA-256 after it."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from pathlib import Path

import boto3
from turns import serve

if __name__ == "__main__":
    prefix, hashed, paths = sys.argv[1], sys.argv[2] == "hashed", sys.argv[3:]
    s3 = boto3.client("s3")

    def turn() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            started, processor = time.perf_counter(), time.process_time()
            for path in paths:
                s3.download_file("bucket", f"{prefix}/{path}", f"{folder}/{path}")
                if hashed:
                    with Path(folder, path).open("rb") as file:
                        hashlib.file_digest(file, "sha256")
            return {"seconds": time.perf_counter() - started, "processor": time.process_time() - processor}

    serve(turn)
