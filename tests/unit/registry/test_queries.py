"""How `queries.sql` is read, and that it and the code agree."""

import re
from pathlib import Path

import pytest

import registry
from registry.queries import QUERIES, parse


def test_names_statements_and_comments_are_told_apart() -> None:
    text = "-- About.\n\n-- one --\n-- why\nSELECT 1\n\n-- two --\nSELECT\n    -- inside\n    2\n"
    assert parse(text) == {"one": b"SELECT 1", "two": b"SELECT\n    2"}


def test_a_name_is_given_once() -> None:
    with pytest.raises(KeyError):
        parse("-- one --\nSELECT 1\n-- one --\nSELECT 2\n")


def test_every_statement_is_used_and_every_use_is_there() -> None:
    code = "".join(path.read_text() for path in Path(registry.__path__[0]).glob("*.py"))
    used = set(re.findall(r'QUERIES\["(\w+)"\]', code))
    by_kind = {f"{which}_{what}" for which in ("all", "some") for what in ("sources", "active_mappings")}
    assert used | by_kind == set(QUERIES)
