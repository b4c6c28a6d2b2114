"""`aam mappings` on a real Postgres: what it says, and its exit codes."""

import json

import pytest
from typer.testing import CliRunner, Result

from cli import main

SET = ("set", "--connector", "stripe", "--entity", "customer", "--from", "name", "--to", "customer.display_name")


@pytest.fixture
def registry_env(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, ["mappings", *arguments])


@pytest.mark.usefixtures("registry_env")
def test_a_mapping_is_set_listed_and_removed() -> None:
    result = run(*SET, "--primary-key", "id", "--confidence", "0.9")
    assert (result.exit_code, result.stdout) == (0, "stripe/customer: customer.display_name ← name, revision 1\n")
    assert run(*SET, "--primary-key", "id", "--confidence", "0.9").stdout.endswith("revision 1\n")
    (line,) = run("list", "--json").stdout.splitlines()
    listed = json.loads(line)
    assert (listed["source_field"], listed["confidence"], listed["method"]) == ("name", 0.9, "manual")
    assert listed["approved_by"]
    assert "customer.display_name" in run("list", "--connector", "stripe").stdout
    result = run("remove", "--connector", "stripe", "--entity", "customer", "--to", "customer.display_name")
    assert result.stdout.endswith("revision 2\n")
    result = run("list")
    assert (result.stdout, result.exit_code) == ("", 0)
    assert len(run("list", "--json", "--history").stdout.splitlines()) == 2


@pytest.mark.usefixtures("registry_env")
def test_a_transform_is_given_by_its_options() -> None:
    arguments = ("--connector", "x", "--entity", "y", "--from", "sum", "--to", "invoice.total", "--op", "minor_units")
    details = ("--input", "currency", "--param", 'exponents={"MGA": 0}', "--fallback", "total", "--tenant", "acme")
    assert run("set", *arguments, *details).exit_code == 0
    listed = json.loads(run("list", "--json").stdout)
    assert listed["tenant"] == "acme"
    assert listed["fallbacks"] == ["total"]
    assert listed["transform"] == {
        "op": "minor_units",
        "inputs": ["currency"],
        "params": {"exponents": {"MGA": 0}},
    }


@pytest.mark.usefixtures("registry_env")
def test_the_seed_is_imported_once() -> None:
    first = run("seed", "--connector", "zendesk", "--connector", "slack")
    assert first.exit_code == 0
    assert first.stdout.startswith("slack, zendesk: ")
    assert first.stdout.endswith("revision 1\n")
    assert run("seed", "--connector", "slack").stdout.endswith("revision 1\n")
    assert run("seed").stdout.endswith("revision 2\n")


@pytest.mark.usefixtures("registry_env")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((*SET[:-1], "display_name"), 2, "not ENTITY.FIELD"),
        ((*SET, "--param", "separator"), 2, "not NAME=VALUE"),
        ((*SET, "--confidence", "2"), 2, "--confidence"),
        (("seed", "--connector", "nobody"), 2, "no seed for 'nobody'"),
        ((*SET[:-1], "customer.nothing"), 5, "no such canonical field"),
        ((*SET, "--op", "guess"), 5, "unknown transform 'guess'"),
        ((*SET[:-3], "a..b", *SET[-2:]), 5, "path"),
        ((*SET, "--tenant", ""), 5, "needs a tenant"),
    ],
)
def test_a_mistake_has_its_exit_code_and_changes_nothing(arguments: tuple[str, ...], code: int, said: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    assert run("list", "--json").stdout == ""


def test_a_database_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/aam")
    assert run("list").exit_code == 4


def test_a_database_without_migrations_is_misconfigured(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    result = run("list")
    assert (result.exit_code, "aam migrate" in result.stderr) == (3, True)
