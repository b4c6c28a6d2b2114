"""`aam tail`: canonical events as they come, Avro or JSON, a line each: for people in a terminal, JSON in a pipe."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END

from cli.console import is_terminal, say, write_json, write_line
from cli.services import kafka_settings
from mapping.decode_json import decode
from schemas.canonical_model import load_entities
from schemas.failures import InvalidRecord
from schemas.schema_ids import released_schemas
from topics.avro_reader import AvroReader, make_avro_reader
from topics.clients import make_consumer
from topics.kafka_record import ConsumedRecord
from topics.read_topic import Until, partitions_of, read_topic
from topics.settings import KafkaSettings

app = typer.Typer()


class Start(StrEnum):
    """Where to begin."""

    BEGINNING = "beginning"
    END = "end"


class ReleasedSchemas:
    """The canonical schemas that come with AAM, by the ids that workers write without a Schema Registry."""

    def find(self, schema_id: int) -> tuple[Any, Mapping[str, Any]]:
        """The schema of this id. Raises InvalidRecord if no canonical schema has it."""
        for released in released_schemas():
            if released.id == schema_id:
                return released.entity.avro, {}
        raise InvalidRecord(f"schema {schema_id} is none of AAM's: set SCHEMA_REGISTRY_URL if workers write with one")


@app.command()
def tail(
    entity: Annotated[str, typer.Argument(help="Canonical entity, e.g. customer.")],
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's events.")] = None,
    start: Annotated[Start, typer.Option("--from", help="Where to begin.")] = Start.END,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    follow: Annotated[bool, typer.Option(help="Wait for more events, or end with the last one.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, as in a pipe.")] = False,
) -> None:
    """Show canonical events, committed ones only, until Ctrl-C. They may hold personal data."""
    if entity not in load_entities():
        raise typer.BadParameter(f"no canonical entity {entity!r}; there are {', '.join(load_entities())}")
    settings = kafka_settings()
    reader = make_avro_reader(settings) or AvroReader(ReleasedSchemas())
    shown = 0
    for record in _records(settings, settings.names.canonical(entity), start, follow=follow):
        if tenant is not None and record.key != tenant.encode():
            continue
        _show(record, reader, as_json=as_json or not is_terminal())
        shown += 1
        if shown == limit:
            return


def _records(settings: KafkaSettings, topic: str, start: Start, *, follow: bool) -> Iterator[ConsumedRecord]:
    consumer = make_consumer(settings, group_id=settings.names.group("cli"))
    try:
        partitions = partitions_of(consumer, topic)
    finally:
        consumer.close()
    first = dict.fromkeys(partitions, OFFSET_BEGINNING if start is Start.BEGINNING else OFFSET_END)
    return read_topic(settings, topic, start=first, until=Until.FOREVER if follow else Until.COMMITTED)


def _show(record: ConsumedRecord, reader: AvroReader, *, as_json: bool) -> None:
    try:
        event = decode_event(record.value, reader)
    except InvalidRecord as error:
        say(f"{record.topic}[{record.partition}]@{record.offset}: {error}")
        return
    if as_json:
        write_json(event)
    else:
        write_line(one_line(event))


def decode_event(value: bytes | None, reader: AvroReader) -> dict[str, Any]:
    """The event in its JSON form (docs/consuming.md). Raises InvalidRecord."""
    if not value:
        raise InvalidRecord("no value")
    if value[:1] == b"\x00":
        event: dict[str, Any] = _decimals_as_text(reader(value))
        return event
    return decode(value)


def one_line(event: Mapping[str, Any]) -> str:
    """Time, tenant, source and id, then the fields that are not empty."""
    aam = event.get("aam") or {}
    time = str(aam.get("emitted_at", ""))[11:19]
    source = f"{aam.get('source_system')}/{aam.get('source_entity')}"
    deleted = " DELETED" if aam.get("op") == "delete" else ""
    fields = " ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in event.items()
        if name != "aam" and value not in (None, [], {})
    )
    return f"{time} {aam.get('tenant_id')} {source} {aam.get('source_id')}{deleted} {fields}"


def _decimals_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decimals_as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decimals_as_text(item) for item in value]
    return _shortest(value) if isinstance(value, Decimal) else value


def _shortest(number: Decimal) -> str:
    """Without the zeros that Avro's fixed scale adds. Decimal.normalize would round to 28 digits."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
