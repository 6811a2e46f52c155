"""P-256 signatures: the same verdict as `cryptography`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature

from hearth.models import ecdsa_p256
from tests.hostile.signatures import ECDSA, SEED, agreed, compare, der

N = ecdsa_p256.N


def test_random_and_mutated_signatures_verify_as_with_cryptography() -> None:
    assert compare(keys=25, mutations=10, seed=SEED) == {True: 25 * 2, False: 25 * 13}


@pytest.mark.parametrize("secret", [1, 2, 3, 4, N - 1, N - 2, N - 3, N // 2, N // 2 + 1])
def test_keys_that_are_small_multiples_of_the_base_point_verify(secret: int) -> None:
    """Their verification adds a point to itself and to its negative."""
    private = ec.derive_private_key(secret, ec.SECP256R1())
    for number in range(5):
        message = b"%d" % number
        assert agreed(private.public_key(), message, private.sign(message, ECDSA))
        assert not agreed(private.public_key(), b"other", private.sign(message, ECDSA))


def test_numbers_at_the_edges_are_refused() -> None:
    private = ec.derive_private_key(77, ec.SECP256R1())
    message = b"message"
    r, s = decode_dss_signature(private.sign(message, ECDSA))
    for pair in (
        *((edge, s) for edge in (0, 1, N - 1, N, N + 1, r + N, ecdsa_p256.P, 2**256 - 1, 2**264)),
        *((r, edge) for edge in (0, 1, N - 1, N, N + 1, s + N, ecdsa_p256.P, 2**256 - 1, 2**264)),
        *((0, 0), (1, 1), (N, N)),
    ):
        assert not agreed(private.public_key(), message, encode_dss_signature(*pair))
    # u · G + v · Q is the point at infinity for r = -z / d, whatever s is.
    z = int.from_bytes(hashlib.sha256(message).digest())
    assert not agreed(private.public_key(), message, encode_dss_signature(-z * pow(77, -1, N) % N, 5))


def test_an_x_beyond_the_order_wraps_around() -> None:
    """One of 2^128 signatures has a point whose x is at least N; choosing the key to fit makes one."""
    i = next(i for i in range(1, 1000) if _root(N + i) is not None)
    point = (N + i, _root(N + i) or 0)
    z, r, s = 12345, i, 67890
    # Q = (s R - z G) / r makes (r, s) a signature of the digest z.
    jacobian = ecdsa_p256._sum_of_products(-z % N, s, point)
    x, y = _affine(jacobian)
    x, y = _affine(ecdsa_p256._sum_of_products(0, pow(r, -1, N), (x, y)))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(encode_dss_signature(r, s), z.to_bytes(32), ec.ECDSA(Prehashed(hashes.SHA256())))
    assert ecdsa_p256._is_valid((x, y), z, r, s)
    assert not ecdsa_p256._is_valid((x, y), z + 1, r, s)


def _root(x: int) -> int | None:
    square = (x**3 + ecdsa_p256.A * x + ecdsa_p256.B) % ecdsa_p256.P
    root = pow(square, (ecdsa_p256.P + 1) // 4, ecdsa_p256.P)
    return root if root * root % ecdsa_p256.P == square else None


def _affine(point: tuple[int, int, int]) -> tuple[int, int]:
    x, y, z = point
    return x * pow(z, -2, ecdsa_p256.P) % ecdsa_p256.P, y * pow(z, -3, ecdsa_p256.P) % ecdsa_p256.P


@pytest.mark.parametrize(
    "change",
    [
        lambda der: der[:-1],
        lambda der: der + b"\0",
        lambda der: b"\x31" + der[1:],
        lambda der: b"\x30\x80" + der[2:] + b"\0\0",
        lambda der: b"\x30\x81" + der[1:],
        lambda der: bytes([der[0], der[1] + 1]) + der[2:] + b"\0",
        lambda der: der[:3] + bytes([der[3] + 1]) + b"\0" + der[4:],
        lambda der: der[:2] + b"\x03" + der[3:],
        lambda der: b"0\x06\x02\x01\x01\x02\x00",
        lambda der: b"0\x04\x02\x00\x02\x00",
        lambda der: b"0\x00",
        lambda der: b"0",
        lambda der: b"",
        lambda der: bytes(64),
        lambda der: der * 2,
        lambda der: b"0\x06\x02\x01\xff\x02\x01\xff",
    ],
)
def test_only_canonical_der_is_accepted(change: Callable[[bytes], bytes]) -> None:
    private = ec.derive_private_key(99, ec.SECP256R1())
    assert not agreed(private.public_key(), b"m", change(private.sign(b"m", ECDSA)))


def test_a_public_key_must_be_a_point_of_p256() -> None:
    valid = der(ec.derive_private_key(5, ec.SECP256R1()).public_key())
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    for invalid in (
        b"",
        valid[:-1],
        valid + b"\0",
        valid[:-1] + bytes([valid[-1] ^ 1]),
        der(other),
        valid[:-64] + bytes(64),
    ):
        with pytest.raises(ValueError, match="P-256"):
            ecdsa_p256.public_key(invalid)
    too_large = valid[:-64] + (ecdsa_p256.P + 1).to_bytes(32) + valid[-32:]
    with pytest.raises(ValueError, match="P-256"):
        ecdsa_p256.public_key(too_large)
