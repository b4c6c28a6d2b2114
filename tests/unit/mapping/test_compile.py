"""The compiled function: examples of what it promises, and two properties over any schema, set and record: fastavro
writes the same bytes, and every leaf of the record can be found again in its events."""

import io
import json
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapping.compile import compile_set
from mapping.decode_json import decode
from mapping.mapping_set import Mapping, MappingSet, Transform
from mapping.origin import Delivery, Origin
from mapping.path import EACH, Path, parse
from mapping.plan import InvalidMappingSet
from mapping.transforms import format_timestamp
from schemas.canonical_model import CanonicalEntity, load_entities
from schemas.failures import InvalidRecord

ORIGIN = Origin("acme", "shop", "thing", "shop-eu")
DELIVERY = Delivery("aam.raw.records.v1", 3, 70_000, 1_700_000_000_000, "upsert", None, None, 1_764_000_000_123_456)
ENTITIES = load_entities()


def make_set(*mappings: Mapping, **fields: Any) -> MappingSet:
    return MappingSet(connector="shop", entity="thing", epoch=1, revision=7, mappings=mappings, **fields)


def make_mapping(target: str, source: str | None, op: str = "copy", **fields: Any) -> Mapping:
    entity, _, field = target.partition(".")
    transform = Transform(op=op, inputs=fields.pop("inputs", ()), params=fields.pop("params", {}))
    return Mapping(canonical_entity=entity, canonical_field=field, source_field=source, transform=transform, **fields)


def events_of(mapping_set: MappingSet, record: dict[str, Any], delivery: Delivery = DELIVERY) -> list[Any]:
    compiled = compile_set(mapping_set, ENTITIES, event_format="values")
    return [event for _, event in compiled.apply(record, ORIGIN, delivery)[0]]


def test_a_customer_comes_out_whole() -> None:
    mapping_set = make_set(
        make_mapping("customer.display_name", "name"),
        make_mapping("customer.emails", "email"),
        make_mapping("customer.balance", "balance", "minor_units", inputs=("currency",)),
        make_mapping("customer.currency", "currency", "upper"),
        make_mapping("customer.created_at", "created", "epoch_seconds"),
        make_mapping("customer.addresses[].city", "address.city"),
        primary_key=("id",),
    )
    record = {
        "id": "cus_1",
        "name": "Ann",
        "email": "ann@example.com",
        "balance": -250,
        "currency": "usd",
        "created": 1_700_000_000,
        "address": {"city": "Bonn", "line1": "Am Markt 1"},
        "plan": {"tier": "pro"},
    }
    (event,) = events_of(mapping_set, record)
    assert event["display_name"] == "Ann"
    assert event["emails"] == ["ann@example.com"]
    assert event["balance"] == Decimal("-2.50")
    assert event["currency"] == "USD"
    assert format_timestamp(event["created_at"]) == "2023-11-14T22:13:20Z"
    assert event["addresses"][0]["city"] == "Bonn"
    assert event["aam"]["source_id"] == "cus_1"
    assert event["aam"]["custom_fields"] == {"address": '{"line1":"Am Markt 1"}', "plan": '{"tier":"pro"}'}


def test_missing_null_and_unconvertible_are_told_apart() -> None:
    mapping_set = make_set(
        make_mapping("customer.display_name", "name"),
        make_mapping("customer.description", "about"),
        make_mapping("customer.balance", "balance", "number"),
    )
    (event,) = events_of(mapping_set, {"about": None, "balance": "much"})
    assert event["aam"]["absent"] == ["display_name"]
    assert event["description"] is None
    assert event["aam"]["unconverted"] == {"balance": "text that is no number"}
    assert event["aam"]["custom_fields"] == {"balance": '"much"'}


