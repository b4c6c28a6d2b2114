"""The dead letter: a record that could not be processed, whole, with its coordinates and the reason. Pure.

Original headers come first and ours are appended, so where a name is there twice (a record that was once in Kafka
Connect's dead letters has `__connect.errors.*` already), the last one is ours. `aam-*` names are reserved and
replaced. What is added is coordinates, kinds and reasons, never content of the record.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from schemas import headers as names
from schemas.failures import FailureKind
from topics.kafka_record import (
    OUTPUT_LIMIT_BYTES,
    ConsumedRecord,
    Headers,
    OutgoingRecord,
    RawCoordinates,
    last_header,
    original_coordinates,
    read_original,
    size_bytes,
)

TRUNCATED: Final = "aam-error-truncated"
# A marker's header: this record of the same partition was retried (cli/deadletters.py).
RETRIED_OFFSET: Final = "aam-retried-offset"
REASON_CHARACTERS = 1_000
_BATCH_OVERHEAD_BYTES = 1_024

_RESERVED = frozenset(
    {
        names.RAW_TOPIC,
        names.RAW_PARTITION,
        names.RAW_OFFSET,
        names.RAW_TIMESTAMP,
        names.ERROR_KIND,
        names.ERROR_ATTEMPTS,
        TRUNCATED,
        RETRIED_OFFSET,
    }
)
_CONNECT = (
    names.ERROR_TOPIC,
    names.ERROR_PARTITION,
    names.ERROR_OFFSET,
    names.ERROR_STAGE,
    names.ERROR_EXCEPTION,
    names.ERROR_MESSAGE,
)


class Failure(NamedTuple):
    """Why a record is dead. `stage` is the step that failed, e.g. "canonicalize"; `reason` quotes no values."""

    kind: FailureKind
    stage: str
    exception: str
    reason: str

    @classmethod
    def of(cls, error: BaseException, stage: str) -> "Failure":
        """From an exception. The text of what is not an AamError may quote values, so only its class is kept."""
        kind = getattr(error, "kind", FailureKind.BUG)
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        reason = str(error) if hasattr(error, "kind") else f"unexpected {type(error).__qualname__}"
        return cls(kind, stage, name, reason)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as it was read back. `tenant`, `connector`, `entity` are what the headers say, if they do.

    `failed_at` is where the record stood when it failed, `original` where it first stood; they differ for a retried or
    released one. `attempts` counts the failed tries. `truncated` names what was left out for size: "" if nothing.
    """

    partition: int
    offset: int
    timestamp_ms: int
    kind: str
    stage: str
    exception: str
    reason: str
    attempts: int
    failed_at: RawCoordinates | None
    original: RawCoordinates | None
    tenant: str | None
    connector: str | None
    entity: str | None
    truncated: str
    record: ConsumedRecord


def dead_letter(record: ConsumedRecord, failure: Failure, *, limit_bytes: int = OUTPUT_LIMIT_BYTES) -> OutgoingRecord:
    """The dead letter of `record`: its key, value and headers, with ours appended.

    What would be larger than `limit_bytes` loses its value, then its headers, then its key; `aam-error-truncated` then
    says which, and the coordinates say where the rest is.
    """
    ours = _headers(record, failure)
    theirs = without_reserved(record.headers)
    room = limit_bytes - _BATCH_OVERHEAD_BYTES
    for truncated, key, value, headers in (
        ("", record.key, record.value, theirs),
        ("value", record.key, None, theirs),
        ("value,headers", record.key, None, []),
    ):
        marked = [*headers, *ours, *([(TRUNCATED, truncated.encode())] if truncated else [])]
        if size_bytes(key, value, marked) <= room:
            return OutgoingRecord(key, value, marked)
    return OutgoingRecord(None, None, [*ours, (TRUNCATED, b"value,headers,key")])


