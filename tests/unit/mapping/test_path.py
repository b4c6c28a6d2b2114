import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.path import EACH, MISSING, InvalidPath, Path, parse

steps = st.lists(st.one_of(st.text(max_size=6), st.just(EACH)), min_size=1, max_size=6).filter(
    lambda s: s[0] is not EACH
)


@given(steps)
def test_text_round_trips(path_steps: list) -> None:  # type: ignore[type-arg]  # steps are str or EACH
    path = Path(tuple(path_steps))
    assert parse(str(path)) == path


@given(st.text(max_size=20))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = parse(text)
    except InvalidPath:
        return
    assert parse(str(path)) == path


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "[]", "a[", "a[0]", 'a."b', "a..b"])
def test_malformed_paths_are_refused(text: str) -> None:
    with pytest.raises(InvalidPath):
        parse(text)


def test_reads_nested_values_and_tells_null_from_missing() -> None:
    record = {"a": {"b": None}, "l": [{"x": 1}, {}, {"x": 2}], "a.b": 3}
    assert parse("a.b").read(record) is None
    assert parse("a.c").read(record) is MISSING
    assert parse('"a.b"').read(record) == 3
    assert parse("l[].x").read(record) == [1, MISSING, 2]
    assert parse("a[]").read(record) is MISSING


@given(st.dictionaries(st.sampled_from("ab"), st.dictionaries(st.sampled_from("cd"), st.integers())))
def test_reader_reads_what_read_reads(record: dict[str, dict[str, int]]) -> None:
    for path in map(parse, ("a", "a.c", "a.c.e")):
        assert path.reader()(record) == path.read(record)