def test_an_array_into_a_scalar_gives_an_event_per_element() -> None:
    mapping_set = make_set(
        make_mapping("invoice.number", "number"),
        make_mapping("product.name", "lines[].title"),
        make_mapping("product.description", "number"),
        primary_key=("id",),
    )
    record = {"id": "in_1", "number": "A-1", "lines": [{"id": "l1", "title": "Pen", "extra": 1}, {"title": "Ink"}]}
    invoice, first, second = events_of(mapping_set, record)
    assert [e["aam"]["source_id"] for e in (invoice, first, second)] == ["in_1", "in_1/l1", "in_1/1"]
    assert [first["name"], second["name"]] == ["Pen", "Ink"]
    assert first["description"] == "A-1"
    assert first["aam"]["custom_fields"] == {"lines[].id": '"l1"', "lines[].extra": "1"}
    assert len({e["aam"]["event_id"] for e in (invoice, first, second)}) == 3


def test_a_record_without_any_event_is_refused_not_lost() -> None:
    mapping_set = make_set(make_mapping("product.name", "lines[].title"))
    with pytest.raises(InvalidRecord):
        events_of(mapping_set, {"lines": []})


def test_arrays_map_element_by_element_into_records() -> None:
    mapping_set = make_set(
        make_mapping("invoice.line_items[].description", "lines.data[].description"),
        make_mapping("invoice.line_items[].quantity", "lines.data[].quantity", "number"),
    )
    rows = [{"description": "Pen", "quantity": 2, "sku": "p"}, {"description": "Ink", "quantity": 1}]
    (event,) = events_of(mapping_set, {"lines": {"data": rows}})
    assert [(i["description"], i["quantity"]) for i in event["line_items"]] == [("Pen", 2), ("Ink", 1)]
    assert event["aam"]["custom_fields"] == {"lines": '{"data":[{"sku":"p"},{}]}'}


def test_fallbacks_are_read_where_the_source_is_missing_or_null() -> None:
    mapping_set = make_set(make_mapping("customer.display_name", "name", fallbacks=("label",)))
    assert events_of(mapping_set, {"name": None, "label": "L"})[0]["display_name"] == "L"
    assert events_of(mapping_set, {"label": "L"})[0]["display_name"] == "L"
    (event,) = events_of(mapping_set, {"name": "N", "label": "L"})
    assert event["display_name"] == "N"
    assert event["aam"]["custom_fields"] == {"label": '"L"'}


def test_events_say_how_sure_their_mapping_is() -> None:
    mapping_set = make_set(
        make_mapping("customer.display_name", "name", confidence=0.99),
        make_mapping("customer.description", "about", confidence=0.9, status="provisional"),
    )
    assert events_of(mapping_set, {"name": "N"})[0]["aam"]["confidence"] == 0.99
    (event,) = events_of(mapping_set, {"name": "N", "about": "A"})
    assert event["aam"]["confidence"] == 0.9
    assert event["aam"]["provisional"] == ["description"]


def test_identity_is_the_header_then_the_key_then_the_content() -> None:
    mapping_set = make_set(make_mapping("customer.display_name", "name"), primary_key=("org", "id"))
    record = {"org": "a:b", "id": 5, "name": "N"}
    assert events_of(mapping_set, record, DELIVERY._replace(record_id="h"))[0]["aam"]["source_id"] == "h"
    assert events_of(mapping_set, record)[0]["aam"]["source_id"] == "a%3Ab:5"
    by_content = events_of(mapping_set, {"name": "N"})[0]["aam"]["source_id"]
    assert by_content.startswith("content:")
    assert by_content != events_of(mapping_set, {"name": "M"})[0]["aam"]["source_id"]


def test_names_of_users_are_never_source_text() -> None:
    name = "\"\nimport os\n'{x}"
    mapping_set = make_set(make_mapping("customer.display_name", str(Path((name,)))))
    (event,) = events_of(mapping_set, {name: "N", "__class__": 1, "aam": 2, "custom_fields": 3})
    assert event["display_name"] == "N"
    assert event["aam"]["custom_fields"] == {"__class__": "1", "aam": "2", "custom_fields": "3"}


