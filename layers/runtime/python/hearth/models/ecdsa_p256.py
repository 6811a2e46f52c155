"""ECDSA over P-256 with SHA-256: verification only (FIPS 186-5, 6.4.2).

Written in Python because that adds least to a cold start: 3 ms in all, while importing `cryptography` takes more than
50 ms and its package has 16 MB (`python -m tests.hostile.signatures` measures both). All inputs are public, so timing
differences reveal nothing. Nothing here signs.
"""

from __future__ import annotations

import hashlib
from functools import cache

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
"""The field's prime."""
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the group."""
A = P - 3
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
PUBLIC_KEY = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""DER prefix of a SubjectPublicKeyInfo of this curve; the point's coordinates follow, 32 bytes each."""

Point = tuple[int, int]
_Jacobian = tuple[int, int, int]
"""(x, y, z) represents (x / z², y / z³); z = 0 is the point at infinity."""
_INFINITY: _Jacobian = (1, 1, 0)


def public_key(der: bytes) -> Point:
    """The point of a SubjectPublicKeyInfo. Raises ValueError for another kind of key or a point off the curve."""
    if not der.startswith(PUBLIC_KEY) or len(der) != len(PUBLIC_KEY) + 64:
        raise ValueError("not an uncompressed P-256 public key")
    x, y = int.from_bytes(der[-64:-32]), int.from_bytes(der[-32:])
    if x >= P or y >= P or (y * y - (x * x + A) * x - B) % P:
        raise ValueError("not a point of P-256")
    return x, y


def verify(key: Point, message: bytes, signature: bytes) -> bool:
    """Whether `signature`, in DER, is a signature of `message` by the owner of the public key `key`."""
    numbers = _parse_signature(signature)
    return numbers is not None and _is_valid(key, int.from_bytes(hashlib.sha256(message).digest()), *numbers)


def _is_valid(key: Point, digest: int, r: int, s: int) -> bool:
    if not (0 < r < N and 0 < s < N):
        return False
    inverse = pow(s, -1, N)
    x, _, z = _sum_of_products(digest * inverse % N, r * inverse % N, key)
    return z != 0 and x * pow(z, -2, P) % P % N == r


def _parse_signature(signature: bytes) -> tuple[int, int] | None:
    """r and s of SEQUENCE { INTEGER, INTEGER }; None for any other bytes, since DER has one encoding of a number."""
    if not 8 <= len(signature) <= 72 or signature[0] != 0x30 or signature[1] != len(signature) - 2:
        return None
    numbers = []
    remaining = signature[2:]
    for _ in range(2):
        if len(remaining) < 3 or remaining[0] != 0x02 or not 0 < remaining[1] <= len(remaining) - 2:
            return None
        content, remaining = remaining[2 : 2 + remaining[1]], remaining[2 + remaining[1] :]
        negative = content[0] >= 0x80
        padded = content[0] == 0 and len(content) > 1 and content[1] < 0x80
        if negative or padded:
            return None
        numbers.append(int.from_bytes(content))
    return None if remaining else (numbers[0], numbers[1])


def _sum_of_products(u: int, v: int, key: Point) -> _Jacobian:
    """u · G + v · key, two bits of both numbers at a time."""
    table = [_INFINITY] * 16  # 4 i + j: i · G + j · key
    for i, multiple in enumerate(_multiples_of_g()):
        table[4 * i] = multiple
        for j in range(1, 4):
            table[4 * i + j] = _add(table[4 * i + j - 1], (*key, 1))
    total = _INFINITY
    for shift in range(254, -1, -2):
        total = _double(_double(total))
        index = 4 * (u >> shift & 3) + (v >> shift & 3)
        if index:
            total = _add(total, table[index])
    return total


@cache
def _multiples_of_g() -> tuple[_Jacobian, ...]:
    g = (*G, 1)
    g2 = _double(g)
    return _INFINITY, g, g2, _add(g2, g)


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    if z == 0 or y == 0:
        return _INFINITY
    square = z * z % P
    yy = y * y % P
    s = 4 * x * yy % P
    slope = 3 * (x - square) * (x + square) % P  # 3 x² + A z⁴, as A is -3
    new_x = (slope * slope - 2 * s) % P
    return new_x, (slope * (s - new_x) - 8 * yy * yy) % P, 2 * y * z % P


def _add(p: _Jacobian, q: _Jacobian) -> _Jacobian:
    x1, y1, z1 = p
    x2, y2, z2 = q
    if z1 == 0:
        return q
    if z2 == 0:
        return p
    square1, square2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * square2 % P, x2 * square1 % P
    s1, s2 = y1 * square2 * z2 % P, y2 * square1 * z1 % P
    if u1 == u2:
        return _double(p) if s1 == s2 else _INFINITY
    h, r = (u2 - u1) % P, (s2 - s1) % P
    hh = h * h % P
    hhh = h * hh % P
    v = u1 * hh % P
    x = (r * r - hhh - 2 * v) % P
    return x, (r * (v - x) - s1 * hhh) % P, h * z1 * z2 % P
