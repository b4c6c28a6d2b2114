"""`aam demo`: the whole system on a Kafka and Postgres of its own, fed with records shaped like those of real vendors.

Starts and ends everything; what is printed is read back from Kafka, by the same commands' code that users have.
"""

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path
from typing import Annotated

import httpx
import typer
from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr

from cli.console import printable, say, write_line, write_table
from cli.demo_new_fields import show_new_fields
from cli.produce import DELIVERY_SECONDS, Sender, source_headers
from cli.sample_records import records
from cli.tail import ReleasedSchemas, decode_event, one_line
from infra.free_ports import free_ports
from infra.kafka.broker import owned_kafka
from infra.owned_process import OwnedProcess
from infra.postgres.server import owned_postgres
from infra.server_command import ServerCommand, log_tail
from infra.settings import LocalSettings
from mapping.decode_json import dump
from registry.mapping_store import MappingStore
from registry.migrate import migrate
from registry.pool import Pool, open_pool
from registry.seeds import load_seeds
from registry.settings import RegistrySettings
from schemas.canonical_model import load_entities
from schemas.failures import TransientError
from topics import provision
from topics.avro_reader import AvroReader
from topics.clients import make_admin, make_consumer, make_producer
from topics.settings import KafkaSettings

app = typer.Typer()

TENANTS = ("acme", "globex")
READY_SECONDS = 60.0
QUIET_SECONDS = 5.0
SETTLED_SECONDS = 0.5
EVENTS_SHOWN = 24
PAUSE_BETWEEN_KEPT_RECORDS = 0.05


@dataclass
class Tally:
    """What came out, by topic."""

    out: Counter[str] = field(default_factory=Counter)
    last: float = 0.0

    def count(self, topic: str) -> None:
        self.last = time.monotonic()
        self.out[topic] += 1


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep it up and streaming until Ctrl-C.")] = False,
    count: Annotated[int, typer.Option("--records", min=1, help="Raw records to send.")] = 3_000,
) -> None:
    """Run everything on this machine: raw Stripe, GitHub and Slack records in, canonical events out."""
    root = LocalSettings().root
    ended = threading.Event()
    # What runs aside ends first, then what it started.
    with ExitStack() as stack, ThreadPoolExecutor(2) as aside, ExitStack() as leaving:
        leaving.callback(ended.set)
        raw = aside.submit(lambda: list(takewhile(lambda _: not ended.is_set(), _raw_records(count))))
        registry = aside.submit(_start_registry, stack, root)
        kafka = stack.enter_context(owned_kafka(root, say=say, volatile=not keep))
        database_url = registry.result()
        settings = KafkaSettings().model_copy(update={"bootstrap_servers": kafka.bootstrap_servers})
        env = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "DATABASE_URL": database_url}
        patience = {"AAM_START_WAIT_SECONDS": str(READY_SECONDS)}  # the topics come while it starts
        worker = stack.enter_context(_served("worker", env | patience, root, "AAM_WORKER_PORT"))
        gateway = stack.enter_context(_served("gateway", env, root, "AAM_GATEWAY_PORT"))
        _create_topics(settings)
        _await_ready(worker)
        _await_ready(gateway)
        _run(settings, raw.result())
        with _open_registry(database_url) as pool:
            show_new_fields(settings, pool)
        _say_where(settings, gateway)
        if keep:
            _say_how_to_join(env)
            _stream_until_interrupted(settings)


def _create_topics(settings: KafkaSettings) -> None:
    catalogue = settings.catalogue()
    say(f"creating {len(catalogue)} topics, {sum(spec.partitions for spec in catalogue)} partitions")
    admin = make_admin(settings)
    provision.apply(admin, catalogue, provision.plan(admin, catalogue))


def _start_registry(stack: ExitStack, root: Path) -> str:
    """A Postgres with the seed mappings, ended by `stack`; its address."""
    postgres = stack.enter_context(owned_postgres(root, say=say))
    migrate(postgres.database_url)
    seeds = load_seeds()
    with _open_registry(postgres.database_url) as pool:
        revision = MappingStore(pool).import_seed(seeds, actor="demo")
    say(f"registry: {len(seeds)} mapping sets, revision {revision}")
    return postgres.database_url


def _open_registry(database_url: str) -> AbstractContextManager[Pool]:
    return open_pool(RegistrySettings(DATABASE_URL=SecretStr(database_url)))  # type: ignore[call-arg]  # an alias


@dataclass(frozen=True)
class _Served:
    name: str
    port: int
    process: OwnedProcess

    def __enter__(self) -> "_Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.end()


def _served(name: str, env: dict[str, str], root: Path, port_variable: str) -> _Served:
    (port,) = free_ports(1)
    say(f"starting aam {name} on port {port}")
    log = root / f"demo-{name}.log"
    command = ServerCommand(
        name=f"aam {name}",
        argv=(sys.executable, "-m", "cli", name),
        log=log,
        marker=name,
        discard_signal=signal.SIGTERM,
        env=dict(os.environ) | env | {port_variable: str(port)},
    )
    return _Served(name, port, OwnedProcess(command, remove=[]))