@pytest.mark.parametrize(
    "mappings",
    [
        [make_mapping("nothing.name", "a")],
        [make_mapping("customer.nothing", "a")],
        [make_mapping("customer.display_name", "a["), make_mapping("customer.emails", "b")],
        [make_mapping("customer.display_name", "a"), make_mapping("customer.display_name", "b")],
        [make_mapping("customer.display_name", "a[].x"), make_mapping("customer.description", "b[].x")],
        [make_mapping("customer.created_at", "a")],
        [make_mapping("customer.display_name", None)],
    ],
)
def test_sets_that_make_no_sense_are_refused(mappings: list[Mapping]) -> None:
    with pytest.raises(InvalidMappingSet):
        compile_set(make_set(*mappings), ENTITIES)


# --- any schema, any set, any record -----------------------------------------------------------------------------

OPS = {
    "string": [
        "copy",
        "to_string",
        "upper",
        "lower",
        "trim",
        "to_json",
        "truncate",
        "split_name",
        "join",
        "enum",
        "first",
    ],
    "long": ["copy", "number"],
    "double": ["copy", "number"],
    "boolean": ["copy", "boolean", "negate"],
    "decimal": ["copy", "number", "scale", "minor_units"],
    "timestamp": ["epoch_seconds", "epoch_millis", "iso_time"],
    "date": ["iso_date", "epoch_seconds"],
    "strings": ["copy", "upper", "split"],
}
PARAMS: dict[str, dict[str, Any]] = {
    "truncate": {"length": 2},
    "split_name": {"part": "first"},
    "enum": {"values": {"x": "one", "y": "two", "": "none"}},
    "scale": {"factor": "0.01"},
}
AVRO: dict[str, Any] = {
    "string": "string",
    "long": "long",
    "double": "double",
    "boolean": "boolean",
    "decimal": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "date": {"type": "int", "logicalType": "date"},
}
PATHS = ["a", "b", "c d", "n", "n.a", "n.b", "n.o.a", "l[].a", "l[].b", "l[].o.a", "m[]", "t", "l", "m", "k[].l[].a"]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(
        ["x", "y", "", "USD", "12.50", "1712345678.123456", "2024-01-31", "2024-01-31T10:00:00Z", "true", "a,b"]
    ),
)
anything = st.recursive(
    scalars, lambda v: st.lists(v, max_size=2) | st.dictionaries(st.sampled_from("abo"), v, max_size=2), max_leaves=4
)
inner = st.fixed_dictionaries(
    {}, optional={"a": scalars, "b": scalars, "z": anything, "o": st.just({"a": "x", "q": 1})}
)
rows = st.lists(st.one_of(inner, inner, scalars), max_size=3)
records = st.builds(
    lambda record: decode(json.dumps(record).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "a": scalars,
            "b": scalars,
            "c d": anything,
            "n": st.one_of(inner, inner, anything),
            "l": st.one_of(rows, rows, anything),
            "m": st.lists(scalars, max_size=3) | scalars,
            "t": anything,
            "k": st.lists(st.fixed_dictionaries({"l": rows}), max_size=2),
            "u": anything,
        },
    ),
)


@st.composite
def entities_and_sets(draw: st.DrawFn) -> tuple[dict[str, CanonicalEntity], MappingSet]:
    entities, mappings = {}, []
    for name in draw(st.sampled_from([["one"], ["one", "two"]])):
        kinds = draw(st.lists(st.sampled_from(list(OPS)), min_size=1, max_size=6))
        fields: list[dict[str, Any]] = [{"name": "aam", "type": "io.aam.canonical.Provenance", "doc": "d"}]
        for index, kind in enumerate(kinds):
            avro: Any = {"type": "array", "items": "string"} if kind == "strings" else ["null", AVRO[kind]]
            fields.append({"name": f"f{index}", "type": avro, "default": [] if kind == "strings" else None, "doc": "d"})
            mappings += _draw_mapping(draw, f"{name}.f{index}", kind)
        if draw(st.booleans()):
            members = [{"name": m, "type": ["null", AVRO[m]], "default": None, "doc": "d"} for m in ("string", "long")]
            item = {"type": "record", "name": f"Row{name}", "fields": members}
            fields.append({"name": "rows", "type": {"type": "array", "items": item}, "default": [], "doc": "d"})
            for member in ("string", "long"):
                mappings += _draw_mapping(draw, f"{name}.rows[].{member}", member)
        schema = {"type": "record", "name": name.title(), "namespace": "io.aam.canonical", "doc": "d", "fields": fields}
        entities[name] = CanonicalEntity.from_avro(schema)
    key = draw(st.sampled_from([(), ("a",), ("a", "n.a")]))
    return entities, make_set(*mappings, primary_key=key)


