"""Shapes never tell values; leaves are complete, and what was seen tells when to look again."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mapping.path import parse
from mapping.profile import LEAVES_OF_A_RECORD, SHAPE_CHARACTERS, Shapes, json_type, leaf_paths, shape_of

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)
leftovers = st.dictionaries(st.sampled_from(["a", "b", "c.d", 'x."y.z"']), values, max_size=4)


def test_shapes() -> None:
    assert shape_of("ann@example.com") == "aaa@aaaaaaa.aaa"
    assert shape_of("2026-11-24") == "9999-99-99"
    assert shape_of("Zoë\tŁ €5") == "aaa a ?9"


@given(st.text())
def test_a_shape_is_short_and_holds_no_letter_or_digit_of_the_value(value: str) -> None:
    shape = shape_of(value)
    assert len(shape) <= SHAPE_CHARACTERS
    assert shape.isascii()
    assert set(shape) & set("bcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345678") == set()


def test_types() -> None:
    examples: list[Any] = [None, True, 1, 1.5, "x", {}, []]
    assert [json_type(value) for value in examples] == [
        "null",
        "boolean",
        "integer",
        "number",
        "string",
        "object",
        "array",
    ]


def test_leaves() -> None:
    leftover = {"a": 1, "b": {"c": [{"d e.f": "x"}, {"g": None}], "h": {}}, "i": [], "j": [[1], "y"]}
    found = [("a", 1), ('b.c[]."d e.f"', "x"), ("j[][]", 1), ("j[]", "y")]
    assert list(leaf_paths(leftover)) == found


@given(leftovers)
def test_every_leaf_is_a_path_that_parses_and_a_scalar_that_is_there(leftover: dict[str, Any]) -> None:
    for path, value in leaf_paths(leftover):
        assert str(parse(path)) == path
        assert value is not None


@given(st.lists(leftovers, max_size=4), leftovers)
def test_a_record_with_a_new_leaf_or_type_is_never_known(seen: list[dict[str, Any]], other: dict[str, Any]) -> None:
    shapes = Shapes()
    for leftover in seen:
        shapes.add(leftover)
    assert all(map(shapes.knows, seen))
    known = {(path, json_type(value)) for leftover in seen for path, value in leaf_paths(leftover)}
    if any((path, json_type(value)) not in known for path, value in leaf_paths(other)):
        assert not shapes.knows(other)


def test_other_values_of_the_same_types_are_known() -> None:
    shapes = Shapes()
    shapes.add({"a": 1, "b": {"c": ["x", "y"]}, "d": "z"})
    assert shapes.knows({"a": 2, "b": {"c": ["w"]}, "d": "v"})
    assert not shapes.knows({"a": 2, "b": {"c": ["w"], "e": 1}, "d": "v"})
    assert not shapes.knows({"a": 2, "b": {"c": ["w", {"f": 1}]}, "d": "v"})
    assert not shapes.knows({"a": 2, "b": {"c": ["w"]}, "d": None})


def test_a_record_of_very_many_leaves_is_bounded() -> None:
    assert len(list(leaf_paths({"a": list(range(50_000))}))) == LEAVES_OF_A_RECORD
