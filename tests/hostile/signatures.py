"""Our P-256 against that of `cryptography`: the same verdict on random, mutated and edge-case signatures.

`python -m tests.hostile.signatures [KEYS]` also measures both, and writes the section of docs/testing/results.md.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hearth.models import ecdsa_p256
from tests.support.record import record

SEED = 5
ECDSA = ec.ECDSA(hashes.SHA256())
EDGES = (0, 1, ecdsa_p256.N - 1, ecdsa_p256.N, ecdsa_p256.N + 1, ecdsa_p256.P, 2**256 - 1, 2**264)
ROUNDS = 15
IMPORTS = {
    "ours": "from hearth.models import ecdsa_p256",
    "cryptography": "from cryptography.hazmat.primitives.asymmetric import ec; "
    "from cryptography.hazmat.primitives import hashes, serialization",
}


def der(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def agreed(public: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> bool:
    """Whether the signature is valid; our verdict must equal that of `cryptography`."""
    try:
        public.verify(signature, message, ECDSA)
        theirs = True
    except InvalidSignature:
        theirs = False
    assert ecdsa_p256.verify(ecdsa_p256.public_key(der(public)), message, signature) is theirs, signature.hex()
    return theirs


def signatures(valid: bytes, random: Random, mutations: int) -> Iterator[tuple[bytes, bool]]:
    """Yield the valid signature and variants of it, with whether they are valid."""
    r, s = decode_dss_signature(valid)
    yield valid, True
    yield encode_dss_signature(r, ecdsa_p256.N - s), True  # also valid for the same message
    yield encode_dss_signature(s, r), False
    yield encode_dss_signature(r, s ^ 1 << random.randrange(250)), False
    edge = random.choice(EDGES)
    yield encode_dss_signature(*random.choice(((edge, s), (r, edge)))), False
    for _ in range(mutations):
        changed = bytearray(valid)
        changed[random.randrange(len(valid))] ^= 1 << random.randrange(8)
        yield bytes(changed), False


def compare(keys: int, mutations: int, seed: int) -> Counter[bool]:
    """Count valid and invalid signatures. Raises AssertionError if the two implementations differ."""
    random = Random(seed)
    verdicts: Counter[bool] = Counter()
    for number in range(keys):
        private = ec.generate_private_key(ec.SECP256R1())
        message = random.randbytes(number % 200)
        for signature, is_valid in signatures(private.sign(message, ECDSA), random, mutations):
            assert agreed(private.public_key(), message, signature) is is_valid
            verdicts[is_valid] += 1
    return verdicts


def import_milliseconds(statement: str) -> float:
    """Import time in a fresh process, the minimum of several runs."""
    code = f"import base64, hashlib, functools, time; t = time.perf_counter(); {statement}; "
    code += "print((time.perf_counter() - t) * 1000)"
    command = [sys.executable, "-c", code]
    return min(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(ROUNDS))


def verify_milliseconds() -> tuple[float, float]:
    """Verification time of ours and theirs, the minimum of several runs."""
    private = ec.generate_private_key(ec.SECP256R1())
    message, public = b"m" * 1500, private.public_key()
    signature, point = private.sign(message, ECDSA), ecdsa_p256.public_key(der(public))
    ours, theirs = [], []
    for _ in range(100):
        started = time.perf_counter()
        ecdsa_p256.verify(point, message, signature)
        between = time.perf_counter()
        public.verify(signature, message, ECDSA)
        ours.append(between - started)
        theirs.append(time.perf_counter() - between)
    return min(ours) * 1000, min(theirs) * 1000


def megabytes(*names: str) -> float:
    folder = Path(sys.prefix) / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    files = (path for name in names for match in folder.glob(name) for path in (match, *match.rglob("*")))
    return sum(path.stat().st_size for path in files if path.is_file() and path.suffix != ".pyc") / 1e6


def main(keys: int = 300) -> None:
    verdicts = compare(keys, 15, SEED)
    imports = {name: import_milliseconds(statement) for name, statement in IMPORTS.items()}
    ours, theirs = verify_milliseconds()
    size = megabytes("cryptography", "cffi", "_cffi_backend*")
    source = Path(ecdsa_p256.__file__).stat().st_size / 1e6
    valid, invalid = verdicts[True], verdicts[False]
    summary = f"""{valid + invalid:,} signatures by {keys} keys, {valid:,} valid and {invalid:,} invalid (\
numbers exchanged, at the edges of their range, bits flipped): both give the same verdict on each.

| | import, ms | one verification, ms | MB |
|---|---|---|---|
| hearth.models.ecdsa_p256 | {imports["ours"]:.1f} | {ours:.1f} | {source:.3f} |
| cryptography | {imports["cryptography"]:.1f} | {theirs:.2f} | {size:.1f} |"""
    record("Signatures", f"python -m tests.hostile.signatures {keys}", summary, seed=SEED)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
