"""One source path's mappings: the tenant's own over everybody's."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from mapping.mapping_set import Mapping
from registry.lookup import find_mappings
from registry.mapping_store import MappingStore
from registry.pool import Pool, open_pool
from registry.settings import RegistrySettings


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    settings = RegistrySettings(DATABASE_URL=SecretStr(database_url))  # type: ignore[call-arg]  # an alias
    with open_pool(settings) as opened:
        yield opened


def put(pool: Pool, source: str, field: str, tenant: str = "*") -> None:
    mapping = Mapping(canonical_entity="account", canonical_field=field, source_field=source)
    MappingStore(pool).set_mapping(
        tenant=tenant, connector="crm", entity="Account", mapping=mapping, method="manual", actor="test"
    )


def found(pool: Pool, source: str, tenant: str = "acme") -> list[str]:
    mappings = find_mappings(pool, tenant=tenant, connector="crm", entity="Account", source_field=source)
    return [one.canonical_field for one in mappings]


def test_a_path_gives_its_targets_and_the_tenants_own_go_first(pool: Pool) -> None:
    put(pool, "Name", "name")
    put(pool, "Name", "description")
    put(pool, "Title", "name", tenant="acme")
    assert found(pool, "Name", tenant="other") == ["description", "name"]
    assert found(pool, "Name") == ["description"]
    assert found(pool, "Title") == ["name"]
    assert found(pool, "Title", tenant="other") == []
    put(pool, "Label", "name", tenant="acme")
    assert found(pool, "Title") == []
    # the connection goes back as it came
    with pool.connection() as connection:
        assert connection.autocommit is False


def test_a_path_longer_than_an_index_takes_is_found(pool: Pool) -> None:
    path = ".".join(f"level{n}" for n in range(5000))
    put(pool, path, "name")
    assert found(pool, path) == ["name"]
    assert found(pool, path + "x") == []
