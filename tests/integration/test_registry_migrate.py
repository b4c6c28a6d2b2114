"""The schema of the registry: built from nothing, once, whoever else is building it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from registry import errors
from registry.migrate import Migration, load_migrations, migrate

NAMES = [migration.name for migration in load_migrations()]


def test_an_empty_database_gets_every_migration_once(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == NAMES
    assert migrate(empty_database_url) == []


def test_concurrent_migrations_apply_each_once(empty_database_url: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        applied = list(threads.map(lambda _: migrate(empty_database_url), range(8)))
    assert sorted(applied, key=len)[-1] == NAMES
    assert sum(map(len, applied)) == len(NAMES)


def test_a_changed_migration_is_refused(empty_database_url: str) -> None:
    migrate(empty_database_url)
    first, *others = load_migrations()
    with pytest.raises(errors.RegistryMisconfigured, match="0001_mapping_registry was changed"):
        migrate(empty_database_url, [replace(first, sql=first.sql + "\n-- later\n"), *others])


def test_a_newer_database_is_refused(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with pytest.raises(errors.RegistryMisconfigured, match="needs a newer AAM"):
        migrate(empty_database_url, load_migrations()[:-1])


def test_a_failing_migration_leaves_nothing_of_itself(empty_database_url: str) -> None:
    broken = Migration(1, "0001_broken", "CREATE TABLE half (id int); SELECT 1 / 0;")
    with pytest.raises(errors.InvalidMapping):
        migrate(empty_database_url, [broken])
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)
        assert connection.execute("SELECT count(*) FROM schema_migration").fetchone() == (0,)


def test_a_missing_extension_is_named(empty_database_url: str) -> None:
    with pytest.raises(errors.RegistryMisconfigured, match="pgvector"):
        migrate(empty_database_url, [Migration(1, "0001_absent", "CREATE EXTENSION IF NOT EXISTS absent_for_test")])


def test_a_wrong_address_is_told_without_its_password() -> None:
    with pytest.raises(errors.RegistryMisconfigured) as raised:
        migrate("postgresql://user:secret@127.0.0.1/db?secret=yes")
    assert "secret" not in str(raised.value)
    with pytest.raises(errors.RegistryUnavailable) as unavailable:
        migrate("postgresql://user:secret@127.0.0.1:1/db")
    assert "secret" not in str(unavailable.value)


def test_the_ground_rules_hold_in_the_database_itself(empty_database_url: str) -> None:
    migrate(empty_database_url)
    insert = """
        INSERT INTO mapping_registry (source_system, source_entity, source_field, canonical_entity, canonical_field,
            transform, confidence, method, created_by, version, revision, is_active, status)
        VALUES ('crm', 'person', %s, 'contact', 'title', '{"op": "copy"}', 1, 'manual', 'a', %s, 1, true, 'active')
    """
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO source_entity (tenant, source_system, source_entity, revision) "
            "VALUES ('*', 'crm', 'person', 1)"
        )
        connection.execute(insert, ("a", 1))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(insert, ("b", 2))
        for forbidden in (
            "UPDATE mapping_registry SET source_field = 'c'",
            "UPDATE mapping_registry SET is_active = false, status = 'superseded', confidence = 0.5",
            "UPDATE mapping_registry SET is_active = false",
            "UPDATE mapping_registry SET active_from = 7",
            "UPDATE mapping_registry SET is_active = false, status = 'trial'",
            "DELETE FROM mapping_registry",
            "TRUNCATE mapping_registry",
        ):
            with pytest.raises(psycopg.errors.IntegrityError):
                connection.execute(forbidden)
        connection.execute("UPDATE mapping_registry SET is_active = false, status = 'superseded', active_until = 2")
        with pytest.raises(psycopg.errors.IntegrityError):
            connection.execute("UPDATE mapping_registry SET is_active = true, status = 'active'")
