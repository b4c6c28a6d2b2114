"""Reads records of topics that a user already has: Debezium, Kafka Connect's JSON, Airbyte, Avro, plain JSON.

Whose they are is in the topic's binding (`topics.raw_bindings`); this decides what the vendor's own record is, whether
it deletes, and what it is called where the producer says so. Values are kept as they are, but those that only the
schema beside them can tell (`topics.connect_values`). Error messages name fields, never their values.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from mapping.decode_json import decode, dump
from schemas import headers as names
from schemas.failures import InvalidRecord
from topics.connect_values import converted
from topics.kafka_record import Headers
from topics.raw_bindings import Binding, RawBindings
from topics.raw_record import (
    RECORD_ID_CHARACTERS,
    AvroDecoder,
    Op,
    RawMessage,
    known_origin,
    read_avro,
    read_details,
    read_raw,
    single_values,
)

# Forms whose key is the row's identity, so that it is the record's id too.
_KEYED: Final = ("auto", "debezium")
_TRUTHS: Final = ("true", True)
_OWN: Final = "_airbyte_"
_AIRBYTE_IDS: Final = frozenset({"_airbyte_ab_id", "_airbyte_raw_id"})
# What Debezium writes in place of a large value that did not change (PostgreSQL's TOAST), as text and as bytes.
_UNAVAILABLE: Final = ("__debezium_unavailable_value", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==")


class _Found(NamedTuple):
    """What a form says of a record. `entity`, `record_id` and `observed_at` are None where it doesn't."""

    record: dict[str, Any]
    op: Op = "upsert"
    entity: str | None = None
    record_id: str | None = None
    observed_at: bytes | None = None


def read_any(
    topic: str,
    headers: Headers | None,
    key: bytes | None,
    value: bytes | None,
    *,
    bindings: RawBindings,
    tenant_topics: Mapping[str, str],
    decode_avro: AvroDecoder | None = None,
) -> RawMessage:
    """The raw record that a message of `topic` is: by the topic's binding, or as ours. Raises as `read_bound` does."""
    binding = bindings.find(topic)
    if binding is not None:
        return read_bound(binding, headers, key, value, decode_avro=decode_avro)
    return read_raw(headers, key, value, bound_tenant=tenant_topics.get(topic), decode_avro=decode_avro)


def read_bound(
    binding: Binding,
    headers: Headers | None,
    key: bytes | None,
    value: bytes | None,
    *,
    decode_avro: AvroDecoder | None = None,
) -> RawMessage:
    """The raw record that a message of a bound topic is.

    Args:
        decode_avro: reads a Confluent-framed value or key; None without a Schema Registry.
    Raises:
        InvalidRecord: not of the topic's form, or its headers name another tenant.
        TransientError: from `decode_avro` only, when the registry doesn't answer.
    """
    given = single_values(headers or ())
    # Other producers may mean something else by our headers; of a plain record, they are those of docs/producing.md.
    told = given if binding.form == "plain" else {k: v for k, v in given.items() if k == names.TRACEPARENT}
    if value is not None:
        found = _READ[binding.form](key, value, decode_avro)
    elif names.RECORD_ID in told:
        found = _Found({}, "delete")
    else:
        found = _tombstone(key, decode_avro, is_identity=binding.form in _KEYED)
    entity = binding.entity or found.entity or _header(given, names.ENTITY)
    if entity is None:
        raise InvalidRecord("neither the topic's binding nor the record says what `entity` it is")
    places = {names.CONNECTOR: binding.connector.encode(), names.ENTITY: entity.encode(errors="surrogatepass")}
    if binding.connection is not None:
        places[names.CONNECTION] = binding.connection.encode()
    tenant = given.get(names.TENANT, binding.tenant.encode())
    origin = known_origin(tenant, places, binding.tenant)
    op, record_id, observed_at_us, traceparent = read_details(
        {names.OBSERVED_AT: found.observed_at} | told if found.observed_at else told
    )
    is_delete = "delete" in (op, found.op)
    if value is None and names.OP in told and op != "delete":
        raise InvalidRecord("value is null, which deletes a record, but header `op` says upsert")
    return RawMessage(
        origin,
        "delete" if is_delete else "upsert",
        record_id or found.record_id,
        observed_at_us,
        traceparent,
        None,
        found.record,
    )


