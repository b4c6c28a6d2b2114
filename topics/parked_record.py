"""The parked record: a raw record whose source is unknown, whole, until a mapping set is published. Pure.

Key, value and headers are the producer's; `aam-raw-*` headers say where it first stood. A release canonicalizes it from
here (docs/adr/0007), and those headers give its events the ids they would have had.
"""

from schemas.failures import InvalidRecord
from topics.dead_letter import without_reserved
from topics.kafka_record import OUTPUT_LIMIT_BYTES, ConsumedRecord, OutgoingRecord, original_coordinates, size_bytes

_BATCH_OVERHEAD_BYTES = 1_024


def parked(record: ConsumedRecord, *, limit_bytes: int = OUTPUT_LIMIT_BYTES) -> OutgoingRecord:
    """`record` for the parked topic.

    Raises:
        InvalidRecord: larger than `limit_bytes`; make it a dead letter, which can do without the value.
    """
    headers = [*without_reserved(record.headers), *original_coordinates(record).as_headers()]
    if size_bytes(record.key, record.value, headers) > limit_bytes - _BATCH_OVERHEAD_BYTES:
        raise InvalidRecord(f"the source has no mapping, and the record is too large to park (over {limit_bytes} B)")
    return OutgoingRecord(record.key, record.value, headers)
