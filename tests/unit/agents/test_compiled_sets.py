"""Which function is used: compiled once, shared, and the last good one where the newest is broken."""

from typing import Any

import pytest

from agents import compiled_sets
from agents.compiled_sets import CompiledSets
from agents.mapping_cache import MappingTable
from mapping.compile import compile_set
from mapping.mapping_set import ANY_TENANT, Mapping, MappingSet
from schemas.canonical_model import load_entities


def a_set(revision: int, *, field: str = "display_name", tenant: str = ANY_TENANT) -> MappingSet:
    mapping = Mapping(canonical_entity="customer", canonical_field=field, source_field="name")
    return MappingSet(
        tenant=tenant, connector="crm", entity="customer", epoch=1, revision=revision, mappings=(mapping,)
    )


def table(*sets: MappingSet) -> MappingTable:
    return MappingTable(1, max(s.revision for s in sets), {s.key: s for s in sets})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The revisions compiled so far."""
    revisions: list[int] = []

    def count(mapping_set: MappingSet, *arguments: Any, **named: Any) -> Any:
        revisions.append(mapping_set.revision)
        return compile_set(mapping_set, *arguments, **named)

    monkeypatch.setattr(compiled_sets, "compile_set", count)
    return revisions


@pytest.fixture
def compiled() -> CompiledSets:
    return CompiledSets(load_entities(), event_format="json", prefixes={})


def test_tenants_without_mappings_of_their_own_share_one_function(compiled: CompiledSets, counted: list[int]) -> None:
    both = table(a_set(1), a_set(2, tenant="globex", field="company_name"))
    shared = compiled.find(both, "acme", "crm", "customer")
    assert shared is compiled.find(both, "initech", "crm", "customer")
    assert shared is not compiled.find(both, "globex", "crm", "customer")
    assert counted == [1, 2]


def test_a_set_is_compiled_again_only_when_it_changes(compiled: CompiledSets, counted: list[int]) -> None:
    for held in (table(a_set(1)), table(a_set(1)), table(a_set(5)), table(a_set(5))):
        compiled.find(held, "acme", "crm", "customer")
    assert counted == [1, 5]


def test_an_unknown_source_has_no_function(compiled: CompiledSets) -> None:
    assert compiled.find(table(a_set(1)), "acme", "crm", "invoice") is None


def test_a_broken_set_leaves_the_last_good_one_in_force(compiled: CompiledSets) -> None:
    good = compiled.find(table(a_set(1)), "acme", "crm", "customer")
    assert compiled.find(table(a_set(2, field="no_such_field")), "acme", "crm", "customer") is good
    newer = compiled.find(table(a_set(3)), "acme", "crm", "customer")
    assert newer is not None
    assert newer.mapping_set.revision == 3


def test_a_broken_set_without_a_former_one_maps_nothing(compiled: CompiledSets) -> None:
    assert compiled.find(table(a_set(2, field="no_such_field")), "acme", "crm", "customer") is None


def test_a_set_that_was_emptied_maps_nothing(compiled: CompiledSets) -> None:
    compiled.find(table(a_set(1)), "acme", "crm", "customer")
    empty = a_set(2).model_copy(update={"mappings": ()})
    assert compiled.find(table(empty), "acme", "crm", "customer") is None