def read_dead_letter(record: ConsumedRecord) -> DeadLetter | None:
    """A record of the dead letter topic; None for a marker of a retry. Missing headers read as empty."""
    if retried_offset(record) is not None:
        return None
    text = {name: _text(record.headers, name) for name in (*_CONNECT, names.ERROR_KIND, names.ERROR_ATTEMPTS)}
    original = read_original(record.headers)
    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        kind=text[names.ERROR_KIND],
        stage=text[names.ERROR_STAGE],
        exception=text[names.ERROR_EXCEPTION],
        reason=text[names.ERROR_MESSAGE],
        attempts=_number(text[names.ERROR_ATTEMPTS], default=1),
        failed_at=_failed_at(text, original),
        original=original,
        tenant=_source(record, names.TENANT),
        connector=_source(record, names.CONNECTOR),
        entity=_source(record, names.ENTITY),
        truncated=_text(record.headers, TRUNCATED),
        record=record,
    )


def retry_of(letter: DeadLetter) -> OutgoingRecord:
    """The record as it was before it failed, for its old topic: original bytes and headers, the attempts raised by
    one, and the coordinates where it first stood, so that its events keep their ids.
    """
    headers = list(letter.record.headers)
    for name in _CONNECT:
        last = max((i for i, (key, _) in enumerate(headers) if key == name), default=None)
        if last is not None:
            del headers[last]
    coordinates = letter.original.as_headers() if letter.original else []
    attempts = (names.ERROR_ATTEMPTS, b"%d" % (letter.attempts + 1))
    return OutgoingRecord(letter.record.key, letter.record.value, [*without_reserved(headers), *coordinates, attempts])


def retried_marker(letter: DeadLetter) -> OutgoingRecord:
    """What is written beside a retry, into the dead letter's own partition, so that it is never retried again."""
    return OutgoingRecord(letter.record.key, None, [(RETRIED_OFFSET, b"%d" % letter.offset)])


def retried_offset(record: ConsumedRecord) -> int | None:
    """The offset that a marker says was retried; None for a dead letter."""
    offset = last_header(record.headers, RETRIED_OFFSET) if record.value is None else None
    return int(offset) if offset is not None and offset.isdigit() else None


def without_reserved(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The producer's own headers: without those of an earlier failure, release or retry."""
    return [header for header in headers if header[0] not in _RESERVED]


def _headers(record: ConsumedRecord, failure: Failure) -> list[tuple[str, bytes | None]]:
    attempt = last_header(record.headers, names.ERROR_ATTEMPTS)
    attempts = _number((attempt or b"").decode("ascii", "replace"), default=1)
    return [
        *original_coordinates(record).as_headers(),
        (names.ERROR_TOPIC, record.topic.encode()),
        (names.ERROR_PARTITION, b"%d" % record.partition),
        (names.ERROR_OFFSET, b"%d" % record.offset),
        (names.ERROR_STAGE, failure.stage.encode()),
        (names.ERROR_EXCEPTION, failure.exception.encode()),
        (names.ERROR_MESSAGE, failure.reason[:REASON_CHARACTERS].encode("utf-8", "replace")),
        (names.ERROR_KIND, str(failure.kind).encode()),
        (names.ERROR_ATTEMPTS, b"%d" % attempts),
    ]


def _failed_at(text: dict[str, str], original: RawCoordinates | None) -> RawCoordinates | None:
    topic = text[names.ERROR_TOPIC]
    partition, offset = _number(text[names.ERROR_PARTITION], default=-1), _number(text[names.ERROR_OFFSET], default=-1)
    if not topic or partition < 0 or offset < 0:
        return None
    return RawCoordinates(topic, partition, offset, original.timestamp_ms if original else -1)


def _source(record: ConsumedRecord, name: str) -> str | None:
    return _text(record.headers, name) or _text(record.headers, f"ce_{name}") or None


def _text(headers: Headers, name: str) -> str:
    return (last_header(headers, name) or b"").decode("utf-8", "replace")


def _number(text: str, *, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else default
