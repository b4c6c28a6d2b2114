"""`aam produce`: sends raw records from a file or a pipe, as docs/producing.md describes them."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaError, KafkaException, Producer

from cli.console import say
from cli.json_input import split_records
from cli.services import kafka_settings
from mapping import path
from mapping.decode_json import decode
from schemas import headers as names
from schemas.failures import InvalidRecord, TransientError
from topics.clients import as_aam_error, make_producer
from topics.raw_record import read_raw
from topics.read_topic import partitions_of

app = typer.Typer()

DELIVERY_SECONDS = 60


@dataclass
class Sender:
    """Sends records, and keeps the first delivery error: what follows would leave a gap behind it."""

    producer: Producer
    topic: str
    sent: int = 0
    delivered: int = 0
    error: KafkaError | None = field(default=None)

    def send(self, key: bytes, value: bytes, headers: list[tuple[str, Any]]) -> None:
        while True:
            try:
                self.producer.produce(self.topic, value=value, key=key, headers=headers, on_delivery=self._delivered)
                break
            except BufferError:
                self.producer.poll(0.1)
            except KafkaException as error:
                raise as_aam_error(error, f"take all records ({self.sent} were sent)") from error
        self.sent += 1
        self.producer.poll(0)
        self.raise_error()

    def finish(self, what: str) -> int:
        """Waits until Kafka has all; how many that are. Raises TransientError where it takes too long."""
        left = self.producer.flush(DELIVERY_SECONDS)
        self.raise_error()
        if left:
            raise TransientError(f"Kafka did not take {left} of {self.sent} {what} in {DELIVERY_SECONDS} s")
        return self.delivered

    def raise_error(self) -> None:
        if self.error is not None:
            raise as_aam_error(self.error, f"take all records ({self.delivered} were delivered)")

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is None:
            self.delivered += 1
        elif self.error is None:
            self.error = error


@app.command()
def produce(
    tenant: Annotated[str, typer.Option(help="Tenant that the records belong to.")],
    connector: Annotated[str, typer.Option(help="Connector that they come from, e.g. stripe.")],
    entity: Annotated[str, typer.Option(help="The source's name of what they are, e.g. customer.")],
    file: Annotated[str, typer.Argument(help="JSON Lines, a JSON array or one object; - is standard input.")] = "-",
    connection: Annotated[str | None, typer.Option(help="Which of the tenant's connections; default one.")] = None,
    key: Annotated[str | None, typer.Option(help="Message key; default the tenant.")] = None,
    record_id_field: Annotated[
        str | None, typer.Option(help="Path of the record's id, e.g. id: sent as header record_id.")
    ] = None,
) -> None:
    """Send raw records. Prints how many were delivered; stops at the first that is invalid or can't be delivered."""
    fixed = source_headers(tenant, connector, entity)
    if connection is not None:
        fixed.append((names.CONNECTION, connection.encode()))
    read_raw(fixed, None, b"{}")  # refuses a wrong option before anything is sent
    id_path = path.parse(record_id_field) if record_id_field is not None else None
    settings = kafka_settings()
    options: dict[str, Any] = {"linger.ms": 20, "delivery.timeout.ms": DELIVERY_SECONDS * 1000}
    producer = make_producer(settings, **options)
    partitions_of(producer, settings.names.raw_records)
    sender = Sender(producer, settings.names.raw_records)
    try:
        with ExitStack() as stack:
            source = sys.stdin.buffer if file == "-" else stack.enter_context(_opened(file))
            for where, value in split_records(source):
                headers = [*fixed, *_record_id(where, value, id_path)]
                sender.send((key if key is not None else tenant).encode(), value, headers)
    finally:
        producer.flush(DELIVERY_SECONDS + 5)
        say(f"{sender.delivered} records delivered to {sender.topic}")
    sender.raise_error()


def source_headers(tenant: str, connector: str, entity: str) -> list[tuple[str, Any]]:
    """The three headers that say what a raw record is."""
    return [
        (names.TENANT, tenant.encode()),
        (names.CONNECTOR, connector.encode()),
        (names.ENTITY, entity.encode()),
    ]


def _opened(file: str) -> Any:
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise InvalidRecord(f"{file}: {error.strerror}") from None


def _record_id(where: str, value: bytes, id_path: path.Path | None) -> list[tuple[str, bytes]]:
    """The header, if a path was given; checks that the record is one in any case."""
    try:
        record = decode(value)
    except InvalidRecord as error:
        raise InvalidRecord(f"{where}: {error}") from None
    if id_path is None:
        return []
    found = id_path.read(record)
    if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
        raise InvalidRecord(f"{where}: no text or whole number at {id_path}")
    return [(names.RECORD_ID, str(found).encode())]
