"""The raw records of the canonicalize benchmark and the mapping sets for them, from `canonicalize_sources.json`.

Each source there is `connector/entity → canonical entity` with its paths: a maker of values, then, where it is mapped,
the canonical field, the transform, and what the path ends with (`[]`). Unmapped paths are known to be nothing.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import TopicPartition
from faker import Faker

from mapping.mapping_set import Mapping, MappingSet, Transform
from topics.clients import make_consumer, make_producer
from topics.read_topic import partitions_of
from topics.settings import KafkaSettings

SOURCES: Final = Path(__file__).with_name("canonicalize_sources.json")
SEED: Final = 7
BODIES: Final = 2_000  # different records a source; what makes one unique is its key
_KEY: Final = "@KEY@"
_NULL_SHARE: Final = 0.15
_SINCE: Final = 1_704_067_200  # 2024-01-01
_UNTIL: Final = 1_767_225_600  # 2026-01-01
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

Value = Callable[[], Any]


@dataclass(frozen=True)
class Shape:
    """How wide the load spreads: transactions cost by the partitions that they touch."""

    name: str
    entities: int
    tenants: int


NARROW: Final = Shape("narrow", 1, 20)
WIDE: Final = Shape("wide", 10, 500)


@dataclass(frozen=True)
class Source:
    """One connector's entity: its mapping set, and bodies whose key is still to be put in."""

    mapping_set: MappingSet
    target: str
    field_count: int
    bodies: tuple[bytes, ...]

    @property
    def headers(self) -> list[tuple[str, Any]]:
        return [("connector", self.mapping_set.connector.encode()), ("entity", self.mapping_set.entity.encode())]


def load_sources(shape: Shape, bodies: int = BODIES) -> list[Source]:
    """The first `shape.entities` sources of the file, each of a connector and canonical entity of its own."""
    described = json.loads(SOURCES.read_text(encoding="utf-8"))
    makers = _Makers(random.Random(SEED))  # noqa: S311  # the same records every time
    return [_source(name, fields, makers, bodies) for name, fields in list(described.items())[: shape.entities]]


def records(sources: Sequence[Source], shape: Shape, first: int = 0) -> Iterator[tuple[bytes, bytes, Any]]:
    """(key, value, headers) without end, from record number `first` on. A record's own id ends with its number."""
    chance = random.Random(SEED + first)  # noqa: S311  # as above
    tenants = [f"tenant-{n:03d}".encode() for n in range(shape.tenants)]
    origins = [[[("tenant", tenant), *source.headers] for tenant in tenants] for source in sources]
    key, number = _KEY.encode(), first
    while True:
        at, tenant = chance.randrange(len(sources)), chance.randrange(len(tenants))
        body = chance.choice(sources[at].bodies)
        yield tenants[tenant], body.replace(key, b"%d" % number), origins[at][tenant]
        number += 1


def number_of(source_id: str) -> int:
    """The number of the record that has this id."""
    return int(source_id.rpartition("_")[2])


def produce(kafka: KafkaSettings, sources: Sequence[Source], shape: Shape, count: int) -> None:
    """Write `count` raw records; RuntimeError if Kafka didn't take them all."""
    producer = make_producer(kafka, **{"linger.ms": 50, "queue.buffering.max.messages": 500_000})  # type: ignore[arg-type]
    topic, made = kafka.names.raw_records, records(sources, shape)
    for _ in range(count):
        key, value, headers = next(made)
        while True:
            try:
                producer.produce(topic, value, key, headers=headers)
            except BufferError:
                producer.poll(0.1)
            else:
                break
    if producer.flush(120):
        raise RuntimeError("Kafka did not take the raw records")


def raw_ends(kafka: KafkaSettings) -> list[TopicPartition]:
    """The end of each raw partition."""
    topic = kafka.names.raw_records
    consumer = make_consumer(kafka, group_id=kafka.names.group("bench"))
    try:
        places = [TopicPartition(topic, partition) for partition in partitions_of(consumer, topic)]
        return [
            TopicPartition(topic, place.partition, consumer.get_watermark_offsets(place, timeout=10)[1])
            for place in places
        ]
    finally:
        consumer.close()


