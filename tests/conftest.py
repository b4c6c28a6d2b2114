"""Fixtures that tests share: a real Kafka and a real Postgres, each started at most once a run and only when a test
asks, and a fresh database per test. A service that can't be had fails the test; nothing is skipped.

KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, if set, name running ones to use instead (the user of the latter must be able
to create databases)."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from infra.kafka.broker import RunningKafka, owned_kafka
from infra.postgres.server import RunningPostgres, owned_postgres


@pytest.fixture(scope="session")
def services_root() -> Iterator[Path]:
    """Folder of the run's own Kafka and Postgres; two runs side by side never meet."""
    with _folder_for_services() as folder:
        yield folder


@pytest.fixture
def fresh_root() -> Iterator[Path]:
    """Folder for services that a test starts itself."""
    with _folder_for_services() as folder:
        yield folder


@pytest.fixture(scope="session")
def kafka(services_root: Path) -> Iterator[RunningKafka]:
    """A Kafka shared by the run: use `unique` in the names of topics and groups."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield RunningKafka(given)
        return
    with owned_kafka(services_root) as running:
        yield running


@pytest.fixture(scope="session")
def postgres(services_root: Path) -> Iterator[RunningPostgres]:
    """A Postgres server shared by the run; tests want `database_url`."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield RunningPostgres(given)
        return
    with owned_postgres(services_root) as running:
        yield running


@pytest.fixture(scope="session")
def migrated_template(postgres: RunningPostgres) -> Iterator[str]:
    """Name of a database with all migrations applied, from which each test's own is copied."""
    from registry.migrate import migrate  # noqa: PLC0415 - tests without a database must not need the registry

    with _new_database(postgres.database_url, prefix="aam_template", template=None) as (name, url):
        migrate(url)
        yield name


@pytest.fixture
def database_url(postgres: RunningPostgres, migrated_template: str) -> Iterator[str]:
    """A fresh, migrated database of this test alone; dropped afterwards, sessions included."""
    with _new_database(postgres.database_url, prefix="aam_test", template=migrated_template) as (_, url):
        yield url


@pytest.fixture
def empty_database_url(postgres: RunningPostgres) -> Iterator[str]:
    """A fresh database of this test alone without any migration, for tests of migrations themselves."""
    with _new_database(postgres.database_url, prefix="aam_test", template=None) as (_, url):
        yield url


@pytest.fixture
def unique() -> str:
    """A short suffix that no other test or run uses, fit for names of topics, groups, tenants and tables."""
    return "t" + secrets.token_hex(4)


@contextmanager
def _folder_for_services() -> Iterator[Path]:
    """Not below pytest's tmp_path: root's Postgres runs as another account, and every pytest that starts closes the
    folder above all tmp_paths to other accounts, also under a running one's feet."""
    with tempfile.TemporaryDirectory(prefix="aam-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def _new_database(server_url: str, *, prefix: str, template: str | None) -> Iterator[tuple[str, str]]:
    name = f"{prefix}_{secrets.token_hex(6)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template or "template1")
    )
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(create)
    try:
        yield name, urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(drop)
