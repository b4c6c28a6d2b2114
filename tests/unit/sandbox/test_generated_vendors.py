"""Vendors by number: the same on every day, each with a truth that its records, documents and spec agree with."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from connectors.sync import Batch, sync
from connectors.vendor import Access, Vendor
from mapping.path import MISSING, parse
from sandbox.app import SandboxApp
from sandbox.fields_file import read_fields, write_fields
from sandbox.generated_vendors import MadeVendor, generate_vendor, generate_vendors
from sandbox.vendor_documents import connector_spec, openapi_document, samples, true_fields
from schemas.canonical_model import load_entities
from schemas.failures import Misconfigured
from schemas.spec_problems import spec_of

MADE = list(generate_vendors(24, entities=2))
Make = Callable[..., SandboxApp]


def test_a_number_is_the_same_vendor_however_many_there_are() -> None:
    assert generate_vendor(7, entities=2) == MADE[6]
    assert generate_vendor(7, entities=2, seed=8) != MADE[6]
    assert generate_vendor(8).entities != generate_vendor(7).entities


def test_names_differ_as_vendors_do() -> None:
    paths = {field.path for made in MADE for entity in made.entities for field in entity.fields}
    names = [field.path for made in MADE for entity in made.entities for field in entity.fields]
    assert len(paths) > len(names) / 3
    assert {made.style.case for made in MADE} >= {"snake", "camel", "pascal"}
    assert {made.style.wrapper for made in MADE} >= {None, "properties"}
    for field in ("created_at", "emails", "amount"):
        known = {f.path for made in MADE for e in made.entities for f in e.fields if f.canonical_field == field}
        assert len(known) > 4


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.name)
def test_the_truth_is_of_the_canonical_model_and_of_the_records(made: MadeVendor) -> None:
    truth = list(true_fields(made))
    for entity in made.entities:
        records = samples(made, entity, 8)
        own = [field for field in truth if field.entity == entity.name]
        assert [field.field for field in own] == [field.path for field in entity.fields]
        assert 40 <= len(own) <= 52
        for field in own:
            assert any(parse(field.field).read(record) is not MISSING for record in records), field.field
            if field.canonical_field is not None:
                targets = dict(load_entities()[str(field.canonical_entity)].targets())
                assert field.canonical_field in targets
        assert 0.1 < sum(field.canonical_field is not None for field in own) / len(own) < 0.6


@pytest.mark.parametrize("made", MADE[:8], ids=lambda made: made.name)
def test_the_documents_name_every_field(made: MadeVendor) -> None:
    document = openapi_document(made)
    for entity in made.entities:
        assert f"/api/{entity.name}s" in document["paths"]
        for field in entity.fields:
            schema = document["components"]["schemas"][entity.name]
            for step in parse(field.path).steps:
                schema = schema["properties"][step] if isinstance(step, str) else schema["items"]
            assert schema["type"]


@pytest.mark.parametrize("made", MADE[:8], ids=lambda made: made.name)
def test_its_spec_reads_all_its_records(made: MadeVendor, sandbox: Make, credentials: Any) -> None:
    app = sandbox(records=130, vendors=24, entities=2)
    spec = spec_of(connector_spec(made))

    async def run() -> dict[str, set[str]]:
        settings = ConnectorSettings(egress_allow=("sandbox.test:*",))
        access = Access("acme", "c", credentials, {}, f"http://sandbox.test/{made.name}")
        found: dict[str, set[str]] = {name: set() for name in spec.entities}
        async with Egress(settings, transport=httpx.ASGITransport(app)) as egress:
            vendor = Vendor(spec, access, egress, LimitBook(), settings)
            async for item in sync(vendor, spec.entities, {}):
                if isinstance(item, Batch):
                    found[item.entity] |= {str(record.value) for record in item.records}
                else:
                    assert item.error is None
        return found

    assert {name: len(records) for name, records in asyncio.run(run()).items()} == dict.fromkeys(spec.entities, 130)


def test_the_sandbox_tells_spec_truth_and_document(sandbox: Make, client: Any) -> None:
    talk = client(sandbox(vendors=3))
    assert talk.get("/_sandbox").json()["vendors"][-3:] == ["v0001", "v0002", "v0003"]
    made = generate_vendor(2)
    assert talk.get("/_sandbox/specs/v0002").json() == connector_spec(made)
    assert len(talk.get("/_sandbox/truth/v0002").json()) == len(made.entities[0].fields)
    talk.headers |= {"X-API-Key": "sandbox-token"}
    assert talk.get("/v0002/openapi.json").json()["info"]["title"] == "v0002 API"
    assert talk.get("/_sandbox/specs/v0004").status_code == 400
    assert talk.get("/v0004/openapi.json").status_code == 404


def test_fields_written_and_read_are_the_same_truth(tmp_path: Path) -> None:
    truth = [field for made in MADE[:10] for field in true_fields(made)]
    written = io.StringIO()
    write_fields(written, truth)
    file = tmp_path / "fields.csv"
    file.write_text(written.getvalue())
    again = [field for made in read_fields(file) for field in true_fields(made)]
    known = {(f.vendor, f.entity, f.field): (f.canonical_entity, f.canonical_field) for f in truth}
    assert known == {(f.vendor, f.entity, f.field): (f.canonical_entity, f.canonical_field) for f in again}


def test_a_file_of_ones_own_is_played(tmp_path: Path, sandbox: Make, client: Any) -> None:
    file = tmp_path / "fields.csv"
    file.write_text(
        "vendor,entity,field,json_type\n"
        "2Shop,Order Line,id,integer\n2Shop,Order Line,buyer.email,string\n2Shop,Order Line,buyer,object\n"
        "2Shop,Order Line,items[].qty,integer\n2Shop,Order Line,placed,integer:date-time\n"
    )
    talk = client(sandbox(fields=file, records=3))
    talk.headers |= {"X-API-Key": "sandbox-token"}
    assert talk.get("/_sandbox").json()["vendors"][-1] == "v2shop"
    body = next(iter(talk.get("/v2shop/api/order_lines").json().values()))
    first = body[0] if isinstance(body, list) else body
    assert set(first) == {"id", "buyer", "items", "placed"}
    assert "@" in first["buyer"]["email"]
    assert isinstance(first["items"][0]["qty"], int)
    assert isinstance(first["placed"], int)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vendor,field\na,b\n", "no column entity"),
        ("vendor,entity,field\na,b,\n", "line 2: vendor, entity and field"),
        ("vendor,entity,field\na,b,x..y\n", "line 2: source path"),
    ],
)
def test_a_bad_file_of_fields_is_told_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "fields.csv"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=said):
        read_fields(file)
    with pytest.raises(Misconfigured, match="can't read the fields"):
        read_fields(tmp_path / "none.csv")
