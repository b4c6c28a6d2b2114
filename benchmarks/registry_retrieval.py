"""Ten nearest neighbours among 100,000 vectors: the index beside the exact scan, in time and in what they find.

The vectors are of the local embedder, of field descriptions put together from the words of the canonical model and of
APIs in general: they lie as close together as real ones do, unlike random vectors.
"""

import itertools
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from inference.local_embedder import LocalEmbedder
from mapping.candidates import Vectors
from registry.pool import Pool, transaction
from registry.vector_sets import fill
from registry.vectors import (
    EF_SEARCH,
    EmbeddedText,
    EmbedderId,
    VectorStore,
    as_text,
    find_set,
    nearest_statement,
)
from schemas.canonical_model import load_entities
from schemas.failures import Bug

VECTORS: Final = 100_000
NEIGHBOURS: Final = 10
PUT_ROWS: Final = 2_000
_TIE: Final = 1e-5  # as near as the tenth, at the seven digits that are stored

_BEFORE: Final = (
    *("", "billing", "shipping", "primary", "secondary", "original", "default", "internal", "external", "last"),
    *("first", "next", "previous", "total", "net", "parent", "linked", "custom", "legacy", "remote"),
)
_AFTER: Final = (
    "",
    "id",
    "name",
    "code",
    "type",
    "date",
    "at",
    "count",
    "value",
    "text",
    "url",
    "flag",
    "status",
    "label",
)


def measure(pool: Pool, queries: int) -> tuple[list[dict[str, Any]], float, float]:
    """Rows of exact scans by size and of the index, its p99 in milliseconds, its recall@10."""
    local = LocalEmbedder()
    embedder, store = EmbedderId(local.name, local.dimension), VectorStore(pool)
    texts = _texts()
    vectors = local.embed([text.text for text in texts])
    asked = local.embed(_questions(queries))
    rows, started, put = [], time.perf_counter(), 0
    for size in (5_000, 10_000, 20_000, 50_000, VECTORS):
        for start in range(put, size, PUT_ROWS):
            part = slice(start, min(size, start + PUT_ROWS))
            store.put(embedder, texts[part], vectors[part])
        put = size
        times = _exact_times(pool, embedder, asked[: max(50, queries // 8)])
        rows.append(_row(f"10 nearest of {size:,}, all compared", times))
    put_seconds = time.perf_counter() - started
    started = time.perf_counter()
    fill(pool, embedder, local.embed)
    rows.append({"what": f"HNSW index of {VECTORS:,}", "seconds": round(time.perf_counter() - started, 1)})
    rows.append({"what": f"put of {VECTORS:,} and the scans between", "seconds": round(put_seconds, 1)})
    found, times = _through_index(store, asked)
    rows.append(_row(f"10 nearest of {VECTORS:,}, HNSW, ef_search {EF_SEARCH}", times))
    return rows, rows[-1]["p99_ms"], _recall(asked, vectors, [text.key for text in texts], found)


def _texts() -> list[EmbeddedText]:
    """Distinct descriptions, in an order that mixes entities."""
    fields = [(name, path, field) for name, entity in load_entities().items() for path, field in entity.targets()]
    words = sorted({word for _, path, field in fields for word in (path.replace("[].", " "), *field.synonyms)})
    entities = list(load_entities())
    every = [
        (entity, f"{entity} {' '.join(filter(None, (before, word, after)))}".replace("_", " "))
        for word, before, after, entity in itertools.product(words, _BEFORE, _AFTER, entities)
    ]
    chosen = random.Random(7).sample(every, VECTORS)  # noqa: S311  # which texts is no secret
    return [EmbeddedText("mapping", f"{number}", text, entity) for number, (entity, text) in enumerate(chosen)]


def _questions(queries: int) -> list[str]:
    """Descriptions of new fields: other words around the same things."""
    choose = random.Random(11)  # noqa: S311  # as above
    words = sorted(
        {word for entity in load_entities().values() for _, field in entity.targets() for word in field.synonyms}
    )
    return [
        f"{choose.choice(('crm', 'shop', 'helpdesk', 'ads'))} {choose.choice(words)} {choose.choice(words)}"
        for _ in range(queries)
    ]


def _exact_times(pool: Pool, embedder: EmbedderId, asked: Vectors) -> list[float]:
    times = []
    for vector in asked:
        started = time.perf_counter()
        with transaction(pool) as connection:
            found = find_set(connection, embedder)
            if found is None:
                raise Bug("the vectors are gone")
            statement = nearest_statement(found, "mapping", of_entity=False, exact=True)
            rows = connection.execute(statement, {"vector": as_text(vector), "k": NEIGHBOURS}).fetchall()
        times.append((time.perf_counter() - started) * 1_000)
        assert len(rows) == NEIGHBOURS
    return times


def _through_index(store: VectorStore, asked: Vectors) -> tuple[list[list[str]], list[float]]:
    for vector in asked[:50]:
        store.nearest(vector, NEIGHBOURS, kind="mapping")
    found, times = [], []
    for vector in asked:
        started = time.perf_counter()
        found.append([key for key, _ in store.nearest(vector, NEIGHBOURS, kind="mapping")])
        times.append((time.perf_counter() - started) * 1_000)
    return found, times


def _recall(asked: Vectors, vectors: Vectors, keys: Sequence[str], found: Sequence[Sequence[str]]) -> float:
    """Share of the found that are as near as the true tenth: neighbours at the same distance are as good."""
    place = {key: index for index, key in enumerate(keys)}
    hits = 0
    for vector, neighbours in zip(asked, found, strict=True):
        similar = vectors @ vector
        tenth = np.partition(similar, -NEIGHBOURS)[-NEIGHBOURS]
        hits += sum(similar[place[key]] >= tenth - _TIE for key in neighbours)
    return round(hits / (NEIGHBOURS * len(asked)), 4)


def _row(what: str, milliseconds: Sequence[float]) -> dict[str, Any]:
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {"what": what, "p50_ms": round(cuts[49], 3), "p99_ms": round(cuts[98], 3)}
