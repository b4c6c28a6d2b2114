"""Avro binary pieces of canonical values (Avro 1.12 specification, "Binary Encoding"), fast enough for every record.

Each function gives the bytes of one value that the union ["null", T] holds, its branch byte included, unless its name
says `plain`. How pieces are joined into an event is decided in `mapping.event_format`.
"""

import struct
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from schemas.canonical_model import DECIMAL_SCALE, FieldKind

NULL: Final = b"\x00"
EMPTY: Final = b"\x00"
TRUE: Final = b"\x02\x01"
FALSE: Final = b"\x02\x00"

_SOME: Final = b"\x02"
_SEVEN_BITS: Final = 0x7F
_FOURTEEN_BITS: Final = 0x3FFF
_MANY_BITS: Final = 1 << 42
_MOST_BITS: Final = 1 << 56
# The two bytes of 14 bits of a number that goes on after them.
_GOES_ON: Final = tuple(bytes((n & _SEVEN_BITS | 0x80, n >> 7 | 0x80)) for n in range(1 << 14))
# The one or two bytes of the last 14 bits.
_ENDS: Final = tuple(bytes((n,)) if n < 0x80 else bytes((n & _SEVEN_BITS | 0x80, n >> 7)) for n in range(1 << 14))
_DOUBLE: Final = struct.Struct("<d")
_LENGTHS_KEPT: Final = 4096


def plain_long(number: int) -> bytes:
    """Zigzag varint of an int or long."""
    zigzag = number << 1 if number >= 0 else (-number << 1) - 1
    if _MANY_BITS <= zigzag < _MOST_BITS:  # a time in microseconds, usually
        return (
            _GOES_ON[zigzag & _FOURTEEN_BITS]
            + _GOES_ON[zigzag >> 14 & _FOURTEEN_BITS]
            + _GOES_ON[zigzag >> 28 & _FOURTEEN_BITS]
            + _ENDS[zigzag >> 42]
        )
    pieces = b""
    while zigzag > _FOURTEEN_BITS:
        pieces += _GOES_ON[zigzag & _FOURTEEN_BITS]
        zigzag >>= 14
    return pieces + _ENDS[zigzag]


class _Prefixes(dict[int, bytes]):
    """Length in bytes → what stands before a string of that length."""

    def __init__(self, branch: bytes) -> None:
        super().__init__((n, branch + plain_long(n)) for n in range(_LENGTHS_KEPT))
        self._branch = branch

    def __missing__(self, length: int) -> bytes:
        return self._branch + plain_long(length)


STRING_PREFIX: Final = _Prefixes(_SOME)
PLAIN_PREFIX: Final = _Prefixes(b"")


def plain_string(text: str) -> bytes:
    """A string that is in no union."""
    encoded = text.encode()
    return PLAIN_PREFIX[len(encoded)] + encoded


def string(text: str) -> bytes:
    """["null", "string"]."""
    encoded = text.encode()
    return STRING_PREFIX[len(encoded)] + encoded


def long(number: int) -> bytes:
    """["null", "long"]; also dates (days) and timestamps (microseconds)."""
    return _SOME + plain_long(number)


def double(number: float) -> bytes:
    """["null", "double"]."""
    return _SOME + _DOUBLE.pack(number)


def plain_double(number: float) -> bytes:
    """A double that is in no union."""
    return _DOUBLE.pack(number)


def boolean(value: bool) -> bytes:
    """["null", "boolean"]."""
    return TRUE if value else FALSE


def decimal(number: Decimal) -> bytes:
    """["null", decimal(38, 9)]."""
    return unscaled_decimal(int(number.scaleb(DECIMAL_SCALE)))


UNSCALED_UNITS: Final = tuple(10 ** (DECIMAL_SCALE - digits) for digits in range(DECIMAL_SCALE + 1))
"""Digits of a currency's minor unit → billionths in one."""


def unscaled_decimal(unscaled: int) -> bytes:
    """["null", decimal(38, 9)] of a count of billionths: two's complement, big endian."""
    size = (unscaled.bit_length() + 8) >> 3
    return STRING_PREFIX[size] + unscaled.to_bytes(size, "big", signed=True)


ENCODERS: Final[dict[FieldKind, Callable[[Any], bytes]]] = {
    FieldKind.STRING: string,
    FieldKind.LONG: long,
    FieldKind.DOUBLE: double,
    FieldKind.BOOLEAN: boolean,
    FieldKind.DECIMAL: decimal,
    FieldKind.TIMESTAMP: long,
    FieldKind.DATE: long,
}


def plain_block(items: Iterable[bytes]) -> bytes:
    """An array or map of encoded items: one block, then the end."""
    pieces = list(items)
    if not pieces:
        return EMPTY
    return plain_long(len(pieces)) + b"".join(pieces) + EMPTY


def plain_strings(texts: Iterable[str]) -> bytes:
    """array<string>."""
    return plain_block(map(plain_string, texts))


def plain_string_map(texts: dict[str, str]) -> bytes:
    """map<string>."""
    return plain_block(plain_string(key) + plain_string(value) for key, value in texts.items())
