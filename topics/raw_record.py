"""Reads the wire form of a raw record: plain headers, CloudEvents, a JSON envelope, Confluent-framed Avro.

Decides where a record comes from and what it does (`RawMessage`), or that it can't be told (InvalidRecord). Parsing
the vendor's JSON is left to the caller, so that a record in the plain form costs less than a microsecond here. What
producers may send stands in docs/producing.md. Error messages name headers and fields, never their values.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from sys import intern
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from mapping.decode_json import decode
from mapping.origin import Origin
from schemas import headers as names
from schemas.failures import InvalidRecord
from topics.kafka_record import Headers

Op: TypeAlias = Literal["upsert", "delete"]
_Key = TypeVar("_Key")
AvroDecoder: TypeAlias = Callable[[bytes], dict[str, Any]]

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,199}")
RECORD_ID_CHARACTERS = 1_024
CACHED_ORIGINS = 65_536

_ENVELOPE_KEYS = frozenset({"tenant", "connector", "entity", "connection", "op", "record_id", "observed_at", "record"})
_STRUCTURED = b"application/cloudevents+json"
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LONGEST_NUMBER = 10**RECORD_ID_CHARACTERS
_OPS = (b"upsert", b"delete")
_DETAILS = (names.OP, names.RECORD_ID, names.OBSERVED_AT, names.TRACEPARENT)

# (tenant, connector, entity, connection) as sent -> Origin; emptied when full, so garbage can't grow it.
_origins: dict[tuple[bytes | None, ...], Origin] = {}
# The same by whole headers, where these are names and nothing else: the cheapest form.
_plain: dict[tuple[tuple[str, bytes | None], ...], Origin] = {}
_new = tuple.__new__  # half the price of RawMessage(...)


class RawMessage(NamedTuple):
    """A raw record, its origin known and its content not yet read.

    The content is in `body` (JSON bytes as sent) or, where the wire form had to be parsed anyway, in `record`; a
    delete may have neither. `observed_at_us` is microseconds since the epoch, UTC.
    """

    origin: Origin
    op: Op
    record_id: str | None
    observed_at_us: int | None
    traceparent: str | None
    body: bytes | None
    record: dict[str, Any] | None


def read_raw(
    headers: Headers | None,
    key: bytes | None,
    value: bytes | None,
    *,
    bound_tenant: str | None = None,
    decode_avro: AvroDecoder | None = None,
) -> RawMessage:
    """The raw record that Kafka's headers, key and value make.

    Args:
        headers: as `Message.headers()` gives them.
        bound_tenant: the only tenant that may write to this topic (AAM_TENANT_TOPICS); taken where none is named.
        decode_avro: reads a Confluent-framed value (`topics.avro_reader`); None without a Schema Registry.
    Raises:
        InvalidRecord: now or later it can't be told what this is; the message says which header or field.
        TransientError: from `decode_avro` only, when the registry doesn't answer.
    """
    origin = _plain.get(tuple(headers)) if headers and headers[-1][0] in _NAMES and len(headers) <= 4 else None
    found: dict[str, bytes | None] = {}
    if origin is None and headers:
        found = dict(headers)
        tenant = found.get("tenant")
        if tenant is None:
            tenant = key if bound_tenant is None else bound_tenant.encode()
        origin = _origins.get((tenant, found.get("connector"), found.get("entity"), found.get("connection")))
        if origin is not None and (len(found) != len(headers) or "ce_specversion" in found or "content-type" in found):
            origin = None
    if origin is None or not value or not value[0] or (bound_tenant is not None and origin.tenant != bound_tenant):
        return _read_slowly(headers or (), key, value, bound_tenant, decode_avro)
    if found:
        return _new(RawMessage, (origin, *read_details(found), value, None))
    return _new(RawMessage, (origin, "upsert", None, None, None, value, None))


def _read_slowly(
    headers: Headers, key: bytes | None, value: bytes | None, bound_tenant: str | None, decode_avro: AvroDecoder | None
) -> RawMessage:
    """Any form, checked in full; also the first record of each origin in the plain form."""
    found = single_values(headers)
    content_type = found.get("content-type") or b""
    if content_type[: len(_STRUCTURED)].lower() == _STRUCTURED:
        return _from_structured(_parsed(value, decode_avro, "a CloudEvent"), found, bound_tenant)
    if names.CONNECTOR in found or names.ENTITY in found:
        return _from_headers(headers, found, key, value, bound_tenant, decode_avro)
    return _from_envelope(_parsed(value, decode_avro, "an envelope"), found, bound_tenant)


def _from_headers(
    headers: Headers,
    found: Mapping[str, bytes],
    key: bytes | None,
    value: bytes | None,
    bound_tenant: str | None,
    decode_avro: AvroDecoder | None,
) -> RawMessage:
    for name in (names.CONNECTOR, names.ENTITY):
        if name not in found:
            raise InvalidRecord(f"header `{name}` is missing")
    tenant = found[names.TENANT] if names.TENANT in found else _tenant_of_key(key, bound_tenant)
    origin = known_origin(tenant, found, bound_tenant)
    if names.TENANT in found and len(headers) <= len(_NAMES) and all(name in _NAMES for name, _ in headers):
        _remember(_plain, tuple(headers), origin)
    op, record_id, observed_at_us, traceparent = read_details(found)
    if value is None:
        if record_id is None:
            raise InvalidRecord("value is null, which deletes a record, but header `record_id` is missing")
        if op != "delete" and names.OP in found:
            raise InvalidRecord("value is null, which deletes a record, but header `op` says upsert")
        return RawMessage(origin, "delete", record_id, observed_at_us, traceparent, None, None)
    if value[:1] == b"\x00":
        record = read_avro(value, decode_avro)
        return RawMessage(origin, op, record_id, observed_at_us, traceparent, None, record)
    return RawMessage(origin, op, record_id, observed_at_us, traceparent, value, None)


def _from_envelope(envelope: dict[str, Any], found: Mapping[str, bytes], bound_tenant: str | None) -> RawMessage:
    """{tenant, connector, entity, record} and, optional, connection, op, record_id, observed_at."""
    if "connector" not in envelope or "entity" not in envelope:
        raise InvalidRecord(
            "no headers `connector` and `entity`, and the value is no envelope {tenant, connector, entity, record}"
        )
    if not envelope.keys() <= _ENVELOPE_KEYS:
        raise InvalidRecord(f"an envelope has no other fields than {', '.join(sorted(_ENVELOPE_KEYS))}")
    if "record" not in envelope:
        raise InvalidRecord("envelope without `record`")
    return _from_fields(envelope, envelope["record"], found, bound_tenant, "field")


def _from_structured(event: dict[str, Any], found: Mapping[str, bytes], bound_tenant: str | None) -> RawMessage:
    """A CloudEvent in structured mode: the attributes and `data` in one JSON object."""
    if "data_base64" in event:
        raise InvalidRecord("CloudEvent field `data_base64` is not read: send `data` as a JSON object")
    fields: dict[str, Any] = {
        name: event[name] for name in ("tenant", "connector", "entity", "connection", "op") if name in event
    }
    for name, attribute in ((names.RECORD_ID, "subject"), (names.OBSERVED_AT, "time")):
        if attribute in event:
            fields[name] = event[attribute]
    return _from_fields(fields, event.get("data"), found, bound_tenant, "CloudEvent attribute")


def _from_fields(
    fields: Mapping[str, Any], record: Any, found: Mapping[str, bytes], bound_tenant: str | None, kind: str
) -> RawMessage:
    """From fields of a JSON object. A tenant in the headers must be the same; other headers fill what is missing."""
    texts = {
        name: _text_field(value, name, kind) for name, value in fields.items() if name != "record" and value is not None
    }
    tenant = texts.get(names.TENANT)
    header = found.get(names.TENANT)
    if header is not None and tenant is not None and header != tenant:
        raise InvalidRecord(f"{kind} `tenant` and header `tenant` differ")
    tenant = tenant or header or (bound_tenant.encode() if bound_tenant else None)
    if tenant is None:
        raise InvalidRecord(f"{kind} `tenant` is missing")
    for name in (names.CONNECTOR, names.ENTITY):
        if name not in texts:
            raise InvalidRecord(f"{kind} `{name}` is missing")
    merged = {**found, **texts}
    origin = known_origin(tenant, merged, bound_tenant)
    op, record_id, observed_at_us, traceparent = read_details(merged)
    if record is None:
        if record_id is None:
            raise InvalidRecord("the record is null, which deletes it, but `record_id` is missing")
        if op != "delete" and names.OP in merged:
            raise InvalidRecord("the record is null, which deletes it, but `op` says upsert")
        return RawMessage(origin, "delete", record_id, observed_at_us, traceparent, None, None)
    if not isinstance(record, dict):
        raise InvalidRecord("the record is not a JSON object")
    return RawMessage(origin, op, record_id, observed_at_us, traceparent, None, record)


def single_values(headers: Headers) -> dict[str, bytes]:
    """The headers that AAM reads, CloudEvents names translated. Null counts as missing; twice must say the same."""
    found: dict[str, bytes] = {}
    for name, value in headers:
        if name in _READ and value is not None and found.setdefault(name, value) != value:
            raise InvalidRecord(f"header `{name}` is there twice, with different values")
    if found.pop("ce_specversion", None) is None:
        return found
    for attribute, name in _CLOUD_EVENT_NAMES.items():
        if attribute not in found:
            continue
        value = found.pop(attribute)
        # where a record comes from must be beyond doubt; for the rest the plain header is the more specific
        if found.setdefault(name, value) != value and name in _NAMES:
            raise InvalidRecord(f"headers `{attribute}` and `{name}` differ")
    return found


def _tenant_of_key(key: bytes | None, bound_tenant: str | None) -> bytes:
    if bound_tenant is not None:
        return bound_tenant.encode()
    if not key:
        raise InvalidRecord("header `tenant` is missing, and there is no key to take it from")
    return key


def known_origin(tenant: bytes, found: Mapping[str, bytes], bound_tenant: str | None) -> Origin:
    """The one Origin of these names, checked when first seen. Raises InvalidRecord for one of another tenant."""
    known = (tenant, found[names.CONNECTOR], found[names.ENTITY], found.get(names.CONNECTION))
    origin = _origins.get(known)
    if origin is None:
        origin = _checked_origin(*known)
        _remember(_origins, known, origin)
    if bound_tenant is not None and origin.tenant != bound_tenant:
        raise InvalidRecord("the topic is bound to another tenant than the record names")
    return origin


def _remember(cache: dict[_Key, Origin], key: _Key, origin: Origin) -> None:
    if len(cache) >= CACHED_ORIGINS:
        cache.clear()
    cache[key] = origin


def _checked_origin(tenant: bytes, connector: bytes, entity: bytes, connection: bytes | None) -> Origin:
    checked_connector = _name(names.CONNECTOR, connector)
    return Origin(
        tenant=_name(names.TENANT, tenant),
        connector=checked_connector,
        entity=_name(names.ENTITY, entity),
        connection=checked_connector if connection is None else _name(names.CONNECTION, connection),
    )


def _name(name: str, value: bytes) -> str:
    text = _text(name, value)
    if not NAME_PATTERN.fullmatch(text):
        raise InvalidRecord(
            f"`{name}` must be 1 to 200 of letters, digits and `_.:/-`, starting with a letter or digit"
        )
    return intern(text)


def _text(name: str, value: bytes) -> str:
    if not value:
        raise InvalidRecord(f"`{name}` is empty")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRecord(f"`{name}` is not valid UTF-8") from None


def _text_field(value: Any, name: str, kind: str) -> bytes:
    """A field of an envelope as a header would have it. Numbers are ids or epoch milliseconds."""
    if isinstance(value, int) and not isinstance(value, bool) and name in (names.RECORD_ID, names.OBSERVED_AT):
        if abs(value) >= _LONGEST_NUMBER:
            raise InvalidRecord(f"{kind} `{name}` is too long")
        return b"%d" % value
    if not isinstance(value, str):
        raise InvalidRecord(f"{kind} `{name}` is not a string")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidRecord(f"{kind} `{name}` is not valid Unicode") from None


def read_details(found: Mapping[str, bytes | None]) -> tuple[Op, str | None, int | None, str | None]:
    """(op, record_id, observed_at_us, traceparent). A malformed traceparent starts no trace; it costs no data (W3C)."""
    op, record_id = found.get("op"), found.get("record_id")
    observed_at, trace = found.get("observed_at"), found.get("traceparent")
    if op is not None and op not in _OPS:
        raise InvalidRecord("`op` must be upsert or delete")
    return (
        "delete" if op == b"delete" else "upsert",
        None if record_id is None else _record_id(record_id),
        None if observed_at is None else _observed_at_us(observed_at),
        trace.decode("ascii") if trace and _TRACEPARENT.fullmatch(trace) else None,
    )


def _record_id(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise InvalidRecord("`record_id` is not valid UTF-8") from None
    if not 0 < len(text) <= RECORD_ID_CHARACTERS or "\x00" in text:
        raise InvalidRecord(f"`record_id` must be 1 to {RECORD_ID_CHARACTERS} characters, without NUL")
    return text


def _observed_at_us(value: bytes) -> int:
    """ISO 8601 (UTC where it names no offset), or a whole number: milliseconds since the epoch."""
    text = _text(names.OBSERVED_AT, value)
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 15:
        microseconds = int(text) * 1000
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidRecord("`observed_at` is neither ISO 8601 nor milliseconds since the epoch") from None
        microseconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
    if not _FIRST_US <= microseconds <= _LAST_US:
        raise InvalidRecord("`observed_at` is not within the years 1 to 9999")
    return microseconds


def _parsed(value: bytes | None, decode_avro: AvroDecoder | None, what: str) -> dict[str, Any]:
    if value is None:
        raise InvalidRecord(f"value is null, headers `connector` and `entity` are missing, and so it is not {what}")
    return read_avro(value, decode_avro) if value[:1] == b"\x00" else decode(value)


def read_avro(value: bytes, decode_avro: AvroDecoder | None) -> dict[str, Any]:
    if decode_avro is None:
        raise InvalidRecord("value is Confluent-framed Avro, and no Schema Registry is configured")
    return decode_avro(value)


_NAMES = (names.TENANT, names.CONNECTOR, names.ENTITY, names.CONNECTION)
_CLOUD_EVENT_NAMES = {
    "ce_tenant": names.TENANT,
    "ce_connector": names.CONNECTOR,
    "ce_entity": names.ENTITY,
    "ce_connection": names.CONNECTION,
    "ce_op": names.OP,
    "ce_subject": names.RECORD_ID,
    "ce_time": names.OBSERVED_AT,
    "ce_traceparent": names.TRACEPARENT,
}
_READ = frozenset({*_NAMES, *_DETAILS, *_CLOUD_EVENT_NAMES, "content-type", "ce_specversion"})