def _source(name: str, fields: dict[str, list[Any]], makers: "_Makers", bodies: int) -> Source:
    origin, _, target = name.partition(" → ")
    connector, _, entity = origin.partition("/")
    values = {path: makers.maker(described[0]) for path, described in fields.items()}
    mapped = {path: described for path, described in fields.items() if len(described) > 1}
    key = next(path for path, described in fields.items() if described[0].startswith(("key", "serial")))
    mapping_set = MappingSet(
        connector=connector,
        entity=entity,
        epoch=0,
        revision=0,
        primary_key=(key,),
        ignored=tuple(path for path in fields if path not in mapped and path != key),
        mappings=tuple(_mapping(target, path, *described[1:]) for path, described in mapped.items()),
    )
    return Source(mapping_set, target, len(fields), tuple(_body(values) for _ in range(bodies)))


def _mapping(target: str, path: str, field: str, transform: dict[str, Any] | None = None, ending: str = "") -> Mapping:
    return Mapping(
        canonical_entity=target,
        canonical_field=field,
        source_field=path + ending,
        transform=Transform.model_validate(transform or {}),
    )


def _body(values: dict[str, Value]) -> bytes:
    record: dict[str, Any] = {}
    for path, make in values.items():
        *parents, last = path.split(".")
        place = record
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = make()
    # A number's place holder is a string in the dict; its quotes go with it.
    return orjson.dumps(record).replace(f'"{_KEY}"'.encode(), _KEY.encode())


class _Makers:
    """The vocabulary of values: `name`, `name?` (now and then null), `name:parameter`."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        fake = Faker("en_US", use_weighting=False)
        fake.seed_instance(SEED)
        texts: dict[str, Callable[[], str]] = {
            "name": fake.name,
            "first": fake.first_name,
            "last": fake.last_name,
            "company": fake.company,
            "email": fake.safe_email,
            "phone": fake.phone_number,
            "street": fake.street_address,
            "city": fake.city,
            "state": fake.state_abbr,
            "zip": fake.postcode,
            "login": fake.user_name,
            "sentence": fake.sentence,
            "paragraph": fake.paragraph,
            "url": fake.uri,
        }
        self._pools = {kind: [make() for _ in range(500)] for kind, make in texts.items()}

    def maker(self, described: str) -> Value:
        kind, _, parameter = described.partition(":")
        make = self._of(kind.removesuffix("?"), parameter)
        if not kind.endswith("?"):
            return make
        return lambda: None if self._chance.random() < _NULL_SHARE else make()

    def _of(self, kind: str, parameter: str) -> Value:
        chance, pool, words = self._chance, self._pools.get(kind), parameter.split("|")
        if pool is not None:
            return lambda: chance.choice(pool)
        moments: dict[str, Value] = {
            "epoch": self._epoch,
            "millis": lambda: self._epoch() * 1000 + chance.randrange(1000),
            "seconds_text": lambda: f"{self._epoch()}.{chance.randrange(10**6):06d}",
            "iso": lambda: self._moment().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "iso_ms": lambda: self._moment().strftime("%Y-%m-%dT%H:%M:%S.") + f"{chance.randrange(1, 1000):03d}Z",
            "date": lambda: self._moment().strftime("%Y-%m-%d"),
        }
        plain: dict[str, Value] = {
            "key": lambda: f"{parameter}_{_KEY}",
            "serial": lambda: _KEY,
            "id": lambda: f"{parameter}_{self._token(14)}",
            "token": lambda: self._token(int(parameter)),
            "null": lambda: None,
            "bool": lambda: chance.random() < 0.5,
            "word": lambda: chance.choice(words),
            "words": lambda: chance.sample(words, chance.randrange(1, len(words))),
            "float": lambda: round(chance.uniform(10, 90_000), 2),
            "int": lambda: chance.randint(*map(int, parameter.split(":"))),
        }
        return (moments | plain)[kind]

    def _epoch(self) -> int:
        return self._chance.randint(_SINCE, _UNTIL)

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._epoch(), UTC)

    def _token(self, length: int) -> str:
        return "".join(self._chance.choices(_LETTERS, k=length))
