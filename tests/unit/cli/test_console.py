"""Texts from records do nothing to a terminal; JSON keeps numbers exact."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.console import printable, write_json, write_table


@given(st.text())
def test_nothing_printed_is_a_control_character(text: str) -> None:
    assert printable(text).isprintable()


def test_escapes_are_shown() -> None:
    assert printable("a\x1b[2Jü\n") == "a\\x1b[2Jü\\n"


def test_json_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"n": Decimal("1.10"), "t": "ü"})
    assert capsys.readouterr().out == '{"n":1.10,"t":"ü"}\n'


def test_a_piped_table_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("name", "text"), [("a", "x" * 300), ("[bold]b", "\x1b[0m")])
    out = capsys.readouterr().out
    assert "x" * 300 in out
    assert "[bold]b" in out
    assert "\x1b" not in out