def _header(given: Mapping[str, bytes], name: str) -> str | None:
    value = given.get(name)
    return None if value is None else value.decode(errors="replace")


# -- the forms


def _read_auto(key: bytes | None, value: bytes, decode_avro: AvroDecoder | None) -> _Found:
    """By what the record looks like, each for itself."""
    record = _decoded(value, decode_avro)
    schema: Any = None
    if _is_connect(record):
        schema, record = record["schema"], _payload(record)
    if _is_change(record):
        return _change(record, schema, key, decode_avro)
    if "_airbyte_data" in record or record.keys() & _AIRBYTE_IDS:
        return _airbyte(record)
    return _flat(converted(record, schema))


def _read_plain(_key: bytes | None, value: bytes, decode_avro: AvroDecoder | None) -> _Found:
    return _Found(_decoded(value, decode_avro))


def _read_avro_only(_key: bytes | None, value: bytes, decode_avro: AvroDecoder | None) -> _Found:
    if value[:1] != b"\x00":
        raise InvalidRecord("not Confluent-framed Avro, as the topic's binding says")
    return _flat(read_avro(value, decode_avro))


def _read_debezium(key: bytes | None, value: bytes, decode_avro: AvroDecoder | None) -> _Found:
    record = _decoded(value, decode_avro)
    schema: Any = None
    if _is_connect(record):
        schema, record = record["schema"], _payload(record)
    if not _is_change(record):
        raise InvalidRecord("no change event of Debezium: `op`, `source`, and `before` or `after` are missing")
    return _change(record, schema, key, decode_avro)


def _read_connect(_key: bytes | None, value: bytes, decode_avro: AvroDecoder | None) -> _Found:
    record = _decoded(value, decode_avro)
    if not _is_connect(record):
        raise InvalidRecord("no record of Kafka Connect's JSON converter: {schema, payload}")
    return _flat(converted(_payload(record), record["schema"]))


def _read_airbyte(_key: bytes | None, value: bytes, decode_avro: AvroDecoder | None) -> _Found:
    record = _decoded(value, decode_avro)
    if "_airbyte_data" not in record and not record.keys() & _AIRBYTE_IDS:
        raise InvalidRecord("no record of Airbyte: `_airbyte_data` is missing")
    return _airbyte(record)


_READ: Final[dict[str, Callable[[bytes | None, bytes, AvroDecoder | None], _Found]]] = {
    "auto": _read_auto,
    "plain": _read_plain,
    "avro": _read_avro_only,
    "debezium": _read_debezium,
    "connect": _read_connect,
    "airbyte": _read_airbyte,
}


def _decoded(value: bytes, decode_avro: AvroDecoder | None) -> dict[str, Any]:
    return read_avro(value, decode_avro) if value[:1] == b"\x00" else decode(value)


def _is_connect(record: dict[str, Any]) -> bool:
    """{schema, payload} and nothing else, the schema one of Connect's, or null where the payload has none."""
    if record.keys() != {"schema", "payload"}:
        return False
    schema = record["schema"]
    return schema is None or (isinstance(schema, dict) and "type" in schema)


def _payload(record: dict[str, Any]) -> dict[str, Any]:
    payload = record["payload"]
    if not isinstance(payload, dict):
        raise InvalidRecord("`payload` is not an object")
    return payload


def _flat(record: dict[str, Any]) -> _Found:
    """A record that is itself; `__deleted` is what Debezium's flattening leaves of a delete."""
    if "__deleted" not in record:
        return _Found(record)
    deleted = record.pop("__deleted") in _TRUTHS
    return _Found(record, "delete" if deleted else "upsert")


# -- Debezium


def _is_change(record: dict[str, Any]) -> bool:
    return (
        isinstance(record.get("op"), str)
        and isinstance(record.get("source"), dict)
        and ("after" in record or "before" in record)
    )


