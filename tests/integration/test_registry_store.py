"""Mappings on a real Postgres: versions, precedence of people over seeds, and one order of revisions."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from pydantic import SecretStr

from mapping.mapping_set import Mapping, MappingSet, Transform
from registry import errors
from registry.mapping_store import MappingStore
from registry.outbox import Outbox
from registry.pool import Pool, open_pool
from registry.settings import RegistrySettings


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with open_pool(RegistrySettings(database_url=SecretStr(database_url))) as opened:
        yield opened


@pytest.fixture
def store(pool: Pool) -> MappingStore:
    return MappingStore(pool)


def title_from(path: str, **more: object) -> Mapping:
    return Mapping.model_validate(
        {"canonical_entity": "contact", "canonical_field": "title", "source_field": path, **more}
    )


def put(store: MappingStore, mapping: Mapping, *, tenant: str = "*", actor: str = "ann") -> int:
    return store.set_mapping(
        tenant=tenant, connector="crm", entity="person", mapping=mapping, method="manual", actor=actor
    )


def seeded(*mappings: Mapping, ignored: tuple[str, ...] = ()) -> MappingSet:
    return MappingSet(
        connector="crm", entity="person", epoch=0, revision=0, primary_key=("id",), ignored=ignored, mappings=mappings
    )


def test_a_set_not_heard_of_is_none_and_an_emptied_one_is_empty(store: MappingStore) -> None:
    assert store.load_set("*", "crm", "person") is None
    put(store, title_from("job"))
    store.remove_mapping(connector="crm", entity="person", target=("contact", "title"), method="manual", actor="ann")
    emptied = store.load_set("*", "crm", "person")
    assert emptied == MappingSet(connector="crm", entity="person", epoch=1, revision=2)
    assert store.all_keys() == [("*", "crm", "person")]


def test_a_mapping_is_read_as_it_was_set(store: MappingStore) -> None:
    amount = Mapping(
        canonical_entity="invoice",
        canonical_field="total",
        source_field="sum",
        fallbacks=("total", 'odd."na.me"'),
        transform=Transform(op="minor_units", inputs=("currency",), params={"exponents": {"MGA": 0}}),
        confidence=0.875,
        status="provisional",
    )
    put(store, amount)
    read = store.load_set("*", "crm", "person")
    assert read is not None
    assert read.mappings == (amount,)


def test_a_change_is_a_new_version_and_the_former_stays(store: MappingStore) -> None:
    put(store, title_from("job"), actor="ann")
    put(store, title_from("role"), actor="bob")
    versions = store.list_mappings(history=True)
    assert [(v.version, v.mapping.source_field, v.is_active, v.approved_by) for v in versions] == [
        (1, "job", False, "ann"),
        (2, "role", True, "bob"),
    ]
    assert [v.version for v in store.list_mappings(connector="crm")] == [2]
    assert store.list_mappings(connector="other") == []


def test_the_same_again_is_no_new_revision(store: MappingStore, pool: Pool) -> None:
    odd = title_from("job", transform={"op": "later", "params": {"pair": (1, 2)}})
    unchecked = MappingStore(pool, validate=lambda _: None)
    assert put(unchecked, odd) == put(unchecked, odd) == 1
    seed = [seeded(title_from("job")).model_copy(update={"entity": "lead"})]
    assert store.import_seed(seed, actor="aam") == store.import_seed(seed, actor="aam")


def test_one_source_field_feeds_several_targets(store: MappingStore) -> None:
    put(store, title_from("job"))
    put(store, title_from("job", canonical_field="lead_source"))
    read = store.load_set("*", "crm", "person")
    assert read is not None
    assert {m.canonical_field for m in read.mappings} == {"title", "lead_source"}


def test_a_bulk_import_is_one_revision(store: MappingStore) -> None:
    both = seeded(title_from("job"), title_from("name", canonical_field="display_name"))
    assert store.import_seed([both], actor="aam") == 1
    assert store.import_set(both, method="rag", actor="aam") == 1


def test_a_seed_never_overwrites_what_a_person_set_or_removed(store: MappingStore) -> None:
    name = title_from("name", canonical_field="display_name")
    store.import_seed([seeded(title_from("job"), name)], actor="aam")
    put(store, title_from("role"))
    store.remove_mapping(
        connector="crm", entity="person", target=("contact", "display_name"), method="manual", actor="ann"
    )
    store.declare_source(connector="crm", entity="person", primary_key=["key"], actor="ann")
    before = store.load_set("*", "crm", "person")
    store.import_seed([seeded(title_from("position"), name, ignored=("x",))], actor="aam")
    assert store.load_set("*", "crm", "person") == before
    assert before is not None
    assert before.mappings == (title_from("role"),)
    assert before.primary_key == ("key",)


def test_a_person_who_confirms_a_seed_owns_it(store: MappingStore) -> None:
    store.import_seed([seeded(title_from("job"))], actor="aam")
    put(store, title_from("job"))
    store.import_seed([seeded(title_from("position"))], actor="aam")
    assert [m.mapping.source_field for m in store.list_mappings()] == ["job"]


def test_what_a_later_seed_no_longer_has_goes(store: MappingStore) -> None:
    name = title_from("name", canonical_field="display_name")
    store.import_seed([seeded(title_from("job"), name)], actor="aam")
    store.import_seed([seeded(name)], actor="aam")
    read = store.load_set("*", "crm", "person")
    assert read is not None
    assert read.mappings == (name,)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (title_from("job", canonical_entity="nobody"), "nobody.title ← job: there is no such"),
        (title_from("job", canonical_field="nothing"), "contact.nothing ← job: there is no such"),
        (title_from("a..b"), "path"),
        (title_from("job", transform={"op": "guess"}), "unknown transform 'guess'"),
        (title_from('"job\0"'), "cannot store"),
        (title_from("job", transform={"params": {"x": object()}}), "not JSON"),
        (title_from("job", transform={"params": {"x": float("nan")}}), "not JSON"),
    ],
)
def test_an_invalid_mapping_is_refused_and_changes_nothing(store: MappingStore, mapping: Mapping, said: str) -> None:
    with pytest.raises(errors.InvalidMapping, match=said):
        put(store, mapping)
    assert store.all_keys() == []


def test_the_validator_sees_a_tenants_set_over_the_connectors(pool: Pool) -> None:
    seen: list[MappingSet] = []
    store = MappingStore(pool, validate=seen.append)
    put(store, title_from("job"))
    put(store, title_from("name", canonical_field="display_name"), tenant="t1")
    assert [(s.tenant, len(s.mappings)) for s in seen] == [("*", 1), ("t1", 1), ("t1", 2)]


def test_a_refusing_validator_rolls_back_the_whole_import(pool: Pool) -> None:
    def refuse(mapping_set: MappingSet) -> None:
        if mapping_set.entity == "person":
            raise errors.InvalidMapping("no")

    store = MappingStore(pool, validate=refuse)
    good = seeded(title_from("job")).model_copy(update={"entity": "animal"})
    with pytest.raises(errors.InvalidMapping):
        store.import_seed([good, seeded(title_from("job"))], actor="aam")
    assert store.all_keys() == []


def test_concurrent_writers_leave_one_active_row_and_one_order(store: MappingStore, pool: Pool) -> None:
    with ThreadPoolExecutor(20) as threads:
        revisions = list(threads.map(lambda n: put(store, title_from(f"field{n}")), range(50)))
    assert sorted(revisions) == list(range(1, 51))
    versions = store.list_mappings(history=True)
    assert [v.version for v in versions] == [v.revision for v in versions] == list(range(1, 51))
    assert [v.revision for v in versions if v.is_active] == [50]
    publication = Outbox(pool).pending()
    assert publication is not None
    assert [change.revision for change in publication.changes] == list(range(1, 51))


def test_without_migrations_the_remedy_is_named(empty_database_url: str) -> None:
    with (
        open_pool(RegistrySettings(database_url=SecretStr(empty_database_url))) as empty,
        pytest.raises(errors.RegistryMisconfigured, match="aam migrate"),
    ):
        MappingStore(empty).all_keys()


def test_a_lost_connection_is_replaced(store: MappingStore, database_url: str) -> None:
    put(store, title_from("job"))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert store.all_keys() == [("*", "crm", "person")]


def test_a_server_that_is_not_there_is_unavailable() -> None:
    settings = RegistrySettings(database_url=SecretStr("postgresql://127.0.0.1:1/aam"))
    with pytest.raises(errors.RegistryUnavailable), open_pool(settings):
        pass
