"""The command line as a whole: it answers at once, knows its commands, and turns errors into a line and a code."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from pydantic import ValidationError
from typer.testing import CliRunner

from cli import main
from cli.exit_codes import MEANINGS, ExitCode, exit_code
from gateway.settings import GatewaySettings
from schemas.failures import Bug, InvalidRecord, Misconfigured, TransientError

ROOT = Path(__file__).parents[3]
HEAVY = ("confluent_kafka", "faust", "fastapi", "fastavro", "httpx", "openai", "psycopg", "pydantic", "rich", "orjson")


def test_help_lists_every_command_and_exit_code() -> None:
    result = CliRunner().invoke(main.app, ["--help"])
    assert result.exit_code == 0
    for name in main.COMMANDS:
        assert f"  {name} " in result.stdout
    for code, meaning in MEANINGS.items():
        assert f"{code.value}  {meaning}" in result.stdout
    assert "..." not in result.stdout.partition("Commands:")[2]  # no line is cut


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_command_has_its_module() -> None:
    for module, _ in main.COMMANDS.values():
        assert find_spec(module) is not None, module


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(main.app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage: " in result.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(main.app, ["nonsense"]).exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Misconfigured("set X"), 3),
        (TransientError("away"), 4),
        (InvalidRecord("no JSON"), 5),
        (Bug("broken"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_a_line_and_a_code(error: BaseException, code: int) -> None:
    result = CliRunner().invoke(_failing(error), ["fails"])
    assert result.exit_code == code
    assert result.stderr == (f"aam: {error}\n" if isinstance(error, Exception) else "")


def test_wrong_settings_become_a_line_and_a_code() -> None:
    with pytest.raises(ValidationError) as caught:
        GatewaySettings(port=0)
    result = CliRunner().invoke(_failing(caught.value), ["fails"])
    assert result.exit_code == ExitCode.MISCONFIGURED
    assert result.stderr.startswith("aam: port: ")


def test_a_programming_error_is_not_hidden() -> None:
    result = CliRunner().invoke(_failing(ValueError("ours")), ["fails"])
    assert isinstance(result.exception, ValueError)


def test_a_reader_that_leaves_is_no_error() -> None:
    script = "from cli.main import app; app(['topics', 'list', '--json'])"
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (run.returncode, run.stderr) == (0, b"")


def test_each_kind_of_failure_has_a_code() -> None:
    assert {exit_code(error("x")) for error in (Misconfigured, TransientError, InvalidRecord, Bug)} == {3, 4, 5, 1}


def _failing(error: BaseException) -> typer.Typer:
    app = typer.Typer(cls=main.LazyGroup)
    app.callback()(lambda: None)

    @app.command()
    def fails() -> None:
        raise error

    return app
