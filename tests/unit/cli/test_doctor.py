"""The doctor goes on after a failure, says how to fix it, and fails if anything does."""

import json

import pytest
from typer.testing import CliRunner

from cli import doctor
from cli.doctor import Check, Health
from cli.main import app
from schemas.failures import Misconfigured, TransientError


def fails(_name: str) -> Check:
    raise TransientError("Kafka did not answer")


def misconfigured(_name: str) -> Check:
    raise Misconfigured("no Postgres: set DATABASE_URL")


def fine(name: str) -> Check:
    return Check(name, Health.OK, "good")


def warns(name: str) -> Check:
    return Check(name, Health.WARN, "so so", "do that")


def test_it_goes_on_and_fails_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {"kafka": fails, "topics": lambda _: pytest.fail("asked"), "postgres": misconfigured, "disk": fine}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(check["name"], check["health"]) for check in found] == [
        ("kafka", "fail"),
        ("topics", "fail"),
        ("postgres", "fail"),
        ("disk", "ok"),
    ]
    assert found[1]["found"] == "not checked without kafka"


def test_a_warning_is_no_failure_and_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"disk": warns})
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert "do that" in result.stdout


def test_what_a_check_needs_comes_before_it() -> None:
    names = list(doctor.CHECKS)
    for name, needed in doctor.NEEDS.items():
        assert names.index(needed) < names.index(name)


@pytest.mark.parametrize("name", ["python", "local state", "disk", "schema registry"])
def test_checks_of_this_machine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)
    assert doctor.CHECKS[name](name).name == name
