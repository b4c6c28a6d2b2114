"""What a tenant's session sees of the registry: its own and what is for all, by Postgres's own policies."""

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from infra.postgres.server import RunningPostgres
from mapping.mapping_set import Mapping
from registry import errors
from registry.approvals import Approvals
from registry.audit import AuditTrail
from registry.experiments import Experiments
from registry.history import History
from registry.mapping_store import MappingStore
from registry.migrate import migrate
from registry.pool import Pool, TenantPool, open_pool, transaction
from registry.review import ReviewQueue
from registry.review_items import ReviewItem
from registry.settings import RegistrySettings

TABLES = ("source_entity", "mapping_registry", "set_revision", "experiment", "audit", "source_schema", "review_item")


@pytest.fixture(params=["superuser", "owner"])
def pool(request: pytest.FixtureRequest, postgres: RunningPostgres, database_url: str) -> Iterator[Pool]:
    """A registry that belongs to a superuser, whom no policy binds, or to a role that may only make roles."""
    if request.param == "superuser":
        with open_pool(RegistrySettings(database_url=SecretStr(database_url))) as opened:
            yield opened
        return
    name = f"aam_owner_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'x'").format(sql.Identifier(name)))
        admin.execute(sql.SQL("GRANT aam_tenant TO {} WITH ADMIN OPTION").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
    parts = urlsplit(postgres.database_url)
    with psycopg.connect(parts._replace(path=f"/{name}").geturl(), autocommit=True) as admin:
        admin.execute("CREATE EXTENSION vector")  # not a trusted one
    host = parts.netloc.rpartition("@")[2]
    url = parts._replace(netloc=f"{name}:x@{host}", path=f"/{name}").geturl()
    try:
        migrate(url)
        with open_pool(RegistrySettings(database_url=SecretStr(url))) as opened:
            yield opened
    finally:
        with psycopg.connect(postgres.database_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def filled(pool: Pool) -> Pool:
    """The same for all, for acme and for globex: a mapping, an experiment, a review item, a trail."""
    for tenant, whose in (("*", "all"), ("acme", "acme"), ("globex", "globex")):
        title = Mapping(canonical_entity="contact", canonical_field="title", source_field=f"{whose}_job")
        other = title.model_copy(update={"source_field": f"{whose}_role"})
        MappingStore(pool).set_mapping(
            tenant=tenant, connector="crm", entity="person", mapping=title, method="manual", actor="ann"
        )
        proposed = Approvals(pool).propose(tenant=tenant, connector="crm", entity="person", mapping=other, actor="bob")
        Experiments(pool).start([proposed.id], percent=10, actor="ann")
        asked = ReviewItem(tenant, "crm", "person", f"{whose}_x", "contact", [], "why", {}, 1, 0.5)
        ReviewQueue(pool).add([asked])
    return pool


def test_a_tenant_sees_its_own_and_what_is_for_all(filled: Pool) -> None:
    acme = TenantPool(filled, "acme")
    assert {v.key[0] for v in MappingStore(acme).list_mappings(history=True)} == {"*", "acme"}
    assert {entry.tenant for entry in AuditTrail(acme).read()} == {"*", "acme"}
    assert {group.item.tenant for group in ReviewQueue(acme).list()} == {"*", "acme"}
    assert {e.key[0] for e in Experiments(acme).find()} == {"*", "acme"}
    assert MappingStore(acme).load_set("globex", "crm", "person") is None
    own = History(acme).composed_set(6, "acme", "crm", "person")
    assert own is not None
    assert [m.source_field for m in own.mappings] == ["acme_job"]
    others = History(acme).composed_set(6, "globex", "crm", "person")
    assert others is not None
    assert [m.source_field for m in others.mappings] == ["all_job"]


def test_a_tenant_has_no_row_of_another_in_any_table(filled: Pool) -> None:
    with transaction(TenantPool(filled, "acme")) as connection:
        for table in TABLES:
            seen = {row[0] for row in connection.execute(f"SELECT DISTINCT tenant FROM {table}".encode())}
            assert seen <= {"*", "acme"}
            if table != "source_schema":
                assert seen == {"*", "acme"}, table


def test_a_session_that_does_not_say_who_it_is_sees_nothing(filled: Pool) -> None:
    with transaction(filled) as connection:
        connection.execute("SET LOCAL ROLE aam_tenant")
        for table in TABLES:
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)
        for nobody in ("", "*"):
            connection.execute("SELECT set_config('aam.tenant', %s, true)", (nobody,))
            assert connection.execute("SELECT count(*) FROM mapping_registry").fetchone() == (0,)


def test_a_tenants_session_writes_nothing_and_leaves_nothing_behind(filled: Pool) -> None:
    before = len(MappingStore(filled).list_mappings(history=True))
    title = Mapping(canonical_entity="contact", canonical_field="lead_source", source_field="x")
    with pytest.raises(errors.RegistryMisconfigured, match="permission denied"):
        MappingStore(TenantPool(filled, "acme")).set_mapping(
            tenant="acme", connector="crm", entity="person", mapping=title, method="manual", actor="eve"
        )
    assert len(MappingStore(filled).list_mappings(history=True)) == before


def test_the_mesh_itself_sees_all(filled: Pool) -> None:
    assert {v.key[0] for v in MappingStore(filled).list_mappings()} == {"*", "acme", "globex"}


@pytest.mark.parametrize("pool", ["owner"], indirect=True)
def test_the_owner_is_bound_as_well_once_it_says_for_whom_it_asks(filled: Pool) -> None:
    with transaction(filled) as connection:
        connection.execute("SET LOCAL aam.tenant = 'acme'")
        seen = {row[0] for row in connection.execute("SELECT DISTINCT tenant FROM mapping_registry")}
    assert seen == {"*", "acme"}


@pytest.mark.parametrize("nobody", ["", "*"])
@pytest.mark.parametrize("pool", ["superuser"], indirect=True)
def test_all_tenants_are_no_tenant(pool: Pool, nobody: str) -> None:
    with pytest.raises(errors.InvalidDecision, match="is no tenant"):
        TenantPool(pool, nobody)
