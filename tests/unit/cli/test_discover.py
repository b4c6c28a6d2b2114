"""`aam connectors discover` and `new` on files: what they print, write, refuse, and with which exit code."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import main
from cli.exit_codes import ExitCode
from schemas.spec_problems import parse_spec

TEXT = {"type": "string"}
CUSTOMER = {"type": "object", "properties": {"id": TEXT, "email": TEXT | {"format": "email"}, "updated_at": TEXT}}


def listing(schema: dict[str, Any], *query: str, required: Sequence[str] = ()) -> dict[str, Any]:
    parameters = [{"name": name, "in": "query", "schema": TEXT, "required": name in required} for name in query]
    envelope = {"properties": {"data": {"type": "array", "items": schema}, "next_cursor": TEXT}}
    content = {"application/json": {"schema": envelope}}
    return {"get": {"parameters": parameters, "responses": {"200": {"content": content}}}}


DOCUMENT = {
    "openapi": "3.0.0",
    "info": {"title": "Acme API"},
    "servers": [{"url": "https://{site}.acme.example/v1", "variables": {"site": {"default": "eu"}}}],
    "security": [{"key": []}],
    "paths": {
        "/customers": listing({"$ref": "#/components/schemas/Customer"}, "cursor", "limit", "updated_since"),
        "/customers/{customerId}/notes": listing({"$ref": "#/components/schemas/Note"}, "cursor"),
        "/reports": listing({"$ref": "#/components/schemas/Report"}, "year", required=["year"]),
        "/secrets": listing({"$ref": "https://elsewhere.example/x.json"}),
    },
    "components": {
        "schemas": {
            "Customer": CUSTOMER,
            "Note": {"properties": {"id": TEXT, "text": TEXT}},
            "Report": {"properties": {"total": {"type": "number"}}},
        },
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
    },
}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main.app, ["connectors", *map(str, arguments)], input=stdin)


def test_entities_and_fields(document: Path) -> None:
    result = run("discover", "--openapi", document)
    assert result.exit_code == 0, result.output
    assert "customer" in result.stdout
    assert "list GET /customers/{customerId}/notes" in result.stdout
    assert "elsewhere.example" in result.stderr
    fields = run("discover", "--openapi", document, "--entity", "customer")
    assert "email" in fields.stdout
    assert "key id" in fields.stdout


def test_json_is_for_programs(document: Path) -> None:
    told = json.loads(run("discover", "--openapi", document, "--json").stdout)
    assert [entity["name"] for entity in told["entities"]] == ["customer", "note", "report"]
    assert told["auth"]["kind"] == "api_key"
    assert told["entities"][0]["paging"]["kind"] == "cursor"
    assert [field["path"] for field in told["entities"][0]["fields"]] == ["email", "id", "updated_at"]


def test_samples_from_a_file_and_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "customers.jsonl"
    path.write_text('{"id": 1, "email": "a@example.com"}\n{"id": 2}\n')
    told = json.loads(run("discover", "--samples", path, "--json").stdout)
    assert told["entities"][0]["name"] == "customers"
    assert told["entities"][0]["fields"][0]["presence"] == 0.5
    piped = run("discover", "--samples", "-", "--entity", "customer", stdin='{"data": [{"id": 1}, {"id": 2}]}')
    assert "customer: key id" in piped.stdout
    assert "a@example.com" not in piped.stdout


def test_a_draft_is_a_valid_spec_that_tells_its_guesses(document: Path, tmp_path: Path) -> None:
    output = tmp_path / "acme.json"
    result = run("new", "--openapi", document, "-o", output)
    assert result.exit_code == 0, result.output
    spec = parse_spec(output.read_bytes())
    assert (spec.name, spec.api_base_url) == ("acme", "https://{site}.acme.example/v1")
    assert spec.config["site"].default == "eu"
    assert spec.auths[0].kind == "api_key"
    customer, note, report = (spec.entities[name] for name in ("customer", "note", "report"))
    assert (customer.pagination.kind, customer.pagination.cursor_path) == ("cursor", "next_cursor")
    assert customer.incremental is not None
    assert (customer.incremental.param, customer.incremental.field) == ("updated_since", "updated_at")
    assert customer.canonical_entity == "customer"
    assert note.parent is not None
    assert (note.endpoint, note.parent.entity) == ("/customers/{customer_id}/notes", "customer")
    assert (report.params, report.primary_key) == ({"year": "{year}"}, ())
    assert "pagination (2 entities): cursor: parameter cursor, next_cursor in the response" in result.stderr
    assert "$.entities.note.parent: {customerId} is taken for customer's id" in result.stderr
    assert run("new", "--openapi", document, "-o", output).exit_code == ExitCode.USAGE


def test_a_draft_of_some_entities_to_standard_output(document: Path) -> None:
    result = run("new", "--openapi", document, "--entity", "report", "--name", "mine")
    spec = json.loads(result.stdout)
    assert (spec["name"], list(spec["entities"])) == ("mine", ["report"])
    unknown = run("new", "--openapi", document, "--entity", "order")
    assert unknown.exit_code == ExitCode.MISCONFIGURED
    assert "no entity order can be listed; there are customer, note, report" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), ExitCode.USAGE),
        (("--openapi", "a", "--samples", "b"), ExitCode.USAGE),
        (("--openapi", "/nowhere.json"), ExitCode.MISCONFIGURED),
        (("--samples", "/nowhere.json"), ExitCode.MISCONFIGURED),
        (("--openapi", "https://127.0.0.1/openapi.json"), ExitCode.MISCONFIGURED),
        (("--openapi", "http://example.com/openapi.json"), ExitCode.MISCONFIGURED),
        (("nobody",), ExitCode.MISCONFIGURED),
        (("salesforce",), ExitCode.MISCONFIGURED),
        (("--openapi", "-", "--publish"), ExitCode.USAGE),
        (("--openapi", "-"), ExitCode.INVALID_INPUT),
        (("--samples", "-"), ExitCode.INVALID_INPUT),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], code: ExitCode) -> None:
    result = run("discover", *arguments, stdin="<html>")
    assert result.exit_code == code, result.output
    assert not result.stdout
