"""Finds dead letters, and retries them: each at most once, whatever else was retried before, by whom, in what order.

A retry and a marker are written in one transaction: the record to the topic and partition where it failed, the
marker (no value, header `aam-retried-offset`) to the dead letter's own partition. The markers are the memory: unlike a
consumer group's one offset they can say "this one, not that one", they need no bound, and they expire with the letters.
A second run at the same time takes the transactional id over, so the first one fails instead of doubling anything; it
reads to the last record written before it chooses, so it misses no marker, even behind somebody's open transaction.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from confluent_kafka import KafkaException, Producer

from schemas.failures import TransientError
from topics.clients import as_aam_error, make_producer
from topics.dead_letter import DeadLetter, read_dead_letter, retried_marker, retried_offset, retry_of
from topics.kafka_record import OutgoingRecord, RawCoordinates, size_bytes
from topics.read_topic import Until, read_topic
from topics.settings import KafkaSettings

Place: TypeAlias = tuple[int, int]  # (partition, offset) in the dead letter topic

CHUNK_RECORDS = 500
CHUNK_BYTES = 16 * 1024 * 1024
TRANSACTION_SECONDS = 60.0


@dataclass(frozen=True)
class Wanted:
    """Which dead letters: those that fit all that is given."""

    tenant: str | None = None
    kind: str | None = None
    places: frozenset[Place] | None = None

    def fits(self, letter: DeadLetter) -> bool:
        """Whether `letter` is one of them."""
        return (
            (self.tenant is None or letter.tenant == self.tenant)
            and (self.kind is None or letter.kind == self.kind)
            and (self.places is None or (letter.partition, letter.offset) in self.places)
        )


@dataclass
class Retried:
    """What a retry did. `refused` says of a dead letter why it was left alone."""

    count: int = 0
    refused: dict[Place, str] = field(default_factory=dict)


def newest(settings: KafkaSettings, wanted: Wanted, *, limit: int, retried: bool = False) -> list[DeadLetter]:
    """The newest dead letters that fit, oldest first; those that were retried only with `retried`.

    Raises TransientError or Misconfigured as `read_topic` does.
    """
    kept: dict[int, deque[DeadLetter]] = defaultdict(lambda: deque(maxlen=limit))
    for record in read_topic(settings, settings.names.dead_letters):
        again = retried_offset(record)
        letters = kept[record.partition]
        if again is not None and not retried:
            # leaves at most what the deque has dropped before: the list may then be shorter than `limit`
            kept[record.partition] = deque((old for old in letters if old.offset != again), maxlen=limit)
        letter = read_dead_letter(record)
        if letter is not None and wanted.fits(letter):
            letters.append(letter)
    found = [letter for letters in kept.values() for letter in letters]
    return sorted(found, key=lambda letter: (letter.timestamp_ms, letter.partition, letter.offset))[-limit:]


def find(settings: KafkaSettings, place: Place) -> DeadLetter | None:
    """The dead letter at a place; None if there is none (any more)."""
    partition, offset = place
    for record in read_topic(settings, settings.names.dead_letters, start={partition: offset}):
        return read_dead_letter(record) if record.offset == offset else None
    return None


def retry(settings: KafkaSettings, wanted: Wanted, *, progress: Callable[[int], None] = lambda count: None) -> Retried:
    """Writes the wanted dead letters that were never retried back to where they failed; `progress` gets the count.

    Chunk by chunk, each a transaction: after an error what was committed stays, and a further call does the rest.

    Raises:
        TransientError: Kafka doesn't answer, a transaction stays open, or another retry took over.
        Misconfigured: Kafka refuses.
    """
    done = Retried()
    producer = make_producer(
        settings, transactional_id=settings.names.transactional_id("deadletters-retry"), **{"linger.ms": 50}
    )
    with _translated("start a transaction"):
        producer.init_transactions(TRANSACTION_SECONDS)
    for chunk in _chunks(_letters(settings, _open_places(settings, wanted)), settings, done):
        _commit(producer, settings, chunk)
        done.count += len(chunk)
        progress(done.count)
    return done


def _open_places(settings: KafkaSettings, wanted: Wanted) -> dict[int, set[int]]:
    """partition -> offsets that are wanted and were never retried. Numbers only: letters may be many and large."""
    places: dict[int, set[int]] = defaultdict(set)
    for record in read_topic(settings, settings.names.dead_letters, until=Until.WRITTEN):
        again = retried_offset(record)
        if again is not None:
            places[record.partition].discard(again)
            continue
        letter = read_dead_letter(record)
        if letter is not None and wanted.fits(letter):
            places[record.partition].add(record.offset)
    return {partition: offsets for partition, offsets in places.items() if offsets}


def _letters(settings: KafkaSettings, places: dict[int, set[int]]) -> Iterator[DeadLetter]:
    """The dead letters at these places; those that expired meanwhile are left out."""
    for partition, offsets in places.items():
        last = max(offsets)
        for record in read_topic(settings, settings.names.dead_letters, start={partition: min(offsets)}):
            letter = read_dead_letter(record) if record.offset in offsets else None
            if letter is not None:
                yield letter
            if record.offset >= last:
                break


def _chunks(letters: Iterable[DeadLetter], settings: KafkaSettings, done: Retried) -> Iterator[list[DeadLetter]]:
    limits = {spec.name: spec.max_message_bytes for spec in settings.catalogue()}
    chunk: list[DeadLetter] = []
    chunk_bytes = 0
    for letter in letters:
        reason = _obstacle(letter, limits)
        if reason is not None:
            done.refused[letter.partition, letter.offset] = reason
            continue
        letter_bytes = size_bytes(letter.record.key, letter.record.value, letter.record.headers)
        if chunk and (len(chunk) == CHUNK_RECORDS or chunk_bytes + letter_bytes > CHUNK_BYTES):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(letter)
        chunk_bytes += letter_bytes
    if chunk:
        yield chunk


def _obstacle(letter: DeadLetter, limits: dict[str, int]) -> str | None:
    """Why a dead letter can't be retried; None if it can."""
    if letter.failed_at is None:
        return "it does not say where it failed"
    if letter.truncated:
        return f"its {letter.truncated} did not fit and was not kept"
    limit = limits.get(letter.failed_at.topic)
    if limit is not None and size_bytes(*retry_of(letter)) > limit:
        return f"it is too large for {letter.failed_at.topic} with the headers of a retry"
    return None


