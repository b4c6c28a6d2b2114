"""`aam connectors list` and `validate`, which need no service."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.connectors import app
from cli.exit_codes import ExitCode
from connectors.spec_files import spec_files
from schemas.failures import InvalidRecord


def test_every_connector_is_listed_with_what_it_needs() -> None:
    done = CliRunner().invoke(app, ["list", "--json"])
    rows = {row["connector"]: row for row in json.loads(done.stdout)["connectors"]}
    assert rows.keys() == spec_files().keys()
    assert rows["zendesk"]["settings"] == ["subdomain"]
    assert rows["aws_cloudwatch"]["auth"] == ["aws_sigv4"]


def test_the_list_tells_which_credentials_to_give() -> None:
    done = CliRunner().invoke(app, ["list", "--json"])
    rows = {row["connector"]: row for row in json.loads(done.stdout)["connectors"]}
    told = {name: rows[name]["credentials"] for name in ("zendesk", "aws_cloudwatch")}
    assert told == {
        "zendesk": "client_id, client_secret, refresh_token or api_token, email or access_token",
        "aws_cloudwatch": "access_key_id, secret_access_key",
    }


def test_a_credential_that_nothing_asks_for_is_refused_and_not_stored() -> None:
    done = CliRunner().invoke(app, ["add", "hubspot", "--tenant", "acme", "--secret", "token=env:HUBSPOT"])
    assert isinstance(done.exception, InvalidRecord)
    assert "hubspot takes no credential token; it takes client_id, client_secret" in str(done.exception)
    assert "or access_token" in str(done.exception)


def test_our_specs_are_valid() -> None:
    done = CliRunner().invoke(app, ["validate", "--json"])
    assert done.exit_code == 0
    assert not any(json.loads(done.stdout).values())


def test_problems_are_told_with_path_and_fix(tmp_path: Path) -> None:
    file = tmp_path / "acme.json"
    entity = {"endpoint": "/x", "pagination": {"kind": "cursor", "curser_param": "c"}}
    spec = {"name": "acme", "api_base_url": "https://{s}.x.example", "auth_type": "bearer", "entities": {"x": entity}}
    file.write_text(json.dumps(spec))
    done = CliRunner().invoke(app, ["validate", str(file)])
    assert done.exit_code == ExitCode.DIFFERENCES
    assert "$.entities.x.pagination.curser_param: unknown key. did you mean cursor_param?" in done.stdout
    (problem,) = json.loads(CliRunner().invoke(app, ["validate", str(file), "--json"]).stdout)[str(file)]
    assert problem.keys() == {"path", "message", "fix"}


def test_a_spec_of_the_users_own_that_is_broken_spoils_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.setenv("AAM_SPECS_FOLDER", str(tmp_path))
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 0
    assert "stripe" in done.stdout
    assert "broken" in done.stdout
