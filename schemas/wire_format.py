"""The Confluent wire format: a zero byte, the schema's id as 4 bytes big-endian, the Avro body.

Source: Confluent Schema Registry documentation, "Wire format".
"""

import struct
from typing import Final

from schemas.failures import InvalidRecord

MAGIC: Final = 0
FRAME_BYTES: Final = 5
_FRAME: Final = struct.Struct(">BI")


def frame(schema_id: int) -> bytes:
    """The 5 bytes that stand before an Avro body written with schema `schema_id` (0 to 2**32 - 1)."""
    return _FRAME.pack(MAGIC, schema_id)


def unframe(value: bytes) -> tuple[int, bytes]:
    """(schema id, Avro body) of a framed value.

    Raises:
        InvalidRecord: shorter than 5 bytes, or another first byte than 0.
    """
    if len(value) < FRAME_BYTES:
        raise InvalidRecord(f"value of {len(value)} bytes is too short for the Confluent wire format")
    magic, schema_id = _FRAME.unpack_from(value)
    if magic != MAGIC:
        raise InvalidRecord(f"value does not start with the Confluent wire format's byte 0 but with {magic}")
    return schema_id, value[FRAME_BYTES:]
