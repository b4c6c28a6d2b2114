"""Writes the Python source of the function that makes one event of a record, over the plan of `mapping.plan`.

Names and constants of users enter it as values of its namespace, never as source text. What is common and exact is
written out; everything else calls the step of the field's transform. How values are encoded is the format's matter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mapping.event_format import Format, event_id
from mapping.fill_list import fill_first, fill_list
from mapping.path import EACH, MISSING, Path, Step
from mapping.plan import EventPlan, FieldPlan, FieldSource, RecordsPlan, SetPlan
from mapping.source_tree import SourceNode, is_plain, requoted, rest_of
from mapping.transforms import Unconvertible, iso_seconds, minor_unit_exponents
from schemas.canonical_model import CanonicalField, FieldKind

_SECONDS_SAFE = 10**10
_LONGS_SAFE = 2**63

Wanted = Sequence[tuple[tuple[Step, ...], str]]
"""(steps from a place, variable that takes what stands there)."""


@dataclass
class EventSource:
    """The source text of one event's function, and the namespace it runs in."""

    plan: EventPlan
    form: Format
    lines: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)
    variables: dict[Path, str] = field(default_factory=dict)

    def compile_whole(self, whole: SetPlan, source_id: Callable[..., str]) -> Callable[..., Any]:
        """`apply(record, origin, delivery)` → ([(entity, event)], leftover), of a set with one event a record."""
        self._start()
        self._line(0, "def make(r, origin, delivery):")
        self._line(1, "left = r.copy(); c = {}")
        alone = [path for path in (*whole.primary_key, *whole.unguarded) if not path.arrays]
        self._split("left", whole.tree, "", self._wanted(alone)["r"], 1)
        self._line(1, "if not is_plain(left): left = requoted(left)")
        self._unguarded(whole.unguarded)
        self._identity(whole, source_id)
        entity = self._value(self.plan.entity.name)
        self._event("delivery", "0", "left if not c else {**left, **c}", f"[({entity}, {{}})], left")
        return self._compiled()

    def compile_part(self) -> Callable[..., Any]:
        """`make(record, element, origin, delivery, source id, index, custom)` → event, of one among several."""
        self._start()
        self._line(0, "def make(r, x, origin, delivery, identity, index, c):")
        wanted = self._wanted()
        self._read_object("r", wanted["r"], 1)
        if wanted["x"]:
            self._read_guarded("x", wanted["x"], 1)
        self._event("delivery", "index", "c", "{}")
        return self._compiled()

    def _start(self) -> None:
        self.names.update(M=MISSING, NULL=self.form.null, EMPTY=self.form.empty, event_id=event_id)
        self.names.update(head=self.form.head, custom=self.form.custom, finish=self.form.finish)
        self.names.update(is_plain=is_plain, requoted=requoted, rest_of=rest_of, keep=keep)
        self.names.update(iso_seconds=iso_seconds, STR=frozenset({str}))
        self.names.update(self.form.names)

    def _compiled(self) -> Callable[..., Any]:
        exec("\n".join(self.lines), self.names)  # noqa: S102  # source text is ours alone; see the module's docstring
        return self.names["make"]  # type: ignore[no-any-return]  # what exec defined

    def _event(self, delivery: str, index: str, custom: str, result: str) -> None:
        """All fields, then the event; `result` says what is returned, with {} for the event."""
        confidences = {plan.confidence for plan in self.plan.field_plans()}
        self._line(1, f"u = {{}}; a = []; v = []; q = {self._value(max(confidences))}")
        pieces = ["".join(f", {piece}" for piece in self._fields())]
        block = f"head(origin, {delivery}, event_id(origin.tenant, {delivery}, {index}), identity, q, v, a, u)"
        self._line(1, f"event = finish(({block}, custom({custom}){''.join(pieces)}))")
        self._line(1, f"return {result.format('event')}")

    def _line(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def _value(self, value: Any) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    # -- reading

    def _scoped(self, path: Path) -> tuple[str, tuple[Step, ...]]:
        """(variable, steps from it): within the element `x` if the path leads through it, else from the record `r`."""
        steps = path.within(self.plan.each)
        return ("r", path.steps) if steps is None else ("x", steps)

    def _wanted(self, further: Sequence[Path] = ()) -> dict[str, list[tuple[tuple[Step, ...], str]]]:
        """What is read into variables: scope → places. Fillers of lists read by themselves."""
        wanted: dict[str, list[tuple[tuple[Step, ...], str]]] = {"r": [], "x": []}
        for path in (*self._inline_paths(), *further):
            if path in self.variables:
                continue
            scope, steps = self._scoped(path)
            self.variables[path] = name = f"s{len(self.variables)}" if steps else scope
            if steps:
                wanted[scope].append((steps, name))
        return wanted

    def _inline_paths(self) -> list[Path]:
        paths: list[Path] = []
        for source in self.plan.sources.values():
            if isinstance(source, RecordsPlan):
                paths += [source.array] if source.array else []
                paths += [p for member in source.members for p in member.reads() if p.within(source.array) is None]
            elif _is_scalar(source) or self._is_wrapped(source):
                paths += source.reads()
            elif self._is_strings(source) and source.path is not None:
                paths.append(source.path.before_each())
        return paths

    def _split(self, place: str, node: SourceNode, path: str, wanted: Wanted, indent: int) -> None:
        """Takes out of the copied object `place` all that is read below it, so that what nobody reads remains."""
        for key, child in node.children.items():
            below = [(steps[1:], name) for steps, name in wanted if steps[0] == key]
            whole = [name for steps, name in below if not steps]
            inner = [(steps, name) for steps, name in below if steps]
            name = whole[0] if whole else f"n{len(self.lines)}"
            text = path + str(Path((key,)))
            at = self._value(key)
            self._line(indent, f"{name} = {place}.pop({at}, M)")
            if not child.read and child.each is None:
                self._split_object(name, child, text, inner, f"{place}[{at}]", indent)
                continue
            if not child.read:
                # An array whose elements are read whole leaves nothing over.
                leaf = child.each is not None and child.each.read and not child.children
                self._line(indent, f"if {name} is not M{f' and {name}.__class__ is not list' if leaf else ''}:")
                self._line(indent + 1, f"p = rest_of({name}, {self._value(child)}, {self._value(text)}, c)")
                self._line(indent + 1, f"if p is not M: {place}[{at}] = p")
            if inner:
                self._read_guarded(name, inner, indent)

    def _split_object(self, name: str, node: SourceNode, text: str, inner: Wanted, place: str, indent: int) -> None:
        rest = f"m{len(self.lines)}"
        self._line(indent, f"if {name}.__class__ is dict and {name}:")
        self._line(indent + 1, f"{rest} = {name}.copy()")
        self._split(rest, node, text + ".", inner, indent + 1)
        self._line(indent + 1, f"if {rest}: {place} = {rest}")
        self._line(indent, "else:")
        if inner:
            self._line(indent + 1, " = ".join([*(variable for _, variable in inner), "M"]))
        self._line(indent + 1, f"if {name} is not M: c[{self._value(text)}] = {name}")

    def _read_guarded(self, variable: str, wanted: Wanted, indent: int) -> None:
        self._line(indent, f"if {variable}.__class__ is dict:")
        self._read_object(variable, wanted, indent + 1)
        self._line(indent, "else:")
        self._line(indent + 1, " = ".join([*(name for _, name in wanted), "M"]))

    def _read_object(self, variable: str, wanted: Wanted, indent: int) -> None:
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

    def _unguarded(self, paths: Sequence[Path]) -> None:
        """Keeps what is read, but what no field is sure to give back."""
        for path in paths:
            if path.arrays:
                self._line(1, f"keep(r, ({self._value(path)},), c)")
            else:
                variable = self.variables[path]
                self._line(1, f"if {variable} is not M: c[{self._value(str(path))}] = {variable}")

    def _identity(self, whole: SetPlan, source_id: Callable[..., str]) -> None:
        """The usual key is one string or integer; `source_id` knows all others."""
        self.names["source_id"] = source_id
        key = whole.primary_key
        if len(key) != 1:
            self._line(1, "identity = source_id(r, delivery, c)")
            return
        variable = self.variables[key[0]]
        kept = "" if whole.key_guarded else f"; c[{self._value(str(key[0]))}] = {variable}"
        self._line(1, f"if {variable}.__class__ is str and delivery.record_id is None: identity = {variable}")
        self._line(
            1, f"elif {variable}.__class__ is int and delivery.record_id is None: identity = str({variable}){kept}"
        )
        self._line(1, "else: identity = source_id(r, delivery, c)")

    # -- fields

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
            self._field(source, canonical, piece)
        return pieces + self._gap(gap)

    def _gap(self, gap: Sequence[Any]) -> list[str]:
        return [self._value(piece) for piece in self.form.gap(gap)] if gap else []

    def _field(self, source: FieldSource, canonical: CanonicalField, piece: str) -> None:
        if isinstance(source, RecordsPlan):
            fill = self._rows if source.array else self._row
            fill(source, canonical, piece)
            for member in source.members:
                self._quality(member, piece)
            return
        if _is_scalar(source):
            self._scalar(source, piece)
        else:
            self._list(source, piece)
        self._quality(source, piece)

    def _list(self, plan: FieldPlan, piece: str) -> None:
        if plan.field.is_list:
            filler = fill_list(plan, self._scoped, self.form.strings(), self.form.empty)
        else:
            filler = fill_first(plan, self._scoped, self.form.encoder(_kind(plan)), self.form.null)
        indent = 1
        if self._is_wrapped(plan):
            indent = self._wrapped(plan, piece)
        elif self._is_strings(plan):
            indent = self._strings(plan, piece)
        self._line(indent, f"{piece} = {self._value(filler)}(r, {self._element()}, c, u, a)")

    def _element(self) -> str:
        """The scope of paths that lead through an array whose elements make events."""
        return "x" if self.plan.each is not None else "r"

    def _is_wrapped(self, plan: FieldPlan) -> bool:
        """Whether it is a list of the one string that the source usually holds; written out."""
        simple = plan.path is not None and not plan.path.arrays and not plan.fallbacks
        return "strings" in self.form.templates and plan.field.is_list and simple and plan.transform.op == "copy"

    def _wrapped(self, plan: FieldPlan, piece: str) -> int:
        assert plan.path is not None, "checked by _is_wrapped"
        variable = self.variables[plan.path]
        self._line(1, f"if {variable}.__class__ is str: {self._template('strings', piece, variable)}")
        self._line(1, "else:")
        return 2

    def _is_strings(self, plan: FieldPlan) -> bool:
        """Whether it is a list of the strings that an array usually holds; written out."""
        each = plan.path is not None and plan.path.arrays == 1 and plan.path.steps[-1] is EACH and not plan.fallbacks
        return bool(self.form.templates) and plan.field.is_list and each and plan.transform.op == "copy"

    def _strings(self, plan: FieldPlan, piece: str) -> int:
        assert plan.path is not None, "checked by _is_strings"
        variable = self.variables[plan.path.before_each()]
        only = f"{variable}.__class__ is list and STR.issuperset(map(type, {variable}))"
        self._line(1, f"if {only}: {piece} = {self._value(self.form.strings())}({variable})")
        self._line(1, "else:")
        return 2

    def _rows(self, source: RecordsPlan, canonical: CanonicalField, piece: str) -> None:
        """A list of one record per element of an array. If anything of it would be lost, the whole array is kept."""
        assert source.array is not None, "checked by _field"
        array, where = self.variables[source.array], self._value(str(source.array))
        self._line(1, f"{piece} = EMPTY")
        self._line(1, f"if {array}.__class__ is list:")
        self._line(2, "rows = []; lost = {}")
        self._line(2, f"for y in {array}:")
        self._read_row(source, 3)
        cells = self._cells(source, canonical, piece, 3, row=where)
        self._line(3, f"rows.append(({', '.join(cells)},))")
        self._line(2, f"if lost: c[{where}] = {array}")
        self._line(2, f"if rows: {piece} = {self._value(self.form.rows(canonical))}(rows)")
        absent = self._value([member.target for member in source.members])
        self._line(1, f"elif {array} is M: a += {absent}")
        self._line(1, f"elif {array} is not None: c[{where}] = {array}; u[{where}] = 'expected an array'")

    def _read_row(self, source: RecordsPlan, indent: int) -> None:
        """What the members read of the element `y`."""
        wanted = []
        for path in dict.fromkeys(path for member in source.members for path in member.reads()):
            steps = path.within(source.array)
            if steps is None:
                continue
            self.variables[path] = name = f"y{len(self.variables)}" if steps else "y"
            if steps:
                wanted.append((steps, name))
        if wanted:
            self._read_guarded("y", wanted, indent)

    def _row(self, source: RecordsPlan, canonical: CanonicalField, piece: str) -> None:
        """A list of the one record that is made of single values."""
        cells = self._cells(source, canonical, piece, 1)
        read = {self.variables[path]: None for member in source.members for path in member.reads()}
        found = " and ".join(f"{variable} is M" for variable in read) or "True"
        rows = self._value(self.form.rows(canonical))
        self._line(1, f"{piece} = EMPTY if {found} else {rows}((({', '.join(cells)},),))")

    def _cells(
        self, source: RecordsPlan, canonical: CanonicalField, piece: str, indent: int, row: str | None = None
    ) -> list[str]:
        """The variables that hold the members of one record."""
        by_name = {member.target.partition("[].")[2]: member for member in source.members}
        cells = []
        for index, name in enumerate(m.name for m in canonical.members):
            member = by_name.get(name)
            cells.append("NULL" if member is None else f"{piece}_{index}")
            if member is not None:
                self._scalar(member, cells[-1], indent, row)
        return cells

    def _quality(self, plan: FieldPlan, piece: str) -> None:
        in_list = plan.field.is_list or "[]" in plan.target
        used = f"if {piece} is not NULL and {piece}:" if in_list else f"if {piece} is not NULL:"
        if plan.confidence < 1.0:
            number = self._value(plan.confidence)
            self._line(1, f"{used[:-1]} and q > {number}: q = {number}")
        if plan.provisional:
            self._line(1, f"{used} v.append({self._value(plan.target)})")

    def _scalar(self, plan: FieldPlan, piece: str, indent: int = 1, row: str | None = None) -> None:
        """One value. Within a `row`, named by its array, what would be lost is noted in `lost` instead."""
        encode = self.form.encoder(_kind(plan))
        if plan.path is None:
            self._line(indent, f"{piece} = {self._value(encode(plan.step()[0]))}")
            return
        variable = self.variables[plan.path]
        where, custom = (row, "lost") if row else (self._value(str(plan.path)), "c")
        if plan.fallbacks:
            variable, where = self._fallbacks(plan, variable, where)
        absent = "lost[0] = 0" if row else f"a.append({self._value(plan.target)})"
        convert = self._value(_make_convert(plan, encode, self.form.null, guards=plan.guards or row is not None))
        branches = self._fast_branches(plan, variable, piece, f"{custom}[{where}] = {variable}")
        branches += self._nothing(plan, variable, piece, absent)
        for index, (condition, statement) in enumerate(branches):
            self._line(indent, f"{'elif' if index else 'if'} {condition}: {statement}")
        inputs = "".join(f", {self.variables[path]}" for path in plan.inputs)
        self._line(indent, f"else: {piece} = {convert}({where}, {custom}, u, {variable}{inputs})")

    def _nothing(self, plan: FieldPlan, variable: str, piece: str, absent: str) -> list[tuple[str, str]]:
        """The branches of a value that isn't there, or null."""
        if plan.transform.op != "join":
            return [(f"{variable} is None", f"{piece} = NULL"), (f"{variable} is M", f"{piece} = NULL; {absent}")]
        parts = [self.variables[path] for path in plan.reads()]
        return [
            (" and ".join(f"{part} is M" for part in parts), f"{piece} = NULL; {absent}"),
            (" and ".join(f"({part} is M or {part} is None)" for part in parts), f"{piece} = NULL"),
        ]

    def _fallbacks(self, plan: FieldPlan, variable: str, where: str) -> tuple[str, str]:
        value, path = f"w{len(self.lines)}", f"p{len(self.lines)}"
        self._line(1, f"{value} = {variable}; {path} = {where}")
        for fallback in plan.fallbacks:
            other = self.variables[fallback]
            self._line(1, f"if ({value} is None or {value} is M) and {other} is not None and {other} is not M:")
            self._line(2, f"{value} = {other}; {path} = {self._value(str(fallback))}")
        self._line(1, f"if {variable} is None and {value} is not None: c[{where}] = None")
        return value, path

    def _template(self, name: str, piece: str, value: str, factor: str = "") -> str:
        return self.form.templates[name].format(piece=piece, value=value, factor=factor)

    def _fast_branches(self, plan: FieldPlan, variable: str, piece: str, keep_it: str) -> list[tuple[str, str]]:
        """The common cases, written out: (condition, statement)."""
        if not self.form.templates:
            return []
        a_string = f"{variable}.__class__ is str"
        branches: list[tuple[str, str]] = []
        match plan.transform.op, _kind(plan):
            case "copy", FieldKind.STRING:
                branches = [(a_string, self._template("string", piece, variable))]
            case "copy", FieldKind.BOOLEAN:
                truths = self.form.encoder(FieldKind.BOOLEAN)
                words = (True, False)
                branches = [(f"{variable} is {word}", f"{piece} = {self._value(truths(word))}") for word in words]
            case "to_string", FieldKind.STRING:
                branches = [(f"{variable}.__class__ is int", self._template("string", piece, f"str({variable})"))]
            case "iso_time", FieldKind.TIMESTAMP:
                exact = f"{a_string} and (t := iso_seconds({variable})) is not None"
                branches = [(exact, self._template("timestamp", piece, "(t * 1000000)"))]
            case "upper", FieldKind.STRING:
                safe = f"{a_string} and {variable}.islower() and {variable}.isascii()"
                branches = [(safe, self._template("string", piece, f"{variable}.upper()"))]
            case "join", FieldKind.STRING:
                branches = self._join_branches(plan, variable, piece, keep_it)
            case "enum", kind:
                table = self._value(_enum_table(plan, self.form.encoder(kind)))
                branches = [(f"{a_string} and {variable} in {table}", f"{piece} = {table}[{variable}]")]
            case _:
                branches = self._number_branches(plan, variable, piece)
        return branches

    def _join_branches(self, plan: FieldPlan, variable: str, piece: str, keep_it: str) -> list[tuple[str, str]]:
        """Only texts: all of them, or the first alone."""
        separator = self._value(plan.transform.params.get("separator", " "))
        parts = [variable, *(self.variables[path] for path in plan.inputs)]
        text = f"{variable}.__class__ is str and {variable}"
        alone = [text, *(f"({part} is None or {part} is M)" for part in parts[1:])]
        kept = f"; {keep_it}" if plan.guards or keep_it.startswith("lost") else ""
        joined = self._template("string", piece, f"{separator}.join(({', '.join(parts)},))")
        return [
            (" and ".join(f"{part}.__class__ is str and {part}" for part in parts), joined + kept),
            (" and ".join(alone), self._template("string", piece, variable) + kept),
        ]

    def _number_branches(self, plan: FieldPlan, variable: str, piece: str) -> list[tuple[str, str]]:
        an_int = f"{variable}.__class__ is int"
        a_long = f"{an_int} and -{_LONGS_SAFE} < {variable} < {_LONGS_SAFE}"
        match plan.transform.op, _kind(plan):
            case "copy" | "number", FieldKind.LONG:
                return [(a_long, self._template("long", piece, variable))]
            case "copy" | "number", FieldKind.DECIMAL:
                return [(a_long, self._template("minor_units", piece, variable, "0"))]
            case "epoch_seconds", FieldKind.TIMESTAMP:
                safe = f"{an_int} and -{_SECONDS_SAFE} < {variable} < {_SECONDS_SAFE}"
                return [(safe, self._template("timestamp", piece, f"({variable} * 1000000)"))]
            case "minor_units", FieldKind.DECIMAL:
                currency, exponents = self.variables[plan.inputs[0]], self._value(_exponents(plan))
                known = f"{currency}.__class__ is str and {currency} in {exponents}"
                amount = self._template("minor_units", piece, variable, f"{exponents}[{currency}]")
                return [(f"{a_long} and {known}", amount)]
            case _:
                return []


def keep(record: dict[str, Any], paths: Sequence[Path], kept: dict[str, Any]) -> None:
    """Copies what stands at `paths` into `kept`; of a path with `[]`, its whole array."""
    for path in paths:
        whole = path.before_each() if path.arrays else path
        value = whole.read(record)
        if value is not MISSING:
            kept[str(whole)] = value


def _kind(plan: FieldPlan) -> FieldKind:
    return plan.field.kind or FieldKind.STRING


def _is_scalar(plan: FieldPlan) -> bool:
    return not plan.field.is_list and plan.transform.op != "first"


def _exponents(plan: FieldPlan) -> Mapping[str, int]:
    """Currency, in capitals and not → digits of its minor unit."""
    exponents = minor_unit_exponents(plan.transform.params)
    return exponents | {code.lower(): exponent for code, exponent in exponents.items()}


def _enum_table(plan: FieldPlan, encode: Callable[[Any], Any]) -> dict[str, Any]:
    """Source word → piece, of the words that need no copy."""
    table = {}
    for word in plan.transform.params["values"]:
        canonical, exact = plan.step(word)
        if exact or not plan.guards:
            table[word] = encode(canonical)
    return table


def _make_convert(plan: FieldPlan, encode: Callable[[Any], Any], null: Any, *, guards: bool) -> Callable[..., Any]:
    """(path, custom, unconverted, value, *inputs) → piece, noting what would be lost."""
    step = plan.step

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
