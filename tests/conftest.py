"""Fixtures that tests share: a real Kafka and a real Postgres, each started at most once a run and only when a test
asks, and a fresh database per test. A service that can't be had fails the test; nothing is skipped.

KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, if set, name running ones to use instead (the user of the latter must be able
to create databases)."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
    with owned_kafka(services_root, volatile=True) as running:
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

    name = _create_database(postgres.database_url, "template1")
    migrate(_address_of(postgres.database_url, name))
    yield name
    _drop_database(postgres.database_url, name)


@pytest.fixture(scope="session")
def spare_databases(postgres: RunningPostgres, migrated_template: str) -> Iterator[Callable[[], str]]:
    """Gives the name of a migrated database; the next is copied meanwhile, for a copy takes longer than most tests."""
    server = postgres.database_url
    with ThreadPoolExecutor(1) as thread:
        spare = thread.submit(_create_database, server, migrated_template)

        def take() -> str:
            nonlocal spare
            taken, spare = spare.result(), thread.submit(_create_database, server, migrated_template)
            return taken

        yield take
        _drop_database(server, spare.result())


@pytest.fixture
def database_url(postgres: RunningPostgres, spare_databases: Callable[[], str]) -> Iterator[str]:
    """A fresh, migrated database of this test alone; dropped afterwards, sessions included."""
    name = spare_databases()
    yield _address_of(postgres.database_url, name)
    _drop_database(postgres.database_url, name)


@pytest.fixture
def empty_database_url(postgres: RunningPostgres) -> Iterator[str]:
    """A fresh database of this test alone without any migration, for tests of migrations themselves."""
    name = _create_database(postgres.database_url, "template1")
    yield _address_of(postgres.database_url, name)
    _drop_database(postgres.database_url, name)


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


def _create_database(server_url: str, template: str) -> str:
    name = f"aam_test_{secrets.token_hex(6)}"
    # FILE_COPY, for the other strategy writes every page to the log as well
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    return name


def _drop_database(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _address_of(server_url: str, database: str) -> str:
    return urlsplit(server_url)._replace(path=f"/{database}").geturl()
