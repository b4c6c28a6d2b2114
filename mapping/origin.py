"""Where a raw record comes from (`Origin`) and how it reached us (`Delivery`): the facts that an event's `aam` block
repeats. Read from headers by `topics.raw_record`; used by the compiled set.
"""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Origin:
    """One source of records. `connection` tells two uses of one connector by a tenant apart."""

    tenant: str
    connector: str
    entity: str
    connection: str


class Delivery(NamedTuple):
    """One record's coordinates and headers. Times in microseconds since the epoch, but `timestamp_ms`, Kafka's own."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    op: str
    record_id: str | None
    observed_at_us: int | None
    emitted_at_us: int
