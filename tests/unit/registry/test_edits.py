"""Which versions an edit asks for; the same rules on Postgres are in tests/integration/test_registry_store.py."""

from typing import Any

import pytest

from mapping.mapping_set import Mapping
from registry.edits import (
    Declaration,
    NewVersion,
    SetEdit,
    SetState,
    Version,
    mapping_of,
    plan_declaration,
    plan_edit,
    plan_versions,
)
from registry.edits import transform_column as column
from registry.errors import InvalidDecision

KEY = ("*", "crm", "person")
TITLE = ("contact", "title")


def title(path: str, **more: object) -> Mapping:
    return Mapping.model_validate(
        {"canonical_entity": "contact", "canonical_field": "title", "source_field": path, **more}
    )


def version(mapping: Mapping, number: int = 1, **more: Any) -> Version:
    usual: dict[str, Any] = {
        "mapping": mapping,
        "number": number,
        "status": "active",
        "person": False,
        "method": "seed",
    }
    return Version(**usual | more)


def test_a_new_target_starts_at_version_one() -> None:
    edit = SetEdit(KEY, mappings=(title("job"),))
    assert plan_versions(edit, {}, "rag") == (NewVersion(title("job"), 1, "active", replaces=False),)


def test_any_difference_is_a_new_version() -> None:
    now = {TITLE: version(title("job"), 3)}
    for other in (title("role"), title("job", confidence=0.9), title("job", status="provisional")):
        assert plan_versions(SetEdit(KEY, mappings=(other,)), now, "seed") == (
            NewVersion(other, 4, other.status, replaces=True),
        )
    assert plan_versions(SetEdit(KEY, mappings=(title("job"),)), now, "seed") == ()


def test_what_was_removed_comes_back_as_the_next_version() -> None:
    gone = {TITLE: version(title("job"), 2, status="removed")}
    assert plan_versions(SetEdit(KEY, mappings=(title("job"),)), gone, "rag") == (
        NewVersion(title("job"), 3, "active", replaces=True),
    )
    assert plan_versions(SetEdit(KEY, removals=(TITLE,)), gone, "manual") == ()


def test_a_version_is_numbered_after_all_that_were_written() -> None:
    now = {TITLE: version(title("job"), 2)}
    (new,) = plan_versions(SetEdit(KEY, mappings=(title("role"),)), now, "manual", {TITLE: 7})
    assert new.number == 8


def test_what_a_person_says_of_a_provisional_mapping_confirms_it() -> None:
    found = version(title("job", status="provisional", confidence=0.9), 3, status="provisional", method="rag")
    state = SetState(holding={TITLE: found}, highest={TITLE: 3})
    same, other = SetEdit(KEY, mappings=(title("job"),)), SetEdit(KEY, mappings=(title("role"),))
    confirmed = title("job", confidence=0.9)
    assert plan_edit(same, state, "manual", approved=True).versions == (
        NewVersion(confirmed, 3, "active", replaces=False, method="rag", step="confirm"),
    )
    for edit, approved in ((same, False), (other, True)):
        (new,) = plan_edit(edit, state, "manual", approved=approved).versions
        assert (new.number, new.step, new.replaces) == (4, "insert", True)


def test_a_target_on_trial_is_nobodys_and_seeds_pass_it_by() -> None:
    state = SetState(holding={TITLE: version(title("job"))}, highest={TITLE: 2}, on_trial=frozenset([TITLE]))
    edit = SetEdit(KEY, mappings=(title("role"),))
    assert not plan_edit(edit, state, "seed")
    with pytest.raises(InvalidDecision, match="an experiment runs"):
        plan_edit(edit, state, "rag")


def test_a_removal_is_a_version_and_happens_once() -> None:
    now = {TITLE: version(title("job"))}
    assert plan_versions(SetEdit(KEY, removals=(TITLE, TITLE, ("contact", "none"))), now, "manual") == (
        NewVersion(title("job"), 2, "removed", replaces=True),
    )


def test_a_seed_leaves_alone_what_a_person_decided() -> None:
    edit = SetEdit(KEY, mappings=(title("role"),))
    for status in ("active", "removed"):
        assert plan_versions(edit, {TITLE: version(title("job"), status=status, person=True)}, "seed") == ()
    assert len(plan_versions(edit, {TITLE: version(title("job"), person=True)}, "llm")) == 1


def test_a_seed_takes_back_only_what_seeds_set() -> None:
    name = ("contact", "display_name")
    now = {TITLE: version(title("job")), name: version(title("n", canonical_field="display_name"), method="rag")}
    dropped = plan_versions(SetEdit(KEY, retire_others=True), now, "seed")
    assert [(new.mapping.target, new.status) for new in dropped] == [(TITLE, "removed")]


def test_a_declaration_is_written_when_it_differs_or_a_person_takes_it_over() -> None:
    old, new = Declaration(("id",)), Declaration(("key",))
    assert plan_declaration(None, old, "seed", "manual") is None
    assert plan_declaration(new, None, None, "seed") == new
    assert plan_declaration(new, old, "manual", "seed") is None
    assert plan_declaration(old, old, "seed", "manual") == old
    assert plan_declaration(old, old, "manual", "manual") is None


def test_a_row_gives_back_the_mapping_it_was_made_of() -> None:
    mapping = title(
        "a", fallbacks=("b",), transform={"op": "join", "inputs": ("c",), "params": {"separator": "-"}}, confidence=0.5
    )
    assert mapping_of(["contact", "title", "a", column(mapping), 0.5, "active"]) == mapping
