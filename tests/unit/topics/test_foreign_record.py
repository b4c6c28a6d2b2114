"""Records as Debezium, Kafka Connect and Airbyte document them, and as nobody should send them."""

import base64
import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.failures import InvalidRecord
from topics.foreign_record import read_bound
from topics.raw_bindings import Binding, Form
from topics.raw_record import RawMessage

ROW = {"id": 1004, "email": "one@example.com"}
SOURCE = {
    "version": "3.0.0.Final",
    "connector": "postgresql",
    "db": "shop",
    "table": "customers",
    "ts_ms": 1_700_000_000_123,
}
# A change event: https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-change-events-value
CREATE = {"before": None, "after": ROW, "source": SOURCE, "op": "c", "ts_ms": 1_700_000_000_999, "transaction": None}
KEY = b'{"id":1004}'


def bound(form: Form, **given: Any) -> Binding:
    return Binding(**({"tenant": "acme", "connector": "shop", "entity": "customer", "form": form} | given))


def read(form: Form, value: Any, key: bytes | None = None, headers: Any = None, **given: Any) -> RawMessage:
    body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return read_bound(bound(form, **given), headers, key, body, decode_avro=lambda framed: json.loads(framed[5:]))


def with_schema(payload: Any, *fields: dict[str, Any]) -> dict[str, Any]:
    """What JsonConverter writes with schemas.enable=true."""
    return {"schema": {"type": "struct", "optional": False, "fields": list(fields)}, "payload": payload}


# -- Debezium


@pytest.mark.parametrize("form", ["debezium", "auto"])
@pytest.mark.parametrize("op", ["c", "u", "r"])
def test_a_change_is_the_row_after_it(form: Form, op: str) -> None:
    message = read(form, CREATE | {"op": op, "before": {"id": 1004}}, KEY)
    assert message.record == ROW
    assert (message.op, message.record_id, message.body) == ("upsert", "1004", None)
    assert message.observed_at_us == 1_700_000_000_123_000
    origin = message.origin
    assert (origin.tenant, origin.connector, origin.entity, origin.connection) == ("acme", "shop", "customer", "shop")


@pytest.mark.parametrize("form", ["debezium", "auto"])
def test_a_delete_is_the_row_before_it(form: Form) -> None:
    message = read(form, CREATE | {"op": "d", "before": ROW, "after": None}, KEY)
    assert (message.op, message.record, message.record_id) == ("delete", ROW, "1004")
    without_row = read(form, CREATE | {"op": "d", "before": None, "after": None}, KEY)
    assert (without_row.op, without_row.record, without_row.record_id) == ("delete", {"id": 1004}, "1004")


@pytest.mark.parametrize("form", ["debezium", "auto"])
@pytest.mark.parametrize("key", [KEY, json.dumps(with_schema({"id": 1004})).encode(), b"\x00\x00\x00\x00\x07" + KEY])
def test_a_tombstone_deletes_what_its_key_names(form: Form, key: bytes) -> None:
    message = read(form, None, key)
    assert (message.op, message.record, message.record_id) == ("delete", {"id": 1004}, "1004")


def test_a_composite_key_is_joined_as_a_mapping_set_joins_it() -> None:
    assert read("debezium", CREATE, b'{"order":"a:1","line":2}').record_id == "a%3A1:2"


def test_the_table_is_the_entity_where_the_binding_names_none() -> None:
    assert read("debezium", CREATE, KEY, entity=None).origin.entity == "customers"
    mongo = CREATE | {"source": {"collection": "carts"}, "after": '{"_id": {"$oid": "5f"}, "n": {"$numberLong": "9"}}'}
    message = read("debezium", mongo, b'{"id":"{\\"$oid\\": \\"5f\\"}"}', entity=None)
    assert message.origin.entity == "carts"
    assert message.record == {"_id": {"$oid": "5f"}, "n": {"$numberLong": "9"}}


def test_values_that_postgres_left_out_are_absent() -> None:
    placeholder = "__debezium_unavailable_value"
    coded = base64.b64encode(placeholder.encode()).decode()
    row = ROW | {"text": placeholder, "bytes": coded, "array": [placeholder]}
    assert read("debezium", CREATE | {"after": row}, KEY).record == ROW


def test_avro_is_read_like_json() -> None:
    framed = b"\x00\x00\x00\x00\x01" + json.dumps(CREATE).encode()
    assert read("debezium", framed, KEY).record == ROW
    assert read("auto", framed, KEY).record == ROW


