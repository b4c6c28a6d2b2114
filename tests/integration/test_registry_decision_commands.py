"""The commands that decide about mappings and look back, on a real Postgres: what each says, and its exit codes.

What a decision does is tested by the registry's own API; what reads Kafka (`aam experiments status`, `aam registry
recover`) in test_registry_decisions.py.
"""

import getpass
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from cli import main
from mapping.mapping_set import Mapping
from registry.edits import SetEdit
from registry.mapping_store import MappingStore
from registry.pool import Pool, open_pool
from registry.review import ReviewItem, ReviewQueue
from registry.settings import RegistrySettings

SET = ("--connector", "crm", "--entity", "person")
TITLE = (*SET, "--to", "contact.title")
INVALID, USAGE = 5, 2


@pytest.fixture
def pool(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """The registry that the commands use."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    with open_pool(RegistrySettings(database_url=SecretStr(database_url))) as opened:
        yield opened


def aam(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, arguments)


def told(*arguments: str) -> list[Any]:
    """What a command says as JSON, a value a line."""
    done = aam(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def put(path: str, *more: str) -> int:
    return int(told("mappings", "set", *TITLE, "--from", path, *more)[0]["revision"])


def found_by_machine(pool: Pool, **confidences: float) -> None:
    """A provisional mapping for each field of crm/person, from a path of the same name."""
    mappings = [
        Mapping(
            canonical_entity="contact",
            canonical_field=field,
            source_field=field,
            confidence=confidence,
            status="provisional",
        )
        for field, confidence in confidences.items()
    ]
    MappingStore(pool).apply([SetEdit(("*", "crm", "person"), mappings=tuple(mappings))], method="rag", actor="aam")


def ask(pool: Pool, *paths: str, fields: tuple[str, ...] = ("title", "lead_source")) -> None:
    """A review item of acme for each path; the first field is the best candidate."""
    candidates = [
        {"field": field, "probability": 0.9 - n / 10, "signals": {"name": 0.8}, "transform": {"op": "copy"}}
        for n, field in enumerate(fields)
    ]
    profile = {"types": ["string"]}
    items = [
        ReviewItem("acme", "crm", "person", path, "contact", candidates, "alike", profile, 10 + n, 0.2)
        for n, path in enumerate(paths)
    ]
    ReviewQueue(pool).add(items)


def in_force(tenant: str = "acme") -> dict[str, str]:
    (found,) = told("mappings", "show", *SET, "--tenant", tenant)
    return {m["canonical_field"]: m["source_field"] for m in found["mappings"]} if found else {}


@pytest.mark.usefixtures("pool")
def test_what_held_at_a_revision_is_shown_told_and_compared() -> None:
    assert put("job", "--reason", "first") == 1
    assert put("nick", "--tenant", "acme") == 2
    assert put("role") == 3
    (then,) = told("mappings", "show", *SET, "--revision", "1")
    assert [(m["source_field"], then["revision"]) for m in then["mappings"]] == [("job", 1)]
    assert in_force("acme") == {"title": "nick"}
    assert in_force("globex") == {"title": "role"}
    assert told("mappings", "show", *SET, "--revision", "0") == [None]
    shown = aam("mappings", "show", *SET, "--revision", "1").stdout
    assert "crm/person for *, revision 1" in shown
    assert "job" in shown
    past = told("mappings", "history", *TITLE)
    assert [(v["version"], v["source_field"], v["active_from"], v["active_until"], v["reason"]) for v in past] == [
        (1, "job", 1, 3, "first"),
        (2, "role", 3, None, ""),
    ]
    assert "1–2" in aam("mappings", "history", *SET).stdout
    assert told("mappings", "history", *SET, "--to", "contact.lead_source") == []
    (change,) = told("mappings", "diff", *SET, "--old", "1")
    assert (change["to"], change["old"]["source_field"], change["new"]["source_field"]) == (
        "contact.title",
        "job",
        "role",
    )
    assert aam("mappings", "diff", *SET, "--old", "1", "--new", "3").stdout.splitlines() == [
        "- contact.title ← job copy active",
        "+ contact.title ← role copy active",
    ]
    assert told("mappings", "diff", *SET, "--old", "1", "--new", "2") == []
    late = aam("mappings", "show", *SET, "--revision", "9")
    assert (late.exit_code, "the registry is at 3" in late.stderr) == (INVALID, True)


@pytest.mark.usefixtures("pool")
def test_a_proposal_is_approved_or_rejected_by_its_id() -> None:
    put("job")
    (proposed,) = told("mappings", "propose", *TITLE, "--from", "role", "--reason", "the docs say so")
    assert (proposed["status"], proposed["version"], proposed["created_by"]) == ("proposed", 2, getpass.getuser())
    assert [v["id"] for v in told("mappings", "list", "--undecided")] == [proposed["id"]]
    assert in_force() == {"title": "job"}
    said = told("mappings", "approve", str(proposed["id"]), "--reason", "they do")
    assert said == [{"decision": "approve", "ids": [proposed["id"]], "revision": 2}]
    assert in_force() == {"title": "role"}
    (_, now) = told("mappings", "history", *TITLE)
    assert (now["approved_by"], now["reason"]) == (getpass.getuser(), "the docs say so; they do")
    assert "proposed" in aam("mappings", "propose", *TITLE, "--from", "rank").stdout
    (other,) = told("mappings", "list", "--undecided")
    assert aam("mappings", "reject", str(other["id"])).stdout == "reject: 1 mappings, revision 2\n"
    refused = aam("mappings", "approve", str(other["id"]))
    assert (refused.exit_code, "is rejected: propose it anew" in refused.stderr) == (INVALID, True)


def test_many_are_approved_after_a_look(pool: Pool) -> None:
    found_by_machine(pool, title=0.95, lead_source=0.9, display_name=0.5)
    sure = ("--connector", "crm", "--min-confidence", "0.8")
    look = aam("mappings", "approve", *sure, "--dry-run")
    assert (look.exit_code, "2 mappings" in look.stderr) == (0, True)
    assert "lead_source" in look.stdout
    assert "display_name" not in look.stdout
    assert len(told("mappings", "approve", *sure, "--dry-run")) == 2
    unasked = aam("mappings", "approve", *sure)
    assert (unasked.exit_code, "say --yes, or --dry-run" in unasked.stderr) == (USAGE, True)
    assert len(told("mappings", "list", "--undecided")) == 3
    (said,) = told("mappings", "approve", *sure, "--yes")
    assert (len(said["ids"]), said["revision"]) == (2, 2)
    (said,) = told("mappings", "reject", "--status", "provisional", "--yes")
    assert said["revision"] == 3
    assert in_force() == {"title": "title", "lead_source": "lead_source"}
    assert told("mappings", "approve", *sure, "--yes") == []


@pytest.mark.usefixtures("pool")
def test_whoever_proposed_can_be_kept_from_approving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAM_BAR_SELF_APPROVAL", "true")
    (proposed,) = told("mappings", "propose", *TITLE, "--from", "role")
    for refused in (("approve", str(proposed["id"])), ("approve", *SET, "--yes"), ("set", *TITLE, "--from", "job")):
        done = aam("mappings", *refused)
        assert (done.exit_code, "AAM_BAR_SELF_APPROVAL" in done.stderr) == (INVALID, True)
    monkeypatch.setattr("cli.mapping_decisions.current_actor", lambda: "somebody else")
    assert told("mappings", "approve", str(proposed["id"]))[0]["revision"] == 1


@pytest.mark.usefixtures("pool")
def test_a_field_a_set_and_everything_is_rolled_back() -> None:
    for path in ("job", "role", "rank"):
        put(path)
    put("nick", "--tenant", "acme")
    assert told("mappings", "rollback", *TITLE, "--dry-run")[0]["done"] is False
    assert aam("mappings", "rollback", *TITLE).stdout == "1 fields of 1 sets brought back, revision 5\n"
    assert in_force("*") == {"title": "role"}
    assert "it holds already" in aam("mappings", "rollback", *TITLE).stderr
    told("mappings", "rollback", *TITLE, "--version", "3")
    assert in_force("*") == {"title": "rank"}
    unasked = aam("mappings", "rollback", "--revision", "1")
    assert (unasked.exit_code, "nobody to ask" in unasked.stderr) == (USAGE, True)
    assert "acme" in unasked.stdout
    (said,) = told("mappings", "rollback", "--revision", "1", "--yes", "--reason", "a bad day")
    assert (said["revision"], said["done"], len(said["sets"])) == (7, True, 2)
    assert (in_force("*"), in_force("acme")) == ({"title": "job"}, {"title": "job"})
    (said,) = told("mappings", "rollback", "--since", "1h", "--connector", "crm", "--yes")
    assert said["revision"] == 8
    assert told("mappings", "list") == []


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("mappings", "approve"), USAGE, "say what to approve"),
        (("mappings", "approve", "1", "--connector", "crm"), USAGE, "say what to approve"),
        (("mappings", "approve", "1", "--dry-run"), USAGE, "for options that choose"),
        (("mappings", "approve", "77"), INVALID, "there is no mapping 77"),
        (("mappings", "rollback"), USAGE, "say what"),
        (("mappings", "rollback", "--since", "lately"), USAGE, "is no time"),
        (("mappings", "rollback", "--since", "1h", "--revision", "1"), USAGE, "choose one of"),
        (("mappings", "propose", *SET, "--to", "contact.titel", "--from", "x"), INVALID, "no such canonical field"),
        (("mappings", "propose", *TITLE, "--from", "x", "--op", "iso_date"), INVALID, "can't give a string"),
        (("mappings", "propose", *TITLE, "--from", "x", "--fallback", "x"), INVALID, "falls back on itself"),
        (("review", "accept"), USAGE, "say what to accept"),
        (("review", "accept", "77"), INVALID, "there is no review item 77"),
        (("experiments", "start", "77", "--percent", "10"), INVALID, "there is no mapping 77"),
        (("experiments", "stop", "77"), INVALID, "there is no experiment 77"),
        (("experiments", "status", "77"), INVALID, "there is no experiment 77"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(arguments: tuple[str, ...], code: int, said: str) -> None:
    done = aam(*arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert told("registry", "audit") == []


def test_the_queue_is_looked_at_and_worked_off(pool: Pool) -> None:
    ask(pool, "job", "role", "etag", "zodiac", "motto")
    assert [item["path"] for item in told("review", "list")] == ["motto", "zodiac", "etag", "role", "job"]
    assert "contact.title" in aam("review", "list", "--connector", "crm", "--limit", "1").stdout
    (first,) = told("review", "next")
    assert (first["path"], first["candidates"][0]["field"], first["tenants"]) == ("motto", "title", ["acme"])
    assert "types: ['string']" in aam("review", "next").stdout
    ids = {item["path"]: str(item["id"]) for item in told("review", "list")}
    assert told("review", "ignore", ids["etag"]) == [{"decision": "ignored", "revision": 1}]
    assert told("review", "reject", ids["zodiac"], "--reason", "no title") == [{"decision": "rejected", "revision": 1}]
    assert aam("review", "accept", ids["job"]).stdout == "accepted, revision 2\n"
    chosen = ("review", "choose", ids["role"], "--to", "contact.lead_source", "--op", "lower", "--for-connector")
    assert told(*chosen) == [{"decision": "chosen", "revision": 3}]
    assert in_force("acme") == {"title": "job", "lead_source": "role"}
    assert in_force("*") == {"lead_source": "role"}
    twice = aam("review", "reject", ids["job"])
    assert (twice.exit_code, "has accepted review item" in twice.stderr) == (INVALID, True)
    (left,) = told("review", "list")
    assert left["path"] == "motto"
    asked = {entry["action"]: entry["evidence"] for entry in told("registry", "audit") if entry["evidence"]}
    assert asked["accept"]["candidates"][0]["signals"] == {"name": 0.8}


def test_many_items_are_accepted_after_a_look(pool: Pool) -> None:
    ask(pool, "job", "role")
    ask(pool, "source", fields=("lead_source",))
    look = aam("review", "accept", "--connector", "crm", "--dry-run")
    assert (look.exit_code, "3 items" in look.stderr) == (0, True)
    assert aam("review", "accept", "--connector", "crm").exit_code == USAGE
    (said,) = told("review", "accept", "--connector", "crm", "--yes")
    assert (said["items"], said["left"], said["revision"]) == (2, 1, 1)
    assert set(in_force()) == {"title", "lead_source"}
    assert told("review", "next") == [] or told("review", "next")[0]["path"] in ("job", "role")


@pytest.mark.usefixtures("pool")
def test_an_experiment_is_started_listed_stopped_and_promoted() -> None:
    put("job")
    (proposed,) = told("mappings", "propose", *TITLE, "--from", "role")
    said = aam("experiments", "start", str(proposed["id"]), "--percent", "20", "--reason", "try").stdout
    assert said == "experiment 1: 20 % to arm B, revision 2\n"
    (running,) = told("experiments", "list")
    assert (running["id"], running["percent"], running["outcome"]) == (1, 20, None)
    assert "contact.title" in aam("experiments", "list").stdout
    shown = aam("mappings", "show", *SET).stdout
    assert "20 % of the records to arm B" in shown
    taken = aam("mappings", "approve", str(proposed["id"]))
    assert (taken.exit_code, "promote experiment 1" in taken.stderr) == (INVALID, True)
    assert told("experiments", "stop", "1") == [{"experiment": 1, "outcome": "stopped", "revision": 3}]
    assert told("experiments", "list") == []
    (again,) = told("mappings", "propose", *TITLE, "--from", "role")
    (started,) = told("experiments", "start", str(again["id"]), "--percent", "50")
    assert aam("experiments", "promote", str(started["id"])).stdout == "experiment 2 promoted, revision 5\n"
    assert [e["outcome"] for e in told("experiments", "list", "--ended")] == ["stopped", "promoted"]
    assert in_force() == {"title": "role"}


@pytest.mark.usefixtures("pool")
def test_what_is_exported_is_imported_again_as_it_was(tmp_path: Path) -> None:
    put("job", "--primary-key", "id")
    put("nick", "--tenant", "acme")
    (said,) = told("mappings", "export", "-o", str(tmp_path))
    assert (said["file"], said["mappings"]) == ("crm.yaml", 1)
    text = (tmp_path / "crm.yaml").read_text(encoding="utf-8")
    assert aam("mappings", "export", "--connector", "crm").stdout == text
    assert "nick" in told("mappings", "export", "--tenant", "acme")[0]["text"]
    (report,) = told("mappings", "import", str(tmp_path / "crm.yaml"))
    assert (report["mappings"], report["refused"], report["revision"]) == (1, [], 2)
    assert "no such mappings" in aam("mappings", "export", "--connector", "nobody").stderr


@pytest.mark.usefixtures("pool")
def test_the_trail_is_chosen_from_and_exported_on() -> None:
    put("job", "--reason", "first")
    put("role")
    first, second = told("registry", "audit")
    assert (first["before"], first["after"]["source_field"], first["reason"]) == (None, "job", "first")
    assert (second["before"]["source_field"], second["after"]["source_field"]) == ("job", "role")
    assert told("registry", "audit", "--after", str(first["id"])) == [second]
    assert told("registry", "audit", "--actor", "nobody") == []
    assert len(told("registry", "audit", "--since", "1h", *TITLE)) == 2
    assert "job (active)" in aam("registry", "audit").stdout
    told("mappings", "set", *TITLE, "--from", "x", *(word for n in range(5) for word in ("--primary-key", f"k{n}")))
    assert "primary_key: 5" in aam("registry", "audit").stdout