def _await_ready(served: _Served) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and not served.process.ended:
        try:
            if httpx.get(f"http://127.0.0.1:{served.port}/health/ready", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TransientError(f"aam {served.name} did not get ready: {log_tail(served.process.command.log)}")


def _raw_records(count: int) -> Iterator[tuple[str, str, str, bytes]]:
    """(tenant, connector, entity, value): mostly good, now and then what a real stream has too."""
    for number, (connector, entity, record) in enumerate(islice(records(7), count)):
        tenant = TENANTS[number % len(TENANTS)]
        if number % 500 == 499:
            yield tenant, connector, entity, b'{"id": "cut off'
        elif number % 300 == 299:
            yield tenant, "homegrown_crm", "person", dump(record)
        else:
            yield tenant, connector, entity, dump(record)


def _send(sender: Sender, raw: tuple[str, str, str, bytes]) -> None:
    tenant, connector, entity, value = raw
    sender.send(tenant.encode(), value, source_headers(tenant, connector, entity))


def _run(settings: KafkaSettings, raw: list[tuple[str, str, str, bytes]]) -> None:
    tally = Tally()
    reader = _output_consumer(settings)
    try:
        say(f"sending {len(raw)} raw records of {len(TENANTS)} tenants; the first events:")
        sender = Sender(make_producer(settings), settings.names.raw_records)
        started = time.monotonic()
        with ThreadPoolExecutor(1) as thread:
            sent = thread.submit(_send_all, sender, raw)
            _read_outputs(settings, reader, tally, len(raw))
            sent.result()
    finally:
        reader.close()
    _report(settings, tally, len(raw), started)
    if _accounted(settings, tally) < len(raw):
        raise TransientError(f"only {_accounted(settings, tally)} of {len(raw)} records came out")


def _send_all(sender: Sender, raw: list[tuple[str, str, str, bytes]]) -> None:
    for one in raw:
        _send(sender, one)
    sender.producer.flush(DELIVERY_SECONDS)
    sender.raise_error()


def _output_consumer(settings: KafkaSettings) -> Consumer:
    """Reads all outputs from their beginning; in no group, which would only take time to join."""
    topics = settings.names
    consumer = make_consumer(settings, group_id=topics.group("demo"))
    canonical = [topics.canonical(entity) for entity in load_entities()]
    there = provision.metadata(make_admin(settings)).topics
    wanted = [*canonical, topics.dead_letters, topics.raw_parked, topics.fields_novel]
    consumer.assign([TopicPartition(topic, number, 0) for topic in wanted for number in there[topic].partitions])
    return consumer


def _read_outputs(settings: KafkaSettings, reader: Consumer, tally: Tally, expected: int) -> None:
    """Counts what comes out until every record is accounted for, or nothing has come for a while."""
    decode = AvroReader(ReleasedSchemas())
    prefix, shown = settings.names.canonical("").removesuffix(".v1"), 0
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        for message in reader.consume(1_000, timeout=0.2):
            if message.error() is not None:
                continue
            topic = message.topic() or ""
            tally.count(topic)
            if topic.startswith(prefix) and shown < EVENTS_SHOWN and tally.out[topic] <= 3:
                shown += 1
                entity = topic.removeprefix(prefix).removesuffix(".v1")
                write_line(f"{entity:13} {one_line(decode_event(message.value(), decode))}"[:160])
        quiet_seconds = time.monotonic() - tally.last if tally.last else 0.0
        accounted = _accounted(settings, tally)
        if quiet_seconds > (SETTLED_SECONDS if accounted >= expected else QUIET_SECONDS):
            return


def _accounted(settings: KafkaSettings, tally: Tally) -> int:
    return sum(tally.out.values()) - tally.out[settings.names.fields_novel]


def _report(settings: KafkaSettings, tally: Tally, count: int, started: float) -> None:
    topics = settings.names
    prefix = topics.canonical("").removesuffix(".v1")
    events = {topic: number for topic, number in tally.out.items() if topic.startswith(prefix)}
    rows: list[tuple[str, object]] = [("raw records in", count)]
    rows += [(f"  {topic}", number) for topic, number in sorted(events.items())]
    rows += [
        ("canonical events out", sum(events.values())),
        ("dead letters", tally.out[topics.dead_letters]),
        ("parked (source without a mapping)", tally.out[topics.raw_parked]),
        ("novel fields announced", tally.out[topics.fields_novel]),
        ("records/s, from the first sent to the last out", round(count / (tally.last - started))),
    ]
    write_table(("what happened", "number"), rows)


def _say_where(settings: KafkaSettings, gateway: _Served) -> None:
    topics, console = settings.names, "aam kafka tool kafka-console-consumer"
    lines = [
        "where each topic is read, while it is up (`aam demo --keep`):",
        f"  {topics.canonical('<entity>'):28} aam tail customer --from beginning",
        f"  {topics.dead_letters:28} aam deadletters list",
        f"  {topics.raw_parked:28} aam parked list",
        f"  {topics.fields_novel:28} {console} --topic {topics.fields_novel} --from-beginning",
        f"  {'schemas, for standard tools':28} http://127.0.0.1:{gateway.port}/subjects",
    ]
    for line in lines:
        say(printable(line))


def _say_how_to_join(env: dict[str, str]) -> None:
    # The password is that of a Postgres on 127.0.0.1 which ends with this process.
    say("in another terminal, first:")
    say("  export " + " ".join(f"{variable}='{value}'" for variable, value in env.items()))


def _stream_until_interrupted(settings: KafkaSettings) -> None:
    say("keeping it up and streaming 20 records a second; Ctrl-C ends everything")
    sender = Sender(make_producer(settings), settings.names.raw_records)
    while True:
        for raw in _raw_records(100_000):
            _send(sender, raw)
            if sender.sent % 200 == 0:
                say(f"{sender.sent} more records sent")
            time.sleep(PAUSE_BETWEEN_KEPT_RECORDS)