def test_a_flattened_delete() -> None:
    assert read("auto", ROW | {"__deleted": "true"}).op == "delete"
    kept = read("auto", ROW | {"__deleted": "false"})
    assert (kept.op, kept.record) == ("upsert", ROW)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ROW, "no change event"),
        (CREATE | {"op": "t"}, "none of c, u, r, d"),
        (CREATE | {"op": "m"}, "none of c, u, r, d"),
        (CREATE | {"after": None}, "without `after`"),
        (CREATE | {"after": [1]}, "without `after`"),
        (CREATE | {"after": "no JSON"}, "not JSON"),
        (CREATE | {"op": "d"}, "without `before`"),
        (with_schema([1]), "`payload` is not an object"),
        (b"{", "not JSON"),
    ],
)
def test_what_is_no_change_event(value: Any, message: str) -> None:
    with pytest.raises(InvalidRecord, match=message):
        read("debezium", value)


# -- Kafka Connect's JSON converter


def test_decimals_and_times_are_what_their_schema_says() -> None:
    connect, debezium = "org.apache.kafka.connect.data.", "io.debezium.time."
    types: dict[str, dict[str, Any]] = {
        "price": {"type": "bytes", "name": connect + "Decimal", "parameters": {"scale": "4"}},
        "number": {"type": "bytes", "name": connect + "Decimal", "parameters": {"scale": "2"}},
        "owed": {"type": "bytes", "name": connect + "Decimal", "parameters": {"scale": "2"}},
        "born": {"type": "int32", "name": connect + "Date"},
        "seen": {"type": "int64", "name": connect + "Timestamp"},
        "at": {"type": "int32", "name": connect + "Time"},
        "day": {"type": "int32", "name": debezium + "Date"},
        "micro": {"type": "int64", "name": debezium + "MicroTimestamp"},
        "nano": {"type": "int64", "name": debezium + "NanoTimestamp"},
        "any": {"type": "struct", "name": "io.debezium.data.VariableScaleDecimal"},
        "plain": {"type": "int64"},
        "none": {"type": "int32", "name": connect + "Date", "optional": True},
    }
    payload = {
        "price": "AY/J",  # 102345 unscaled
        "number": 10.25,  # decimal.format=numeric
        "owed": "/w==",
        "born": 19_675,
        "seen": 1_700_000_000_123,
        "at": 3_661_000,
        "day": 0,
        "micro": 1_700_000_000_123_456,
        "nano": 1_700_000_000_123_456_789,
        "any": {"scale": 1, "value": "AQ=="},
        "plain": 19_675,
        "none": None,
    }
    fields = [{"field": name} | type_ for name, type_ in types.items()]
    assert read("connect", with_schema(payload, *fields)).record == {
        "price": Decimal("10.2345"),
        "number": 10.25,
        "owed": Decimal("-0.01"),
        "born": "2023-11-14",
        "seen": "2023-11-14T22:13:20.123000Z",
        "at": "01:01:01",
        "day": "1970-01-01",
        "micro": "2023-11-14T22:13:20.123456Z",
        "nano": "2023-11-14T22:13:20.123456789Z",
        "any": Decimal("0.1"),
        "plain": 19_675,
        "none": None,
    }


def test_conversions_reach_into_arrays_maps_and_change_events() -> None:
    day = {"type": "int32", "name": "io.debezium.time.Date"}
    inner = {
        "type": "struct",
        "fields": [
            {"field": "days", "type": "array", "items": day},
            {"field": "named", "type": "map", "keys": {"type": "string"}, "values": day},
        ],
    }
    row = {"days": [0, None], "named": {"a": 1}}
    expected = {"days": ["1970-01-01", None], "named": {"a": "1970-01-02"}}
    assert read("connect", with_schema({"in": row}, inner | {"field": "in"})).record == {"in": expected}
    event = with_schema(CREATE | {"after": row}, inner | {"field": "before"}, inner | {"field": "after"})
    for form in ("debezium", "auto"):
        assert read(form, event, KEY).record == expected


@pytest.mark.parametrize("odd", [{"name": 1}, {"fields": 3}, {"fields": [1]}, {"parameters": []}, {}, {"items": "x"}])
def test_odd_schemas_change_nothing(odd: dict[str, Any]) -> None:
    logical = {"field": "id", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal"}
    message = read("connect", {"schema": {"type": "struct", "fields": [logical | odd]} | odd, "payload": ROW})
    assert message.record == ROW


def test_connect_without_a_schema() -> None:
    assert read("connect", {"schema": None, "payload": ROW}).record == ROW
    with pytest.raises(InvalidRecord, match="no record of Kafka Connect"):
        read("connect", ROW)


def test_a_tombstone_of_connect_is_known_by_the_primary_key() -> None:
    message = read("connect", None, json.dumps(with_schema({"id": 7, "shop": 1})).encode())
    assert (message.op, message.record, message.record_id) == ("delete", {"id": 7, "shop": 1}, None)
    assert read("connect", None, b'"cus_1"').record_id == "cus_1"
    assert read("connect", None, b'{"schema":{"type":"string"},"payload":"cus_1"}').record_id == "cus_1"


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"{}", b'{"a":[1]}'])
def test_a_tombstone_needs_a_key(key: bytes | None) -> None:
    with pytest.raises(InvalidRecord, match="value is null"):
        read("auto", None, key)