def _draw_mapping(draw: st.DrawFn, target: str, kind: str) -> list[Mapping]:
    if draw(st.integers(0, 5)) == 0:
        return []
    op = draw(st.sampled_from(OPS[kind]))
    inputs = {"minor_units": ("b",), "join": ("n.b",)}.get(op, ())
    fallbacks = ("b",) if draw(st.integers(0, 5)) == 0 and "[]" not in target else ()
    options = {"inputs": inputs, "params": PARAMS.get(op, {}), "fallbacks": fallbacks}
    confidence = draw(st.sampled_from([1.0, 0.9]))
    return [make_mapping(target, draw(st.sampled_from(PATHS)), op, confidence=confidence, **options)]


@settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
@given(entities_and_sets(), st.lists(records, min_size=1, max_size=3))
def test_fastavro_writes_the_same_bytes(
    generated: tuple[dict[str, CanonicalEntity], MappingSet], some_records: list[dict[str, Any]]
) -> None:
    entities, mapping_set = generated
    try:
        fast = compile_set(mapping_set, entities, prefixes=dict.fromkeys(entities, b"\x00\x00\x00\x00\x07"))
    except InvalidMappingSet:
        return
    values = compile_set(mapping_set, entities, event_format="values")
    text = compile_set(mapping_set, entities, event_format="json")
    for record in some_records:
        try:
            expected = values.apply(record, ORIGIN, DELIVERY)[0]
        except InvalidRecord:
            with pytest.raises(InvalidRecord):
                fast.apply(record, ORIGIN, DELIVERY)
            continue
        encoded = fast.apply(record, ORIGIN, DELIVERY)[0]
        assert [name for name, _ in encoded] == [name for name, _ in expected]
        for (name, body), (_, event) in zip(encoded, expected, strict=True):
            oracle = io.BytesIO()
            fastavro.schemaless_writer(oracle, fastavro.parse_schema(entities[name].avro), event)
            assert body == b"\x00\x00\x00\x00\x07" + oracle.getvalue()
        for _, line in text.apply(record, ORIGIN, DELIVERY)[0]:
            assert json.loads(line)["aam"]["tenant_id"] == "acme"


@settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
@given(entities_and_sets(), records)
def test_every_leaf_is_recoverable(
    generated: tuple[dict[str, CanonicalEntity], MappingSet], record: dict[str, Any]
) -> None:
    entities, mapping_set = generated
    try:
        compiled = compile_set(mapping_set, entities, event_format="values")
    except InvalidMappingSet:
        return
    try:
        events = compiled.apply(record, ORIGIN, DELIVERY)[0]
    except InvalidRecord:
        return
    for steps, leaf in leaves(record) if record else ():
        assert recoverable(steps, leaf, events, mapping_set), (steps, leaf, events)


def leaves(value: Any, steps: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key, inside in value.items() for leaf in leaves(inside, (*steps, key))]
    if isinstance(value, list) and value:
        return [leaf for index, inside in enumerate(value) for leaf in leaves(inside, (*steps, index))]
    return [(steps, value)]


def recoverable(steps: tuple[Any, ...], leaf: Any, events: list[Any], mapping_set: MappingSet) -> bool:
    positions: dict[str, int] = {}
    for name, event in events:
        position = positions[name] = positions.get(name, -1) + 1
        if _in_custom_fields(steps, leaf, event["aam"]["custom_fields"], position):
            return True
        if steps == ("a",) and event["aam"]["source_id"].split("/")[0] == leaf:
            return True
        if any(m.canonical_entity == name and _inverse(m, event, steps, leaf, position) for m in mapping_set.mappings):
            return True
    return False