def _change(event: dict[str, Any], schema: Any, key: bytes | None, decode_avro: AvroDecoder | None) -> _Found:
    """The row that a change event is about: as it is now, or, of a delete, as it was."""
    op, source = event["op"], event["source"]
    if op not in ("c", "u", "r", "d"):
        raise InvalidRecord("a change event whose `op` is none of c, u, r, d: of no single row")
    place = "before" if op == "d" else "after"
    row, identity = event.get(place), _key_fields(key, decode_avro)
    if row is None and op == "d":
        row = identity  # a table without REPLICA IDENTITY keeps no row
    if isinstance(row, str):
        row = decode(row.encode(errors="surrogatepass"))  # MongoDB's documents are text
    if not isinstance(row, dict):
        raise InvalidRecord(f"a change event without `{place}`: have the database keep whole rows")
    row = converted(row, _field_schema(schema, place))
    table = source.get("table", source.get("collection"))
    return _Found(
        {name: value for name, value in row.items() if not _is_unavailable(value)},
        "delete" if op == "d" else "upsert",
        table if isinstance(table, str) and table else None,
        _key_text(identity),
        _milliseconds(source.get("ts_ms")) or _milliseconds(event.get("ts_ms")),
    )


def _is_unavailable(value: Any) -> bool:
    return value in _UNAVAILABLE or (isinstance(value, list) and len(value) == 1 and value[0] in _UNAVAILABLE)


def _field_schema(schema: Any, name: str) -> Any:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    listed = fields if isinstance(fields, list) else []
    return next((field for field in listed if isinstance(field, dict) and field.get("field") == name), None)


def _milliseconds(value: Any) -> bytes | None:
    """As the header `observed_at` has it; snapshots of some databases say 0."""
    return b"%d" % value if isinstance(value, int) and 0 < value < 10**15 else None


# -- Airbyte


def _airbyte(record: dict[str, Any]) -> _Found:
    """`_airbyte_data`, or what stands beside the columns of Airbyte's own where the destination flattens it."""
    data = record.get("_airbyte_data")
    if "_airbyte_data" not in record:
        data = {name: value for name, value in record.items() if not name.startswith(_OWN)}
    elif isinstance(data, str):
        data = decode(data.encode(errors="surrogatepass"))
    if not isinstance(data, dict):
        raise InvalidRecord("`_airbyte_data` is not an object")
    stream = record.get("_airbyte_stream")
    moment = record.get("_airbyte_emitted_at", record.get("_airbyte_extracted_at"))
    return _Found(
        data,
        "upsert" if data.get("_ab_cdc_deleted_at") is None else "delete",
        stream if isinstance(stream, str) and stream else None,
        None,
        moment.encode(errors="replace") if isinstance(moment, str) and moment else _milliseconds(moment),
    )


# -- keys and tombstones


def _tombstone(key: bytes | None, decode_avro: AvroDecoder | None, *, is_identity: bool) -> _Found:
    """A null value deletes what the key names: one id, or fields, among them the mapping set's primary key."""
    if not key:
        raise InvalidRecord("value is null, which deletes a record, but there is no key to say which")
    fields = _key_fields(key, decode_avro)
    record_id = _text_key(key) if fields is None else _key_text(fields)
    if record_id is None:
        raise InvalidRecord("value is null, which deletes a record, but the key can't be read")
    named = {name: value for name, value in (fields or {}).items() if name}
    return _Found(named, "delete", record_id=record_id if is_identity or not named else None)


def _key_fields(key: bytes | None, decode_avro: AvroDecoder | None) -> dict[str, Any] | None:
    """The fields of a key that is an object: JSON with or without schema, or framed Avro; None of any other.

    A key that is one value in Connect's envelope has it under the name "".
    """
    if not key or key[:1] not in b"{\x00":
        return None
    try:
        fields = _decoded(key, decode_avro)
    except InvalidRecord:
        return None
    if not _is_connect(fields):
        return fields
    payload = fields["payload"]
    return converted(payload, fields["schema"]) if isinstance(payload, dict) else {"": payload}


def _key_text(fields: dict[str, Any] | None) -> str | None:
    """What a key's fields call the record, as a mapping set's primary key would."""
    values = list(fields.values()) if fields else []
    if not values or not all(isinstance(value, str | int | float) for value in values):
        return None
    texts = [value if isinstance(value, str) else dump(value).decode() for value in values]
    if len(texts) > 1:
        texts = [text.replace("%", "%25").replace(":", "%3A") for text in texts]
    return _short(":".join(texts))


def _text_key(key: bytes) -> str | None:
    """A key that is one text or number, in JSON's quotes or none."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return _short(text[1:-1] if quoted and "\\" not in text else text)


def _short(text: str) -> str | None:
    return text if 0 < len(text) <= RECORD_ID_CHARACTERS and "\x00" not in text else None
