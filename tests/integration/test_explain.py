"""`aam explain` on a real Postgres: evidence that is stored, and evidence made now."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from cli import main
from mapping.mapping_set import Mapping
from registry.mapping_store import MappingStore
from registry.novel_fields import FieldVerdict, NovelFieldStore, record_verdicts
from registry.pool import open_pool, transaction
from registry.settings import RegistrySettings
from schemas.messages import NovelField

KEY = ("acme", "crm", "client")


@pytest.fixture
def registry(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping by a person, a field with a verdict, and one that was only announced."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    with open_pool(RegistrySettings(database_url=SecretStr(database_url))) as pool:
        name = Mapping(canonical_entity="customer", canonical_field="display_name", source_field="name")
        MappingStore(pool).set_mapping(
            connector="crm", entity="client", mapping=name, method="manual", actor="ann", reason="as agreed"
        )
        where = dict(zip(("tenant", "connector", "entity"), KEY, strict=True))
        at = datetime.now(UTC)
        told = [
            NovelField(**where, connection="crm", path=p, types=("string",), reason="unmapped", announced_at=at)
            for p in ("tel", "mobile")
        ]
        NovelFieldStore(pool).keep(told, gather_seconds=60)
        candidate = {"field": "phones", "probability": 0.7, "signals": {"letters": 0.9, "usual": 0.1}}
        verdict = FieldVerdict("tel", "review", "phones with 70% at best", {"candidates": [candidate], "nothing": 0.2})
        with transaction(pool) as connection:
            record_verdicts(connection, KEY, [verdict], method="rag", model="7")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, ["explain", *arguments])


@pytest.mark.usefixtures("registry")
def test_what_was_decided_and_on_what() -> None:
    result = run("crm", "client", "tel")
    assert result.exit_code == 0
    for part in ("phones with 70% at best", "70.0%", "letters 0.90", "no counterpart", "has no mapping"):
        assert part in result.stdout
    found = json.loads(run("crm", "client", "tel", "--json").stdout)
    assert found["decisions"][0]["model"] == "7"


@pytest.mark.usefixtures("registry")
def test_what_was_never_scored_is_scored_now_and_history_is_told() -> None:
    found = json.loads(run("crm", "client", "mobile", "--json").stdout)
    assert found["decisions"][0]["verdict"] is None
    assert found["decisions"][0]["candidates"][0]["signals"]
    mapped = json.loads(run("crm", "client", "name", "--json").stdout)
    assert mapped["mappings"][0]["target"] == "customer.display_name"
    (entry,) = mapped["history"]
    assert (entry["actor"], entry["reason"], entry["status"]) == ("ann", "as agreed", "active")


@pytest.mark.usefixtures("registry")
def test_what_nobody_knows_is_an_error() -> None:
    result = run("nobody", "ever", "x")
    assert result.exit_code == 5
