"""The second act of `aam demo`: a vendor adds fields while records flow. What is plain becomes mapped by itself, what
is doubtful stands in the review queue, and its acceptance changes the next events. The agents do it; this only sends,
waits and shows.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition
from faker import Faker

from cli.console import say, write_line, write_table
from cli.produce import DELIVERY_SECONDS, Sender, source_headers
from cli.sample_records import stripe_customer
from cli.tail import ReleasedSchemas, decode_event, one_line
from mapping.decode_json import dump
from registry.novel_fields import ExplainedField, NovelFieldStore
from registry.pool import Pool
from registry.review import ReviewFilter, ReviewGroup, ReviewQueue
from registry.review_items import target_of
from schemas.failures import TransientError
from topics.avro_reader import AvroReader
from topics.clients import make_consumer, make_producer
from topics.read_topic import partitions_of
from topics.settings import KafkaSettings

TENANT, CONNECTOR, ENTITY = "acme", "stripe", "customer"
ADDED: Final[dict[str, Callable[[Faker], Any]]] = {
    "first_name": lambda fake: fake.first_name(),
    "last_name": lambda fake: fake.last_name(),
    "company_name": lambda fake: fake.company(),
    "vat_number": lambda fake: fake.bothify("DE#########"),
    "segment": lambda fake: fake.random.choice(("smb", "mid-market", "enterprise")),
}
RECORDS: Final = 250  # a new field is announced after 200 records or two seconds
PATIENCE_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.1
ROUND_SECONDS: Final = 0.3


def show_new_fields(settings: KafkaSettings, pool: Pool) -> None:
    """Send customers with new fields, show what became of each, accept a doubtful one, show the next event."""
    say("")
    say(f"stripe adds {len(ADDED)} fields to {TENANT}'s customers that nobody has mapped: {', '.join(ADDED)}")
    customers = _customers()
    sender = Sender(make_producer(settings), settings.names.raw_records)
    started = time.monotonic()
    _send(sender, customers, RECORDS)
    decided = _decided(NovelFieldStore(pool))
    write_table(
        (f"{time.monotonic() - started:.1f} s later", "what was decided by itself", "why"),
        [(name, field.verdict or "waits", field.reason or "") for name, field in decided.items()],
    )
    doubtful = _doubtful(ReviewQueue(pool))
    if doubtful is not None:
        _accept(settings, pool, doubtful, sender, customers)


def _customers() -> Iterator[bytes]:
    fake = Faker("en_US", use_weighting=False)
    fake.seed_instance(11)
    while True:
        yield dump(stripe_customer(fake) | {name: make(fake) for name, make in ADDED.items()})


def _send(sender: Sender, customers: Iterator[bytes], count: int) -> None:
    for _ in range(count):
        sender.send(TENANT.encode(), next(customers), source_headers(TENANT, CONNECTOR, ENTITY))
    sender.producer.flush(DELIVERY_SECONDS)
    sender.raise_error()


def _decided(store: NovelFieldStore) -> dict[str, ExplainedField]:
    """What became of the new fields. Raises TransientError if nothing does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = {name: field for name in ADDED for field in store.explain(CONNECTOR, ENTITY, name, tenant=TENANT)}
        if len(found) == len(ADDED) and all(field.verdict for field in found.values()):
            return found
        if time.monotonic() > deadline:
            raise TransientError(f"only {sorted(found)} were decided within {PATIENCE_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def _doubtful(queue: ReviewQueue) -> ReviewGroup | None:
    waiting = queue.list(ReviewFilter(tenant=TENANT, connector=CONNECTOR, entity=ENTITY))
    return next((group for group in waiting if group.item.path in ADDED and group.item.candidates), None)


def _accept(
    settings: KafkaSettings, pool: Pool, doubtful: ReviewGroup, sender: Sender, customers: Iterator[bytes]
) -> None:
    entity, target = target_of(doubtful.item, doubtful.item.candidates[0])
    reader = _from_now_on(settings)
    try:
        say(f"in review (`aam review list`): is {doubtful.item.path} the {entity}'s {target}? A person accepts:")
        revision = ReviewQueue(pool).accept(doubtful.id, actor="demo")
        accepted = time.monotonic()
        say(f"  aam review accept {doubtful.id}    (mapping revision {revision})")
        event = _first_event_of(revision, reader, lambda: _send(sender, customers, 1))
    finally:
        reader.close()
    say(f"{time.monotonic() - accepted:.1f} s later an event has it:")
    write_line(f"{ENTITY:13} {one_line(event)}")


def _from_now_on(settings: KafkaSettings) -> Consumer:
    topic = settings.names.canonical(ENTITY)
    consumer = make_consumer(settings, group_id=settings.names.group("demo"))
    partitions = partitions_of(consumer, topic)
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, number))[1] for number in partitions]
    consumer.assign([TopicPartition(topic, number, end) for number, end in zip(partitions, ends, strict=True)])
    return consumer


def _first_event_of(revision: int, reader: Consumer, send_one: Callable[[], None]) -> dict[str, Any]:
    """An event made with that revision or a later one. Raises TransientError if none comes."""
    decode = AvroReader(ReleasedSchemas())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        send_one()
        for message in reader.consume(100, timeout=ROUND_SECONDS):
            if message.error() is None:
                event = decode_event(message.value(), decode)
                if event["aam"]["mapping_revision"] >= revision:
                    return event
    raise TransientError(f"no event was made with revision {revision} within {PATIENCE_SECONDS:.0f} s")
