"""Vectors in pgvector: put, nearest, and a change of the embedder while lookups go on."""

from collections.abc import Iterator, Sequence

import numpy as np
import psycopg
import pytest
from pydantic import SecretStr

from mapping.candidates import Vectors
from registry import errors, vector_sets, vectors
from registry.pool import Pool, open_pool
from registry.settings import RegistrySettings
from registry.vector_sets import fill, reembed
from registry.vectors import EmbeddedText, EmbedderId, VectorStore

OLD = EmbedderId("old", 8)
NEW = EmbedderId("new", 12)


def unit(texts: Sequence[str], dimension: int, seed: int = 0) -> Vectors:
    """A vector of each text, the same for the same text."""
    rows = [np.random.default_rng([seed, *text.encode()]).standard_normal(dimension) for text in texts]
    found = np.array(rows, dtype=np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def fields(count: int, *, entity: str = "customer") -> list[EmbeddedText]:
    return [EmbeddedText("mapping", f"{entity}/{n}", f"{entity} field {n}", entity) for n in range(count)]


def put(store: VectorStore, texts: Sequence[EmbeddedText], embedder: EmbedderId = OLD) -> None:
    store.put(embedder, texts, unit([text.text for text in texts], embedder.dimension))


def query(text: str, embedder: EmbedderId = OLD) -> Vectors:
    found: Vectors = unit([text], embedder.dimension)[0]
    return found


def is_same(found: tuple[str, float], key: str) -> bool:
    return found[0] == key and abs(found[1] - 1) < 1e-6


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    settings = RegistrySettings(DATABASE_URL=SecretStr(database_url))  # type: ignore[call-arg]  # an alias
    with open_pool(settings) as opened:
        yield opened


def test_the_nearest_of_a_kind_and_entity_come_in_order(pool: Pool) -> None:
    store = VectorStore(pool)
    assert store.current() is None
    assert store.nearest(query("x"), 3, kind="mapping") == []
    texts = [*fields(20), *fields(20, entity="invoice"), EmbeddedText("target", "customer.name", "customer field 7")]
    put(store, texts)
    assert store.current() == OLD
    found = store.nearest(query("customer field 7"), 5, kind="mapping")
    scores = unit([text.text for text in texts[:40]], 8) @ query("customer field 7")
    expected = [texts[index].key for index in np.argsort(-scores)[:5]]
    assert [key for key, _ in found] == expected
    assert is_same(found[0], "customer/7")
    of_invoices = store.nearest(query("customer field 7"), 30, kind="mapping", canonical_entity="invoice")
    assert {key.partition("/")[0] for key, _ in of_invoices} == {"invoice"}
    assert len(of_invoices) == 20
    assert [key for key, _ in store.nearest(query("customer field 7"), 1, kind="target")] == ["customer.name"]


def test_a_key_has_its_latest_text_and_can_be_removed(pool: Pool) -> None:
    store = VectorStore(pool)
    put(store, [EmbeddedText("mapping", "a", "one"), EmbeddedText("mapping", "b", "two")])
    put(store, [EmbeddedText("mapping", "a", "three")])
    assert is_same(store.nearest(query("three"), 1, kind="mapping")[0], "a")
    store.remove("mapping", ["a"])
    assert [key for key, _ in store.nearest(query("three"), 5, kind="mapping")] == ["b"]


def test_vectors_of_another_shape_are_refused(pool: Pool) -> None:
    store = VectorStore(pool)
    with pytest.raises(errors.RegistryBug):
        store.put(OLD, fields(2), unit(["one"], 8))
    put(store, fields(2))
    with pytest.raises(errors.RegistryBug):
        store.nearest(query("x", NEW), 1, kind="mapping")


def test_lookups_read_the_old_set_until_the_new_one_is_complete(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_sets, "BATCH_ROWS", 10)
    store = VectorStore(pool)
    put(store, fields(35))
    sizes: list[int] = []

    def embed(texts: Sequence[str]) -> Vectors:
        sizes.append(len(texts))
        assert store.current() == OLD
        assert len(store.nearest(query("customer field 3"), 35, kind="mapping")) == 35
        if len(sizes) == 2:  # what comes meanwhile is not forgotten
            put(
                store, [EmbeddedText("mapping", "0 first of all", "late"), EmbeddedText("mapping", "customer/3", "new")]
            )
            store.remove("mapping", ["customer/9"])
        return unit(texts, NEW.dimension)

    embedded = reembed(pool, NEW, embed)
    assert embedded == sum(sizes)
    assert max(sizes) == 10
    assert store.current() == NEW
    assert is_same(store.nearest(query("late", NEW), 1, kind="mapping")[0], "0 first of all")
    assert is_same(store.nearest(query("new", NEW), 1, kind="mapping")[0], "customer/3")
    assert len(store.nearest(query("late", NEW), 99, kind="mapping")) == 35
    # who still has the old embedder goes on with it
    assert store.nearest(query("new"), 1, kind="mapping", embedder=OLD)[0][0] == "customer/3"
    assert reembed(pool, NEW, embed) == 0
    assert store.nearest(query("new"), 1, kind="mapping", embedder=OLD) == []


def test_a_stopped_change_goes_on_where_it_was(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_sets, "BATCH_ROWS", 10)
    store = VectorStore(pool)
    put(store, fields(35))
    asked = iter([False, False, True, True])
    assert reembed(pool, NEW, lambda texts: unit(texts, 12), stopped=lambda: next(asked)) == 20
    assert store.current() == OLD
    assert reembed(pool, NEW, lambda texts: unit(texts, 12)) == 15
    assert store.current() == NEW


def test_a_large_set_is_looked_up_through_its_index(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (vectors, vector_sets):
        monkeypatch.setattr(module, "EXACT_ROWS", 200)
    store = VectorStore(pool)
    put(store, [*fields(1500), *fields(20, entity="invoice")])
    assert fill(pool, OLD, lambda texts: unit(texts, 8)) == 0
    assert fill(pool, OLD, lambda texts: unit(texts, 8)) == 0
    with psycopg.connect(database_url) as connection:
        indexes = {
            row[0] for row in connection.execute("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%hnsw%'")
        }
        assert indexes == {"embedding_1_mapping"}
        statement = vectors.nearest_statement(
            vectors.VectorSet(1, OLD), "mapping", of_entity=False, exact=False
        ).as_string(connection)
        values = {"vector": vectors.as_text(query("customer field 3")), "k": 10}
        plan = str(connection.execute("EXPLAIN " + statement, values).fetchall())
        assert "embedding_1_mapping" in plan
    hits = 0
    for number in range(0, 1500, 50):
        approximate = store.nearest(query(f"customer field {number}"), 10, kind="mapping")
        hits += approximate[0][0] == f"customer/{number}"
    assert hits == 30
    assert len(store.nearest(query("x"), 20, kind="mapping", canonical_entity="invoice")) == 20


def test_a_wide_embedder_has_an_index_too(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = EmbedderId("wide", 3072)
    for module in (vectors, vector_sets):
        monkeypatch.setattr(module, "EXACT_ROWS", 5)
    store = VectorStore(pool)
    put(store, fields(10), wide)
    fill(pool, wide, lambda texts: unit(texts, 3072))
    assert store.nearest(query("customer field 3", wide), 1, kind="mapping")[0][0] == "customer/3"
