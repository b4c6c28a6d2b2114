"""Fills lists: of strings, of records, and single values taken from a list. Called by the compiled function.

An array is regular if every element gives its value, exactly; of a regular one nothing needs keeping. Of any other the
whole array is copied to the event's custom fields.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mapping.path import EACH, MISSING, Path, Step
from mapping.plan import FieldPlan, RecordsPlan
from mapping.transforms import Unconvertible

Scoped = Callable[[Path], tuple[str, tuple[Step, ...]]]
Fill = Callable[[dict[str, Any], Any, dict[str, Any], dict[str, str], list[str]], Any]
"""(record, element, custom, unconverted, absent) → piece."""


class _Place:
    """A path, read from the record or from the element that an event is made of."""

    def __init__(self, path: Path, scoped: Scoped) -> None:
        scope, steps = scoped(path)
        self.path = Path(steps)
        self.in_element = scope == "x"
        start = len(path.steps) - len(steps)
        self.array = self.path.before_each() if EACH in steps else self.path
        self.array_text = str(Path(path.steps[: start + len(self.array.steps)]))
        self._read = self.path.reader()

    def value(self, record: Any, element: Any) -> Any:
        return self._read(element if self.in_element else record)

    def whole(self, record: Any, element: Any) -> Any:
        """The array (or plain value) that is copied if anything would be lost."""
        return self.array.read(element if self.in_element else record)


def fill_list(plan: FieldPlan, scoped: Scoped, encode: Callable[[list[Any]], Any], empty: Any) -> Fill:
    """A list of plain values, from an array's elements, a scalar, or a text that is split."""
    if plan.path is None:
        constant = encode([plan.step()[0]])
        return lambda *_scope: constant
    places = [_Place(path, scoped) for path in (plan.path, *plan.fallbacks)]
    target, step, guards = plan.target, plan.step, plan.guards

    def fill(record: Any, element: Any, custom: dict[str, Any], unconverted: dict[str, str], absent: list[str]) -> Any:
        place, value = _first_present(places, record, element)
        if value is MISSING:
            if place.whole(record, element) is MISSING:
                absent.append(target)
            return empty
        if value is None:
            custom[place.array_text] = None
            return empty
        try:
            values, regular = _convert_all(value, step, by_element=place.path.arrays == 1)
        except Unconvertible as reason:
            custom[place.array_text] = place.whole(record, element)
            unconverted[place.array_text] = str(reason)
            return empty
        if (guards and not regular) or place is not places[0]:
            custom[place.array_text] = place.whole(record, element)
        return encode(values) if values else empty

    return fill


def _first_present(places: Sequence[_Place], record: Any, element: Any) -> tuple[_Place, Any]:
    for place in places:
        value = place.value(record, element)
        if value is not MISSING and value is not None:
            return place, value
    return places[0], places[0].value(record, element)


def _convert_all(value: Any, step: Callable[[Any], tuple[Any, bool]], *, by_element: bool) -> tuple[list[Any], bool]:
    """(canonical values, whether the source can be told from them)."""
    if not isinstance(value, list):
        converted, exact = step(value)
        return (converted, exact) if isinstance(converted, list) else ([converted], exact)
    values: list[Any] = []
    regular = by_element
    for inner in value:
        if inner is None or inner is MISSING:
            regular = False
            continue
        converted, exact = step(inner)
        regular = regular and exact
        values += converted if isinstance(converted, list) else [converted]
    return values, regular


def fill_first(plan: FieldPlan, scoped: Scoped, encode: Callable[[Any], Any], null: Any) -> Fill:
    """One value out of an array."""
    assert plan.path is not None, "only a constant has no source"
    place = _Place(plan.path, scoped)
    target, step, guards = plan.target, plan.step, plan.guards

    def fill(record: Any, element: Any, custom: dict[str, Any], unconverted: dict[str, str], absent: list[str]) -> Any:
        value = place.value(record, element)
        if value is None or value is MISSING:
            if value is MISSING and place.whole(record, element) is MISSING:
                absent.append(target)
            return null
        if value == []:
            custom[place.array_text] = place.whole(record, element)
            return null
        try:
            canonical, exact = step(value)
        except Unconvertible as reason:
            custom[place.array_text] = place.whole(record, element)
            unconverted[place.array_text] = str(reason)
            return null
        if guards and not exact:
            custom[place.array_text] = place.whole(record, element)
        return encode(canonical)

    return fill


def _member_order(plan: RecordsPlan) -> list[FieldPlan | None]:
    by_name = {member.target.partition("[].")[2]: member for member in plan.members}
    return [by_name.get(field.name) for field in plan.field.members]


def fill_rows(plan: RecordsPlan, scoped: Scoped, encode: Callable[[list[Any]], Any], empty: Any) -> Fill:
    """A list of records, one per element of the array."""
    assert plan.array is not None, "records of single values are written out"
    array = _Place(plan.array, scoped)
    depth = len(plan.array.steps) + 1
    members = _member_order(plan)
    # Per member, its reads: (path within the element, None) or (None, place outside of it).
    reads = [
        [
            (Path(path.steps[depth:]), None)
            if path.steps[:depth] == (*plan.array.steps, EACH)
            else (None, _Place(path, scoped))
            for path in (member.reads() if member else ())
        ]
        for member in members
    ]

    def fill(record: Any, element: Any, custom: dict[str, Any], unconverted: dict[str, str], absent: list[str]) -> Any:
        rows = array.value(record, element)
        if not isinstance(rows, list):
            if rows is MISSING:
                absent += [member.target for member in plan.members]
            elif rows is not None:
                custom[array.array_text] = rows
                unconverted[array.array_text] = "expected an array"
            return empty
        regular = True
        filled = []
        for row in rows:
            values = [
                [inner.read(row) if inner else place.value(record, element) for inner, place in member_reads]  # type: ignore[union-attr]  # one of the two is set
                for member_reads in reads
            ]
            pieces = []
            for member, read in zip(members, values, strict=True):
                piece, exact = _row_value(member, read, array.array_text, unconverted)
                pieces.append(piece)
                regular = regular and exact
            filled.append(tuple(pieces))
        if not regular:
            custom[array.array_text] = rows
        return encode(filled) if filled else empty

    return fill


def _row_value(
    member: FieldPlan | None, values: Sequence[Any], array: str, unconverted: dict[str, str]
) -> tuple[Any, bool]:
    """(canonical value or None, whether the source can be told from it)."""
    if member is None:
        return None, True
    if values and values[0] is MISSING:
        return None, False
    if values and values[0] is None:
        return None, True
    try:
        canonical, exact = member.step(*values)
    except Unconvertible as reason:
        unconverted[array] = str(reason)
        return None, False
    return canonical, exact or not values