def _commit(producer: Producer, settings: KafkaSettings, chunk: list[DeadLetter]) -> None:
    with _translated("retry dead letters"):
        producer.begin_transaction()
        try:
            for letter in chunk:
                if letter.failed_at is not None:
                    _send(producer, *_way_back(letter.failed_at, settings), retry_of(letter))
                    _send(producer, settings.names.dead_letters, letter.partition, retried_marker(letter))
            producer.commit_transaction(TRANSACTION_SECONDS)
        except (KafkaException, BufferError) as error:
            if not _is_fatal(error):
                producer.abort_transaction(TRANSACTION_SECONDS)
            raise


def _way_back(failed_at: RawCoordinates, settings: KafkaSettings) -> tuple[str, int]:
    """(topic, partition) of a retry: where it failed; our raw topic where that is another's (AAM_RAW_TOPICS)."""
    raw_records = settings.names.raw_records
    if settings.raw_bindings.find(failed_at.topic) is None:
        return failed_at.topic, failed_at.partition
    partitions = next(spec.partitions for spec in settings.catalogue() if spec.name == raw_records)
    return raw_records, failed_at.partition % partitions


def _send(producer: Producer, topic: str, partition: int, record: OutgoingRecord) -> None:
    producer.produce(topic, value=record.value, key=record.key, partition=partition, headers=list(record.headers))
    producer.poll(0)


def _is_fatal(error: Exception) -> bool:
    return isinstance(error, KafkaException) and bool(error.args[0].fatal())


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Kafka's errors in the block as ours; a fatal one means that another retry took the transactional id over."""
    try:
        yield
    except KafkaException as error:
        if _is_fatal(error):
            raise TransientError("another `aam deadletters retry` took over; what was committed stays") from error
        raise as_aam_error(error, doing) from error
    except BufferError as error:
        raise TransientError("the producer's queue is full: Kafka is slow to answer") from error
