"""The ledger of a fault run: numbered records with a known fate, and where a `read_committed` reader found each.

It decides what is right: every record exactly once in {canonical, dead letters, parked}, in the order sent per tenant
and topic, every novel field announced. Who feeds the records, and what is broken meanwhile, is the caller's matter.
"""

import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from mapping.mapping_set import Mapping, MappingSet
from schemas import headers as names
from schemas.wire_format import FRAME_BYTES
from topics.clients import make_consumer, make_producer
from topics.kafka_record import OutgoingRecord, last_header
from topics.read_topic import partitions_of
from topics.settings import KafkaSettings

CONNECTOR: Final = "crm"
UNKNOWN_CONNECTOR: Final = "homegrown"
ENTITY: Final = "customer"

# Every 50th record is cut off, every 50th is of a source without mappings; 50 and the tenants share few factors.
_MIX: Final = 50
_GARBAGE: Final = 7
_UNKNOWN: Final = 23
_SOURCE_ID_STRINGS: Final = 6  # event_id, tenant_id, connection, source_system, source_entity, source_id
_SHOWN: Final = 5


class Fate(Enum):
    """Where a record ends, as in the ledger's bytes."""

    CANONICAL = 0
    DEAD_LETTER = 1
    PARKED = 2


@dataclass(frozen=True)
class Verdict:
    """What is wrong, by record number; `sent` and `found` are counts by fate. A good run has no `problems`."""

    sent: Counter[Fate]
    found: Counter[Fate]
    missing: list[int]
    doubled: list[int]
    misplaced: list[int]
    disordered: list[int]
    strangers: list[str]
    unannounced: list[tuple[str, str]]

    @property
    def problems(self) -> list[str]:
        """A sentence for each kind of mistake."""
        kinds: dict[str, Sequence[object]] = {
            "missing": self.missing,
            "doubled": self.doubled,
            "in the wrong topic": self.misplaced,
            "out of order": self.disordered,
            "never sent": self.strangers,
            "novel and not announced": self.unannounced,
        }
        return [f"{len(found)} {kind}, e.g. {found[:_SHOWN]}" for kind, found in kinds.items() if found]