def _in_custom_fields(steps: tuple[Any, ...], leaf: Any, custom: dict[str, str], position: int) -> bool:
    for length in range(1, len(steps) + 1):
        head = steps[:length]
        keys = [step for step in head if not isinstance(step, int)]
        candidates = [str(Path(tuple(keys)))] if len(keys) == len(head) else []
        if position in head:  # an element's own event names its element by `[]`
            candidates.append(str(Path(tuple(EACH if isinstance(step, int) else step for step in head))))
        for text in candidates:
            if text in custom and _descends(json.loads(custom[text]), steps[length:], leaf):
                return True
    return False


def _descends(value: Any, steps: tuple[Any, ...], leaf: Any) -> bool:
    for step in steps:
        inside = value[step : step + 1] if isinstance(value, list) and isinstance(step, int) else None
        if inside:
            value = inside[0]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return False
    return _same(value, leaf)


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _inverse(  # noqa: PLR0911  # one return a case reads best
    mapping: Mapping, event: Any, steps: tuple[Any, ...], leaf: Any, position: int
) -> bool:
    """Whether the leaf is what the mapping's transform, turned round, makes of the canonical value."""
    pattern = parse(mapping.source_field or "")
    indexes = [step for step in steps if isinstance(step, int)]
    field, is_member, member = mapping.canonical_field.partition("[].")
    value = event[field]
    if mapping.canonical_field in event["aam"]["absent"]:
        return False
    whole = tuple(EACH if isinstance(step, int) else step for step in steps)
    if mapping.transform.op == "to_json" and not pattern.arrays:
        depth = len(pattern.steps)
        value = value[0][member] if is_member and value else value
        if value is None:
            return steps == pattern.steps and leaf is None
        return (
            value is not None and steps[:depth] == pattern.steps and _descends(json.loads(value), steps[depth:], leaf)
        )
    if whole != pattern.steps:
        below = leaf in ([], {}) or mapping.transform.op == "split"
        return below and whole == pattern.before_each().steps and value == leaf if pattern.arrays else False
    index = indexes[0] if indexes else 0
    if is_member:
        value = value[index][member] if index < len(value) else None
        return _turned_round(mapping, value, leaf) if index < len(event[field]) else False
    if isinstance(value, list) or mapping.transform.op == "first":
        values = list(value) if isinstance(value, list | tuple) else [value]
        if mapping.transform.op == "split":
            return len(indexes) == 0 and ",".join(values) == leaf
        return index < len(values) and _turned_round(mapping, values[index], leaf)
    return (not indexes or index == position) and _turned_round(mapping, value, leaf)


def _turned_round(mapping: Mapping, value: Any, leaf: Any) -> bool:
    if value is None or leaf is None:
        return value is None and leaf is None
    turn: dict[str, Any] = {
        "copy": lambda v: v,
        "to_string": lambda v: json.loads(v) if not isinstance(leaf, str) else None,
        "trim": lambda v: v,
        "truncate": lambda v: v,
        "upper": lambda v: v.lower(),
        "lower": lambda v: v.upper(),
        "to_json": json.loads,
        "first": lambda v: v,
        "number": lambda v: str(v) if isinstance(leaf, str) else v,
        "boolean": lambda v: v,
        "negate": lambda v: not v,
        "epoch_seconds": lambda v: Decimal(v) / 1_000_000,
        "epoch_millis": lambda v: Decimal(v) / 1000,
        "iso_time": format_timestamp,
        "enum": {"one": "x", "two": "y", "none": ""}.get,
        "scale": lambda v: v * 100,
        "iso_date": lambda v: format_timestamp(v * 86_400_000_000)[:10],
        "minor_units": lambda v: v * 100,
    }
    if mapping.transform.op not in turn:
        return False
    back = turn[mapping.transform.op](value)
    number = isinstance(leaf, float) and isinstance(back, Decimal)
    return Decimal(repr(leaf)) == back if number else _same(back, leaf)
