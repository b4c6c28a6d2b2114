"""Versions of source schemas, and which paths each one added."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from registry.pool import Pool, open_pool
from registry.settings import RegistrySettings
from registry.source_schemas import Observation, SourceSchemas
from schemas.messages import SchemaChange, SourceField

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with open_pool(RegistrySettings(database_url=SecretStr(database_url))) as opened:
        yield opened


@pytest.fixture
def schemas(pool: Pool) -> SourceSchemas:
    return SourceSchemas(pool)


def seen(*paths: str, minutes: int = 0, connection: str = "crm") -> SchemaChange:
    return SchemaChange(
        tenant="t1",
        connector="crm",
        entity="person",
        connection=connection,
        source="sample",
        fields=tuple(SourceField(path=path, types=("string",)) for path in paths),
        observed_at=NOON + timedelta(minutes=minutes),
    )


def test_only_a_change_of_shape_is_a_version(schemas: SourceSchemas) -> None:
    assert schemas.observe(seen("a", "b")) == Observation(1, ("a", "b"))
    assert schemas.observe(seen("b", "a", minutes=1)) == Observation(1, ())
    assert schemas.observe(seen("a", "c", "b", minutes=2)) == Observation(2, ("c",))
    assert schemas.observe(seen("a", minutes=3)) == Observation(3, ())
    assert schemas.observe(seen("a", "b", minutes=4)) == Observation(4, ("b",))


def test_the_same_message_again_gets_the_same_answer(schemas: SourceSchemas) -> None:
    schemas.observe(seen("a"))
    answer = schemas.observe(seen("a", "b", minutes=1))
    assert answer == schemas.observe(seen("a", "b", minutes=1)) == Observation(2, ("b",))


def test_what_was_seen_earlier_but_comes_late_changes_nothing(schemas: SourceSchemas) -> None:
    schemas.observe(seen("a"))
    schemas.observe(seen("a", minutes=5))
    assert schemas.observe(seen("b", minutes=3)) == Observation(1, ())


def test_connections_are_apart(schemas: SourceSchemas) -> None:
    schemas.observe(seen("a"))
    assert schemas.observe(seen("b", connection="crm-two")) == Observation(1, ("b",))
    latest = schemas.latest(tenant="t1", connector="crm", entity="person", connection="crm-two")
    assert latest is not None
    assert [field.path for field in latest.fields] == ["b"]
    assert schemas.latest(tenant="t2", connector="crm", entity="person", connection="crm") is None


def test_concurrent_observers_write_one_version(schemas: SourceSchemas) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: schemas.observe(seen("a")), range(16)))
    assert answers == [Observation(1, ("a",))] * 16
