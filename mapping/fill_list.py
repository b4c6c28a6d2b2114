"""Fills lists of strings, and single values taken from a list. Called by the compiled function.

An array is regular if every element gives its value, exactly; of a regular one nothing needs keeping. Of any other the
whole array is copied to the event's custom fields.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mapping.path import EACH, MISSING, Path, Step
from mapping.plan import FieldPlan
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