# -- Airbyte: https://docs.airbyte.com/integrations/destinations/kafka, …/airbyte-metadata-fields


@pytest.mark.parametrize("form", ["airbyte", "auto"])
@pytest.mark.parametrize("as_text", [False, True])
def test_airbyte_of_both_ages(form: Form, as_text: bool) -> None:
    data = json.dumps(ROW) if as_text else ROW
    old = {
        "_airbyte_ab_id": "a",
        "_airbyte_stream": "users",
        "_airbyte_emitted_at": 1_700_000_000_123,
        "_airbyte_data": data,
    }
    message = read(form, old, b"7f0f9c3e", entity=None)
    assert (message.record, message.op, message.record_id) == (ROW, "upsert", None)
    assert (message.origin.entity, message.observed_at_us) == ("users", 1_700_000_000_123_000)
    new = {
        "_airbyte_raw_id": "a",
        "_airbyte_extracted_at": "2023-11-14T22:13:20.123Z",
        "_airbyte_meta": {"sync_id": 1, "changes": []},
        "_airbyte_generation_id": 0,
        "_airbyte_data": data,
    }
    message = read(form, new)
    assert (message.record, message.observed_at_us) == (ROW, 1_700_000_000_123_000)


def test_flattened_airbyte_and_its_deletes() -> None:
    flat = {"_airbyte_raw_id": "a", "_airbyte_meta": {}} | ROW
    assert read("auto", flat).record == ROW
    gone = {"_airbyte_raw_id": "a", "_airbyte_data": ROW | {"_ab_cdc_deleted_at": "2023-11-14T22:13:20Z"}}
    assert read("airbyte", gone).op == "delete"
    with pytest.raises(InvalidRecord, match="_airbyte_data"):
        read("airbyte", ROW)
    with pytest.raises(InvalidRecord, match="_airbyte_data"):
        read("airbyte", {"_airbyte_data": 3})


# -- plain and Avro; headers


def test_plain_records_keep_their_headers() -> None:
    headers = [("op", b"delete"), ("record_id", b"9"), ("observed_at", b"1700000000123"), ("tenant", b"acme")]
    message = read("plain", CREATE, KEY, headers)
    assert (message.op, message.record_id, message.observed_at_us) == ("delete", "9", 1_700_000_000_123_000)
    assert message.record == CREATE
    assert read("plain", None, None, [("record_id", b"9")]).op == "delete"


def test_other_producers_headers_are_not_ours() -> None:
    message = read("debezium", CREATE, KEY, [("op", b"c"), ("record_id", b"x"), ("observed_at", b"yesterday")])
    assert (message.op, message.record_id) == ("upsert", "1004")


def test_avro_alone() -> None:
    framed = b"\x00\x00\x00\x00\x01" + json.dumps(ROW).encode()
    assert read("avro", framed).record == ROW
    with pytest.raises(InvalidRecord, match="Avro"):
        read("avro", ROW)
    with pytest.raises(InvalidRecord, match="no Schema Registry"):
        read_bound(bound("avro"), None, None, framed)


@pytest.mark.parametrize("form", ["auto", "plain", "debezium", "connect", "airbyte", "avro"])
def test_another_tenant_is_refused(form: Form) -> None:
    values: dict[str, Any] = {
        "auto": ROW,
        "plain": ROW,
        "debezium": CREATE,
        "connect": with_schema(ROW),
        "airbyte": {"_airbyte_data": ROW},
        "avro": b"\x00\x00\x00\x00\x01{}",
    }
    for _ in range(2):
        with pytest.raises(InvalidRecord, match="bound to another tenant"):
            read(form, values[form], KEY, [("tenant", b"globex")])
    assert read(form, values[form], KEY, [("tenant", b"acme")]).origin.tenant == "acme"


def test_an_entity_from_nowhere() -> None:
    assert read("auto", ROW, headers=[("entity", b"user")], entity=None).origin.entity == "user"
    with pytest.raises(InvalidRecord, match="says what `entity`"):
        read("auto", ROW, entity=None)
    with pytest.raises(InvalidRecord, match="`entity` must be"):
        read("debezium", CREATE | {"source": {"table": "*"}}, entity=None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "schema",
                    "payload",
                    "type",
                    "fields",
                    "field",
                    "name",
                    "op",
                    "source",
                    "before",
                    "after",
                    "_airbyte_data",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(["auto", "debezium", "connect", "airbyte", "plain"]), JSON | st.binary(), JSON | st.binary())
def test_anything_else_is_an_invalid_record(form: Form, value: Any, key: Any) -> None:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    framed = key if isinstance(key, bytes) else json.dumps(key).encode()
    for given_value in (body, None):
        with suppress(InvalidRecord):
            message = read_bound(bound(form), None, framed, given_value)
            assert isinstance(message.record, dict)
