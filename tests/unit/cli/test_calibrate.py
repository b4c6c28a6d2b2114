"""`aam calibrate` from what the registry's people and seeds have settled, without any file of labels."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import calibrate, main
from mapping.score_model import load_model
from registry.known_mappings import KnownField

FIELDS = (("givenName", "first_name"), ("familyName", "last_name"), ("mail", "emails"), ("etag", None))

BILLED = (("no", "number"), ("grandTotal", "total"))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> list[KnownField]:
    """What it knows; without made-up vendors, which take their time."""
    known: list[KnownField] = []

    @contextmanager
    def opened() -> Iterator[None]:
        yield None

    monkeypatch.setattr(calibrate, "open_registry", opened)
    monkeypatch.setattr(calibrate, "known_mappings", lambda _pool: known)
    monkeypatch.setattr(calibrate, "made_rows", list)
    return known


def run(out: Path) -> Result:
    return CliRunner().invoke(main.app, ["calibrate", "--out", str(out), "--json"])


def test_decisions_give_a_model(registry: list[KnownField], tmp_path: Path) -> None:
    registry += [
        KnownField(f"vendor{number}", name, path, "string", entity, field)
        for number in range(12)
        for name, entity, fields in (("person", "contact", FIELDS), ("bill", "invoice", BILLED))
        for path, field in (*fields, (f"own{number}", None))
    ]
    result = run(tmp_path / "model.gz")
    assert result.exit_code == 0, result.output
    model = load_model(tmp_path / "model.gz")
    told = json.loads(result.stdout)
    assert (told["version"], told["rows"]) == (model.version, 96)
    assert len(model.card["data_sha256"]) == 64


def test_too_few_decisions_are_told_as_such(registry: list[KnownField], tmp_path: Path) -> None:
    assert run(tmp_path / "model.gz").exit_code != 0
    registry += [KnownField("one", "person", path, None, "contact", field) for path, field in FIELDS]
    result = run(tmp_path / "model.gz")
    assert result.exit_code != 0
    assert not (tmp_path / "model.gz").exists()
