"""Which sets are in force: whole publications only, the newest by version whatever the order of arrival."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.mapping_cache import MARKER, TableAssembler, key_bytes, marker_bytes
from mapping.mapping_set import ANY_TENANT, Mapping, MappingSet


def a_set(revision: int, *, epoch: int = 1, name_from: str = "name", **given: Any) -> MappingSet:
    key = {"tenant": ANY_TENANT, "connector": "crm", "entity": "customer"} | given
    mapping = Mapping(canonical_entity="customer", canonical_field="display_name", source_field=name_from)
    return MappingSet(epoch=epoch, revision=revision, mappings=(mapping,), **key)


def take(assembler: TableAssembler, *sets: MappingSet) -> None:
    for mapping_set in sets:
        assembler.take(key_bytes(mapping_set.key), mapping_set.model_dump_json().encode())


def complete(assembler: TableAssembler, revision: int, *, epoch: int = 1) -> bool:
    return assembler.take(MARKER, marker_bytes(epoch, revision))


def test_nothing_is_in_force_before_the_marker() -> None:
    assembler = TableAssembler()
    take(assembler, a_set(1))
    assert assembler.table is None
    assert complete(assembler, 1)
    assert assembler.table is not None
    assert assembler.table.composed("acme", "crm", "customer") == a_set(1)
    assert assembler.table.version == (1, 1)


def test_a_marker_alone_is_a_complete_table_that_knows_nothing() -> None:
    assembler = TableAssembler()
    complete(assembler, 0)
    assert assembler.table is not None
    assert assembler.table.composed("acme", "crm", "customer") is None


def test_a_table_held_by_a_batch_does_not_change() -> None:
    assembler = TableAssembler()
    take(assembler, a_set(1))
    complete(assembler, 1)
    held = assembler.table
    take(assembler, a_set(2, name_from="nick"))
    assert assembler.table is held
    complete(assembler, 2)
    assert held is not None
    assert held.composed("acme", "crm", "customer") == a_set(1)


def test_an_older_epoch_never_comes_back_whatever_its_revision() -> None:
    assembler = TableAssembler()
    take(assembler, a_set(1, epoch=2))
    complete(assembler, 1, epoch=2)
    take(assembler, a_set(99, epoch=1, name_from="old"))
    complete(assembler, 99, epoch=1)
    assert assembler.table is not None
    assert assembler.table.version == (2, 1)
    assert assembler.table.composed("acme", "crm", "customer") == a_set(1, epoch=2)


def test_a_tenants_mappings_stand_before_the_connectors() -> None:
    assembler = TableAssembler()
    take(assembler, a_set(1), a_set(2, tenant="globex", name_from="nick"))
    complete(assembler, 2)
    assert assembler.table is not None
    theirs, ours = (assembler.table.composed(tenant, "crm", "customer") for tenant in ("globex", "acme"))
    assert theirs is not None
    assert ours is not None
    assert (theirs.mappings[0].source_field, theirs.revision) == ("nick", 2)
    assert (ours.mappings[0].source_field, ours.revision) == ("name", 1)


def test_what_cannot_be_read_leaves_the_last_good_set() -> None:
    assembler = TableAssembler()
    take(assembler, a_set(1))
    complete(assembler, 1)
    key = key_bytes(a_set(1).key)
    for broken in (b"", None, b"{}", b"[1]", b'{"connector": 1}'):
        assert not assembler.take(key, broken)
    assert not assembler.take(MARKER, b"{}")
    assert assembler.unreadable == {key, MARKER}
    complete(assembler, 2)
    assert assembler.table is not None
    assert assembler.table.composed("acme", "crm", "customer") == a_set(1)
    take(assembler, a_set(3, name_from="nick"))
    complete(assembler, 3)
    assert assembler.unreadable == set()


versions = st.tuples(st.integers(1, 3), st.integers(0, 9))


@given(st.lists(st.tuples(versions, st.booleans()), min_size=1))
def test_the_newest_closed_version_is_in_force_in_any_order(arrivals: list[tuple[tuple[int, int], bool]]) -> None:
    assembler, closed, staged = TableAssembler(), set[tuple[int, int]](), set[tuple[int, int]]()
    for (epoch, revision), ends in arrivals:
        take(assembler, a_set(revision, epoch=epoch))
        staged.add((epoch, revision))
        if ends:
            complete(assembler, revision, epoch=epoch)
            closed |= staged
            staged = set()
    if not closed:
        assert assembler.table is None
    else:
        assert assembler.table is not None
        found = assembler.table.composed("acme", "crm", "customer")
        assert found is not None
        assert found.version == max(closed)
