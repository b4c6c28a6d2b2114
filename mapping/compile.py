"""Compiles a mapping set to one function: raw dict in, events out (their bytes, or plain values).

The function is generated Python source over the plan of `mapping.plan`. Names and constants of users enter it as values
of its namespace, never as source text. Lists are filled by `mapping.fill_list`; how an event is written is up to
`mapping.event_format`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import orjson

from mapping import avro_encoding
from mapping.decode_json import dump
from mapping.event_format import EventFormat, Format, make_format
from mapping.fill_list import fill_first, fill_list, fill_records
from mapping.mapping_set import MappingSet
from mapping.origin import Delivery, Origin
from mapping.path import EACH, MISSING, Path, Step
from mapping.plan import EventPlan, FieldPlan, SetPlan, plan_set
from mapping.source_tree import SourceNode, build_tree, split_leftover
from mapping.transforms import Unconvertible, minor_unit_exponents
from schemas.canonical_model import DECIMAL_SCALE, CanonicalEntity, FieldKind
from schemas.failures import InvalidRecord

Events = list[tuple[str, Any]]
Apply = Callable[[dict[str, Any], Origin, Delivery], tuple[Events, dict[str, Any]]]

_SECONDS_SAFE: Final = 10**10
_LONGS_SAFE: Final = 2**63


@dataclass(frozen=True)
class CompiledSet:
    """`apply(record, origin, delivery)` → (events, leftover).

    events: (canonical entity, encoded event), at least one. leftover: source path → value of all that no mapping reads;
    it is in the first event's custom fields too. Raises InvalidRecord if the record gives no event.
    """

    mapping_set: MappingSet
    apply: Apply


def compile_set(
    mapping_set: MappingSet,
    entities: Mapping[str, CanonicalEntity],
    *,
    event_format: EventFormat = "avro",
    prefixes: Mapping[str, bytes] | None = None,
) -> CompiledSet:
    """The function of `mapping_set`. `prefixes`: canonical entity → bytes before an Avro body (the wire framing).

    Raises InvalidMappingSet.
    """
    plan = plan_set(mapping_set, entities)
    makers = []
    for event in plan.events:
        prefix = (prefixes or {}).get(event.entity.name, b"")
        form = make_format(event_format, event.entity, mapping_set.revision, prefix)
        make = _EventSource(event, form, fast=event_format == "avro").compile()
        makers.append(_Maker(event, make, _element_tree(event)))
    return CompiledSet(mapping_set, _make_apply(plan, makers))


@dataclass(frozen=True)
class _Maker:
    """One event's function; `tree` is what it reads of an array's element, None for an event of the whole record."""

    plan: EventPlan
    make: Callable[..., Any]
    tree: SourceNode | None


def _make_apply(plan: SetPlan, makers: Sequence[_Maker]) -> Apply:
    tree, unguarded = plan.tree, plan.unguarded
    source_id = _make_source_id(plan)

    def read(record: dict[str, Any], delivery: Delivery) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """(source id, leftover, what the first event's custom fields begin with)."""
        left: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        split_leftover(record, tree, "", left, kept)
        if unguarded:
            _keep(record, unguarded, kept)
        identity = source_id(record, delivery, kept)
        kept.update(left)
        return identity, left, kept

    def apply_one(record: dict[str, Any], origin: Origin, delivery: Delivery) -> tuple[Events, dict[str, Any]]:
        identity, left, custom = read(record, delivery)
        return [(name, make(record, record, origin, delivery, identity, 0, custom))], left

    def apply_many(record: dict[str, Any], origin: Origin, delivery: Delivery) -> tuple[Events, dict[str, Any]]:
        identity, left, kept = read(record, delivery)
        events: Events = []
        for maker, event_identity, element, custom in _elements(makers, record, identity):
            if not events:
                custom.update(kept)
            event = maker.make(record, element, origin, delivery, event_identity, len(events), custom)
            events.append((maker.plan.entity.name, event))
        if not events:
            raise InvalidRecord("the mapping set gives this record no event: its arrays have no element")
        return events, left

    if len(makers) != 1 or makers[0].tree is not None:
        return apply_many
    name, make = makers[0].plan.entity.name, makers[0].make
    return apply_one


def _elements(
    makers: Sequence[_Maker], record: dict[str, Any], identity: str
) -> Iterator[tuple[_Maker, str, Any, dict[str, Any]]]:
    """(maker, source id, what it reads, its own custom fields) of each event."""
    for maker in makers:
        each, tree = maker.plan.each, maker.tree
        if each is None or tree is None:
            yield maker, identity, record, {}
            continue
        elements = each.read(record)
        for index, element in enumerate(elements if isinstance(elements, list) else ()):
            left: dict[str, Any] = {}
            key = index
            if isinstance(element, dict) and element:
                split_leftover(element, tree, f"{each}[].", left, left)
                key = element.get("id", index)
            elif not tree.read:
                left[f"{each}[]"] = element
            yield maker, f"{identity}/{key if isinstance(key, str | int) else index}", element, left


def _element_tree(event: EventPlan) -> SourceNode | None:
    """What the event reads of one element of its array."""
    each = event.each
    if each is None:
        return None
    paths = [
        Path(path.steps[len(each.steps) + 1 :])
        for plan in event.field_plans()
        for path in plan.reads()
        if path.steps[: len(each.steps) + 1] == (*each.steps, EACH)
    ]
    return build_tree(paths, ())


def _keep(record: dict[str, Any], paths: Sequence[Path], kept: dict[str, Any]) -> None:
    for path in paths:
        whole = path.before_each() if path.arrays else path
        value = whole.read(record)
        if value is not MISSING:
            kept[str(whole)] = value


def _make_source_id(plan: SetPlan) -> Callable[[dict[str, Any], Delivery, dict[str, Any]], str]:
    key, guarded = plan.primary_key, plan.key_guarded

    def source_id(record: dict[str, Any], delivery: Delivery, kept: dict[str, Any]) -> str:
        values = [path.read(record) for path in key]
        alone = len(values) == 1 and isinstance(values[0], str) and delivery.record_id is None
        if not guarded and not alone:
            kept.update((str(path), value) for path, value in zip(key, values, strict=True) if value is not MISSING)
        if delivery.record_id is not None:
            return delivery.record_id
        if alone:
            return values[0]  # type: ignore[no-any-return]  # checked to be a string above
        if values and all(isinstance(value, str | int | float) for value in values):
            return ":".join(_key_part(value) for value in values) if len(values) > 1 else dump(values[0]).decode()
        return "content:" + blake2b(_dump_sorted(record), digest_size=16).hexdigest()

    return source_id


def _key_part(value: Any) -> str:
    text = value if isinstance(value, str) else dump(value).decode()
    return text.replace("%", "%25").replace(":", "%3A")


def _dump_sorted(record: dict[str, Any]) -> bytes:
    """JSON of `record` that doesn't depend on the order of its keys."""
    return orjson.dumps(record, default=str, option=orjson.OPT_SORT_KEYS)


def event_id(delivery: Delivery, index: int) -> str:
    """The same for a record's every replay: hash of raw topic, partition, offset, Kafka timestamp and index."""
    coordinates = f"{delivery.topic}\n{delivery.partition}\n{delivery.offset}\n{delivery.timestamp_ms}\n{index}"
    return blake2b(coordinates.encode(), digest_size=16).hexdigest()


@dataclass
class _EventSource:
    """The source text of one event's function, and the namespace it runs in."""

    plan: EventPlan
    form: Format
    fast: bool
    lines: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)

    def compile(self) -> Callable[..., Any]:
        self.names.update(M=MISSING, NULL=self.form.null, event_id=event_id, assemble=self.form.assemble)
        self.names.update(P=avro_encoding.STRING_PREFIX, long=avro_encoding.long)
        self.names.update(unscaled=avro_encoding.unscaled_decimal)
        self.names.update(ONE=avro_encoding.plain_long(1), L=avro_encoding.PLAIN_PREFIX, END=avro_encoding.EMPTY)
        self.names.update(TRUE=avro_encoding.TRUE, FALSE=avro_encoding.FALSE)
        self._line(0, "def make(r, x, origin, delivery, identity, index, c):")
        confidences = {plan.confidence for plan in self.plan.field_plans()}
        self._line(1, f"u = {{}}; a = []; v = []; q = {self._value(max(confidences))}")
        self._reads()
        pieces = self._fields()
        self._line(1, "ids = (event_id(delivery, index), identity)")
        self._line(1, f"return assemble(origin, delivery, ids, (q, v, a, u), c, ({', '.join(pieces)},))")
        exec("\n".join(self.lines), self.names)  # noqa: S102  # source text is ours alone; see the module's docstring
        return self.names["make"]  # type: ignore[no-any-return]  # what exec defined

    def _line(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def _value(self, value: Any) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def _scoped(self, path: Path) -> tuple[str, tuple[Step, ...]]:
        """(variable, steps from it): within the element `x` if the path leads through it, else from the record `r`."""
        each = self.plan.each
        if each is not None and path.steps[: len(each.steps) + 1] == (*each.steps, EACH):
            return "x", path.steps[len(each.steps) + 1 :]
        return "r", path.steps

    def _reads(self) -> None:
        self.variables: dict[Path, str] = {}
        wanted: dict[str, list[tuple[tuple[Step, ...], str]]] = {"r": [], "x": []}
        for plan in self.plan.sources.values():
            if not isinstance(plan, FieldPlan) or not (_is_scalar(plan) or self._is_wrapped(plan)):
                continue
            for path in plan.reads():
                if path in self.variables:
                    continue
                scope, steps = self._scoped(path)
                if not steps:
                    self.variables[path] = scope
                    continue
                self.variables[path] = name = f"s{len(self.variables)}"
                wanted[scope].append((steps, name))
        self._read_object("r", wanted["r"], 1)
        if wanted["x"]:
            self._read_guarded("x", wanted["x"], 1)

    def _read_guarded(self, variable: str, wanted: Sequence[tuple[tuple[Step, ...], str]], indent: int) -> None:
        self._line(indent, f"if {variable}.__class__ is dict:")
        self._read_object(variable, wanted, indent + 1)
        self._line(indent, "else:")
        self._line(indent + 1, " = ".join([*(name for _, name in wanted), "M"]))

    def _read_object(self, variable: str, wanted: Sequence[tuple[tuple[Step, ...], str]], indent: int) -> None:
        by_key: dict[Step, list[tuple[tuple[Step, ...], str]]] = {}
        for steps, name in wanted:
            by_key.setdefault(steps[0], []).append((steps[1:], name))
        for key, group in by_key.items():
            whole = [name for steps, name in group if not steps]
            inner = [(steps, name) for steps, name in group if steps]
            name = whole[0] if whole else f"n{len(self.lines)}"
            self._line(indent, f"{name} = {variable}.get({self._value(key)}, M)")
            if inner:
                self._read_guarded(name, inner, indent)

    def _fields(self) -> list[str]:
        pieces: list[str] = []
        gap: list[Any] = []
        for canonical in self.plan.entity.fields:
            source = self.plan.sources.get(canonical.name)
            if source is None:
                gap.append(self.form.empty if canonical.is_list else self.form.null)
                continue
            pieces += self._gap(gap)
            gap = []
            piece = f"f{len(pieces)}"
            pieces.append(piece)
            if isinstance(source, FieldPlan) and _is_scalar(source):
                self._scalar(source, piece)
                self._quality(source, piece)
            else:
                self._list(source, canonical.name, piece)
        return pieces + self._gap(gap)

    def _gap(self, gap: Sequence[Any]) -> list[str]:
        return [self._value(piece) for piece in self.form.gap(gap)] if gap else []

    def _list(self, source: Any, name: str, piece: str) -> None:
        canonical = self.plan.entity.field(name)
        if isinstance(source, FieldPlan):
            fill = fill_list if source.field.is_list else fill_first
            encode = (
                self.form.list_encoder(canonical)
                if source.field.is_list
                else self.form.encoder(source.field.kind or FieldKind.STRING)
            )
            filler = fill(source, self._scoped, encode, self.form.empty if source.field.is_list else self.form.null)
            indent = self._wrapped(source, piece) if self._is_wrapped(source) else 1
            self._line(indent, f"{piece} = {self._value(filler)}(r, x, c, u, a)")
            self._quality(source, piece)
        else:
            filler = fill_records(source, self._scoped, self.form.list_encoder(canonical), self.form.empty)
            self._line(1, f"{piece} = {self._value(filler)}(r, x, c, u, a)")
            for member in source.members:
                self._quality(member, piece)

    def _is_wrapped(self, plan: FieldPlan) -> bool:
        """Whether it is a list of the one string that the source usually holds; written out for Avro."""
        simple = plan.path is not None and not plan.path.arrays and not plan.fallbacks
        return self.fast and plan.field.is_list and simple and plan.transform.op == "copy"

    def _wrapped(self, plan: FieldPlan, piece: str) -> int:
        assert plan.path is not None, "checked by _is_wrapped"
        variable = self.variables[plan.path]
        self._line(1, f"if {variable}.__class__ is str: e = {variable}.encode(); {piece} = ONE + L[len(e)] + e + END")
        self._line(1, "else:")
        return 2

    def _quality(self, plan: FieldPlan, piece: str) -> None:
        in_list = plan.field.is_list or "[]" in plan.target
        used = f"if {piece} is not NULL and {piece}:" if in_list else f"if {piece} is not NULL:"
        if plan.confidence < 1.0:
            number = self._value(plan.confidence)
            self._line(1, f"{used[:-1]} and q > {number}: q = {number}")
        if plan.provisional:
            self._line(1, f"{used} v.append({self._value(plan.target)})")

    def _scalar(self, plan: FieldPlan, piece: str) -> None:
        encode = self.form.encoder(plan.field.kind or FieldKind.STRING)
        if plan.path is None:
            self._line(1, f"{piece} = {self._value(encode(plan.step()[0]))}")
            return
        convert = self._value(_make_convert(plan, encode, self.form.null))
        variable, target = self.variables[plan.path], self._value(plan.target)
        if plan.transform.op == "join":
            self._join(plan, piece, convert, target)
            return
        where = self._value(str(plan.path))
        if plan.fallbacks:
            variable, where = self._fallbacks(plan, variable, where)
        branches = self._fast_branches(plan, variable, piece)
        inputs = "".join(f", {self.variables[path]}" for path in plan.inputs)
        branches += [
            (f"{variable} is None", f"{piece} = NULL"),
            (f"{variable} is M", f"{piece} = NULL; a.append({target})"),
        ]
        for index, (condition, statement) in enumerate(branches):
            self._line(1, f"{'elif' if index else 'if'} {condition}: {statement}")
        self._line(1, f"else: {piece} = {convert}({where}, c, u, {variable}{inputs})")

    def _fallbacks(self, plan: FieldPlan, variable: str, where: str) -> tuple[str, str]:
        value, path = f"w{len(self.lines)}", f"p{len(self.lines)}"
        self._line(1, f"{value} = {variable}; {path} = {where}")
        for fallback in plan.fallbacks:
            other = self.variables[fallback]
            self._line(1, f"if ({value} is None or {value} is M) and {other} is not None and {other} is not M:")
            self._line(2, f"{value} = {other}; {path} = {self._value(str(fallback))}")
        self._line(1, f"if {variable} is None and {value} is not None: c[{where}] = None")
        return value, path

    def _join(self, plan: FieldPlan, piece: str, convert: str, target: str) -> None:
        variables = [self.variables[path] for path in plan.reads()]
        self._line(1, f"if {' and '.join(f'{name} is M' for name in variables)}: {piece} = NULL; a.append({target})")
        self._line(1, f"elif {' and '.join(f'({name} is M or {name} is None)' for name in variables)}: {piece} = NULL")
        where = self._value(str(plan.path))
        self._line(1, f"else: {piece} = {convert}({where}, c, u, {', '.join(variables)})")

    def _fast_branches(self, plan: FieldPlan, variable: str, piece: str) -> list[tuple[str, str]]:
        """The common exact cases, written out: (condition, statement)."""
        kind = plan.field.kind or FieldKind.STRING
        if not self.fast:
            if plan.transform.op == "copy" and kind is FieldKind.STRING:
                return [(f"{variable}.__class__ is str", f"{piece} = {variable}")]
            return []
        a_string, an_int = f"{variable}.__class__ is str", f"{variable}.__class__ is int"
        match plan.transform.op, kind:
            case "copy", FieldKind.STRING:
                cases = [(a_string, f"e = {variable}.encode(); {piece} = P[len(e)] + e")]
            case "copy", FieldKind.LONG:
                safe = f"{an_int} and -{_LONGS_SAFE} < {variable} < {_LONGS_SAFE}"
                cases = [(safe, f"{piece} = long({variable})")]
            case "copy", FieldKind.BOOLEAN:
                cases = [(f"{variable} is True", f"{piece} = TRUE"), (f"{variable} is False", f"{piece} = FALSE")]
            case "epoch_seconds", _:
                safe = f"{an_int} and -{_SECONDS_SAFE} < {variable} < {_SECONDS_SAFE}"
                cases = [(safe, f"{piece} = long({variable} * 1000000)")]
            case "upper", _:
                safe = f"{a_string} and {variable}.islower() and {variable}.isascii()"
                cases = [(safe, f"e = {variable}.upper().encode(); {piece} = P[len(e)] + e")]
            case "minor_units", _:
                currency, factors = self.variables[plan.inputs[0]], self._value(_unscaled_factors(plan))
                safe = f"{an_int} and -{_LONGS_SAFE} < {variable} < {_LONGS_SAFE}"
                known = f"{currency}.__class__ is str and {currency} in {factors}"
                cases = [(f"{safe} and {known}", f"{piece} = unscaled({variable} * {factors}[{currency}])")]
            case "enum", _:
                table = self._value(_enum_table(plan, self.form.encoder(kind)))
                cases = [(f"{a_string} and {variable} in {table}", f"{piece} = {table}[{variable}]")]
            case _:
                cases = []
        return cases


def _is_scalar(plan: FieldPlan) -> bool:
    return not plan.field.is_list and plan.transform.op != "first"


def _unscaled_factors(plan: FieldPlan) -> dict[str, int]:
    """Currency → what one minor unit is in units of the decimal's last digit."""
    exponents = minor_unit_exponents(plan.transform.params)
    factors = {code: 10 ** (DECIMAL_SCALE - exponent) for code, exponent in exponents.items()}
    return factors | {code.lower(): factor for code, factor in factors.items()}


def _enum_table(plan: FieldPlan, encode: Callable[[Any], Any]) -> dict[str, Any]:
    """Source word → piece, of the words that need no copy."""
    table = {}
    for word in plan.transform.params["values"]:
        canonical, exact = plan.step(word)
        if exact or not plan.guards:
            table[word] = encode(canonical)
    return table


def _make_convert(plan: FieldPlan, encode: Callable[[Any], Any], null: Any) -> Callable[..., Any]:
    """(path, custom, unconverted, value, *inputs) → piece, noting what would be lost."""
    step, guards = plan.step, plan.guards

    def convert(path: str, custom: dict[str, Any], unconverted: dict[str, str], value: Any, *inputs: Any) -> Any:
        try:
            canonical, exact = step(value, *inputs)
        except Unconvertible as reason:
            custom[path] = value
            unconverted[path] = str(reason)
            return null
        if not exact and guards and value is not MISSING:
            custom[path] = value
        return encode(canonical)

    return convert