class Ledger:
    """Makes numbered records and takes note of where they come out. One thread may send while another reads."""

    def __init__(
        self, *, tenants: int = 12, novel_every: int = 500, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.tenants = [f"tenant-{n:02d}" for n in range(tenants)]
        self.novel_every = novel_every
        self.latencies: list[float] = []  # seconds from sent to readable; the caller may empty it
        self._clock = clock
        self._sent_at = array("d")
        self._times_found = bytearray()
        self._found: Counter[Fate] = Counter()
        self._last: dict[tuple[str, Fate], int] = {}
        self._misplaced: list[int] = []
        self._disordered: list[int] = []
        self._strangers: list[str] = []
        self._announced: set[tuple[str, str]] = set()

    @property
    def sent(self) -> int:
        """How many records there are; their numbers are 0 to this."""
        return len(self._sent_at)

    @property
    def settled(self) -> int:
        """How many records were found, doubles too."""
        return self._found.total()

    def tenant(self, number: int) -> str:
        return self.tenants[number % len(self.tenants)]

    @staticmethod
    def fate(number: int) -> Fate:
        """Where record `number` must end."""
        mixed = number % _MIX
        return Fate.DEAD_LETTER if mixed == _GARBAGE else Fate.PARKED if mixed == _UNKNOWN else Fate.CANONICAL

    def next(self) -> OutgoingRecord:
        """The next record to send; from now on it is missing until it is found."""
        number = self.sent
        fate, tenant = self.fate(number), self.tenant(number).encode()
        body: dict[str, Any] = {"id": f"c{number}", "name": f"n{number}"}
        if self._is_novel(number):
            body[_novel_path(number)] = True
        value = orjson.dumps(body)
        connector = UNKNOWN_CONNECTOR if fate is Fate.PARKED else CONNECTOR
        self._times_found.append(0)
        self._sent_at.append(self._clock())
        return OutgoingRecord(
            tenant,
            value[:-2] if fate is Fate.DEAD_LETTER else value,
            [
                (names.TENANT, tenant),
                (names.CONNECTOR, connector.encode()),
                (names.ENTITY, ENTITY.encode()),
                (names.RECORD_ID, b"%d" % number),
            ],
        )

    def note(self, fate: Fate, record_id: str) -> None:
        """A record came out."""
        number = int(record_id) if record_id.isdecimal() else -1
        if not 0 <= number < self.sent:
            self._strangers.append(record_id)
            return
        self._found[fate] += 1
        self._times_found[number] = min(255, self._times_found[number] + 1)
        self.latencies.append(self._clock() - self._sent_at[number])
        if fate is not self.fate(number):
            self._misplaced.append(number)
        place = (self.tenant(number), fate)
        if number <= self._last.get(place, -1):
            self._disordered.append(number)
        self._last[place] = max(number, self._last.get(place, -1))

    def note_novel(self, tenant: str, path: str) -> None:
        """A novel field was announced; twice is allowed."""
        self._announced.add((tenant, path))

    def missing_count(self) -> int:
        return self._times_found.count(0)

    def verdict(self) -> Verdict:
        """What is known now; `missing` is only meaningful once everything had time to arrive."""
        novel = {(self.tenant(n), _novel_path(n)) for n in range(self.sent) if self._is_novel(n)}
        return Verdict(
            sent=Counter(map(self.fate, range(self.sent))),
            found=Counter(self._found),
            missing=[n for n, times in enumerate(self._times_found) if times == 0],
            doubled=[n for n, times in enumerate(self._times_found) if times > 1],
            misplaced=self._misplaced,
            disordered=self._disordered,
            strangers=self._strangers,
            unannounced=sorted(novel - self._announced),
        )

    def _is_novel(self, number: int) -> bool:
        return number % self.novel_every == 0 and self.fate(number) is Fate.CANONICAL


def ledger_set() -> MappingSet:
    """What the registry must hold for the ledger's records: `crm/customer` → customer.display_name."""
    name = Mapping(canonical_entity=ENTITY, canonical_field="display_name", source_field="name")
    return MappingSet(connector=CONNECTOR, entity=ENTITY, epoch=0, revision=0, primary_key=("id",), mappings=(name,))


class LedgerSender:
    """Sends a ledger's records; Kafka may come and go, the client tries for `patience_seconds`."""

    def __init__(self, kafka: KafkaSettings, ledger: Ledger, *, patience_seconds: float = 600.0) -> None:
        self._ledger = ledger
        self._topic = kafka.names.raw_records
        self._failures: list[str] = []
        self._patience = patience_seconds
        extra: dict[str, Any] = {"message.timeout.ms": int(patience_seconds * 1000), "on_delivery": self._delivered}
        self._producer: Producer = make_producer(kafka, **extra)

    def send(self, count: int) -> None:
        """Queue the next `count` records, in order."""
        for _ in range(count):
            record = self._ledger.next()
            headers: Any = record.headers
            while True:
                try:
                    self._producer.produce(self._topic, record.value, record.key, headers=headers)
                except BufferError:
                    self._producer.poll(0.05)
                else:
                    break
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until Kafka has all; RuntimeError if it took one not, so that the ledger would accuse others."""
        left = self._producer.flush(self._patience)
        if left or self._failures:
            raise RuntimeError(f"{left} raw records were not acknowledged, {len(self._failures)} refused")

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._failures.append(str(error))


class LedgerReader:
    """Reads what has committed in all output topics, from their beginning, into a ledger."""

    def __init__(self, kafka: KafkaSettings, ledger: Ledger) -> None:
        self._ledger = ledger
        topics = kafka.names
        self._novel = topics.fields_novel
        self._fates = {
            topics.canonical(ENTITY): Fate.CANONICAL,
            topics.dead_letters: Fate.DEAD_LETTER,
            topics.raw_parked: Fate.PARKED,
        }
        extra: dict[str, Any] = {"fetch.wait.max.ms": 50, "fetch.queue.backoff.ms": 20}
        self._consumer: Consumer = make_consumer(kafka, group_id=topics.group("ledger"), **extra)
        self._consumer.assign(
            [
                TopicPartition(topic, partition, 0)
                for topic in (*self._fates, self._novel)
                for partition in partitions_of(self._consumer, topic)
            ]
        )

    def read(self, seconds: float) -> int:
        """Take what is readable within `seconds`; how many records that were. Errors of a Kafka that is away pass."""
        messages = [m for m in self._consumer.consume(5_000, seconds) if m.error() is None]
        for message in messages:
            fate = self._fates.get(message.topic() or "")
            if fate is None:
                field = orjson.loads(message.value() or b"")
                self._ledger.note_novel(field["tenant"], field["path"] or "")
            else:
                self._ledger.note(fate, _record_id(message, fate))
        return len(messages)

    def read_all(self, *, seconds: float, quiet_seconds: float = 4.0) -> None:
        """Read until all that was sent is there and nothing more came for `quiet_seconds`, or `seconds` are over."""
        end = time.monotonic() + seconds
        last = time.monotonic()
        while time.monotonic() < end and (self._ledger.missing_count() or time.monotonic() - last < quiet_seconds):
            if self.read(0.2):
                last = time.monotonic()

    def close(self) -> None:
        self._consumer.close()


def source_id(event: bytes) -> str:
    """`aam.source_id` of a canonical event, Avro or JSON, without reading the rest."""
    if event[:1] == b"{":
        return str(orjson.loads(event)["aam"]["source_id"])
    at, text = FRAME_BYTES, b""
    for _ in range(_SOURCE_ID_STRINGS):
        length, at = _avro_long(event, at)
        text = event[at : at + length]
        at += length
    return text.decode()


def _record_id(message: Message, fate: Fate) -> str:
    if fate is Fate.CANONICAL:
        return source_id(message.value() or b"")
    headers: Any = message.headers() or []
    return (last_header(headers, names.RECORD_ID) or b"").decode()


def _avro_long(data: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends): zigzag varint (Avro 1.12 specification, "binary encoding")."""
    shift = value = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at


def _novel_path(number: int) -> str:
    return f"field_{number}"
