"""Nearest neighbours among the embeddings of known mappings and canonical fields, in pgvector.

Every embedder fills a table of its own, with a vector column of its dimension. Up to `EXACT_ROWS` rows a lookup
compares with all of them, above that it goes through an HNSW index. Making vectors is the callers' part; a set for a
new embedder is made by `registry.vector_sets`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from psycopg import sql

from mapping.candidates import Vectors
from registry import errors
from registry.pool import Connection, Pool, transaction
from registry.queries import parse

Kind = Literal["mapping", "target"]
"""A known mapping's source field, or a canonical field."""

EXACT_ROWS: Final = 10_000
"""Rows of a kind up to which comparing with all is quick enough (`make bench-registry` shows both ways)."""

EF_SEARCH: Final = 160
"""Candidates that HNSW keeps while it looks: recall against time (github.com/pgvector/pgvector, Query Options)."""

STATEMENTS: Final[Mapping[str, bytes]] = parse(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))

_COUNTED_SECONDS: Final = 60.0
_WIDEST_VECTOR: Final = 2_000  # dimensions that pgvector can index as `vector`; beyond, as `halfvec`


@dataclass(frozen=True)
class EmbedderId:
    """Which embedder made a vector. Vectors of two embedders say nothing about each other."""

    name: str
    dimension: int


@dataclass(frozen=True)
class EmbeddedText:
    """What a vector stands for. `key` is the caller's, unique per kind; no value of a record may stand in `text`."""

    kind: Kind
    key: str
    text: str
    canonical_entity: str | None = None


@dataclass(frozen=True)
class VectorSet:
    """The table of one embedder."""

    id: int
    embedder: EmbedderId

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(f"embedding_{self.id}")

    @property
    def type(self) -> sql.Composed:
        """The column's type, with its dimension."""
        return sql.SQL("{}({})").format(sql.SQL(self.base_type), sql.Literal(self.embedder.dimension))

    @property
    def base_type(self) -> Literal["vector", "halfvec"]:
        return "vector" if self.embedder.dimension <= _WIDEST_VECTOR else "halfvec"


class VectorStore:
    """The vectors of every embedder. All methods raise RegistryUnavailable (retry) and RegistryMisconfigured."""

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        # (set, kind, canonical entity) -> (when it was counted, whether all rows are compared)
        self._small: dict[tuple[int, str, str | None], tuple[float, bool]] = {}

    def current(self) -> EmbedderId | None:
        """The embedder whose vectors lookups are to be made with; None before the first `put`."""
        with transaction(self._pool) as connection:
            found = find_set(connection, None)
            return found.embedder if found else None

    def put(self, embedder: EmbedderId, texts: Sequence[EmbeddedText], vectors: Vectors) -> None:
        """Stores `vectors` (one row a text, of length 1 or all zero) under the texts' keys, over what was there.

        The first embedder ever put becomes the current one. Another one's set may stay incomplete until
        `registry.vector_sets` completes it.
        """
        if vectors.shape != (len(texts), embedder.dimension):
            raise errors.RegistryBug(f"{len(texts)} texts with vectors of shape {vectors.shape}")
        if not texts:
            return
        with transaction(self._pool) as connection:
            into = find_set(connection, embedder) or make_set(connection, embedder)
            columns = _columns(texts)
            connection.execute(STATEMENTS["put_embedded_texts"], columns)
            put_vectors(connection, into, columns, vectors)

    def remove(self, kind: Kind, keys: Sequence[str]) -> None:
        """Forgets these keys, for every embedder."""
        with transaction(self._pool) as connection:
            connection.execute(STATEMENTS["remove_embedded_texts"], {"kind": kind, "keys": list(keys)})

    def nearest(
        self,
        vector: Vectors,
        k: int,
        *,
        kind: Kind,
        canonical_entity: str | None = None,
        embedder: EmbedderId | None = None,
    ) -> list[tuple[str, float]]:
        """(key, cosine similarity −1 to 1) of the `k` vectors of `kind` closest to `vector`, closest first.

        Args:
            vector: one embedding of length 1, made by `embedder` (None: the current one).
            canonical_entity: only keys of this entity.
        """
        with transaction(self._pool) as connection:
            found = find_set(connection, embedder)
            if found is None:
                return []
            if vector.shape != (found.embedder.dimension,):
                raise errors.RegistryBug(f"a vector of shape {vector.shape} is not one of {found.embedder.name}")
            exact = self._compares_all(connection, found, kind, canonical_entity)
            if not exact:
                connection.execute(STATEMENTS["set_hnsw"], {"ef_search": str(max(EF_SEARCH, k))})
            values = {"vector": as_text(vector), "entity": canonical_entity, "k": k}
            statement = nearest_statement(found, kind, of_entity=canonical_entity is not None, exact=exact)
            return [(key, float(similarity)) for key, similarity in connection.execute(statement, values)]

    def _compares_all(self, connection: Connection, found: VectorSet, kind: Kind, entity: str | None) -> bool:
        known = self._small.get((found.id, kind, entity))
        now = self._clock()
        if known is None or now - known[0] > _COUNTED_SECONDS:
            known = (now, count_rows(connection, found, kind, entity) <= EXACT_ROWS)
            self._small[found.id, kind, entity] = known
        return known[1]


def find_set(connection: Connection, embedder: EmbedderId | None) -> VectorSet | None:
    """The set of `embedder`, or the current one; None if there is none."""
    wanted = {"name": embedder.name if embedder else None, "dimension": embedder.dimension if embedder else None}
    row = connection.execute(STATEMENTS["find_embedder"], wanted).fetchone()
    return VectorSet(row[0], EmbedderId(row[1], row[2])) if row else None


def make_set(connection: Connection, embedder: EmbedderId) -> VectorSet:
    """The set of `embedder`, empty if there was none; the current one if it is the first of all."""
    connection.execute(b"LOCK TABLE embedder IN SHARE ROW EXCLUSIVE MODE")  # two makers of one table
    found = find_set(connection, embedder)
    if found is not None:
        return found
    columns = {"name": embedder.name, "dimension": embedder.dimension}
    row = connection.execute(STATEMENTS["add_embedder"], columns).fetchone()
    assert row is not None
    made = VectorSet(row[0], embedder)
    connection.execute(
        sql.SQL(
            "CREATE TABLE {table} (kind text NOT NULL, key text NOT NULL, canonical_entity text,"
            " text_md5 uuid NOT NULL, embedding {type} NOT NULL, PRIMARY KEY (kind, key),"
            " FOREIGN KEY (kind, key) REFERENCES embedded_text ON DELETE CASCADE)"
        ).format(table=made.table, type=made.type)
    )
    connection.execute(sql.SQL("CREATE INDEX ON {} (kind, canonical_entity)").format(made.table))
    return made


def put_vectors(connection: Connection, into: VectorSet, columns: dict[str, list[Any]], vectors: Vectors) -> None:
    """Stores `vectors` under the keys of `columns` (kinds, keys, texts, entities)."""
    statement = sql.SQL(
        "INSERT INTO {table} (kind, key, canonical_entity, text_md5, embedding)"
        " SELECT kind, key, entity, md5(text)::uuid, embedding::{type} FROM unnest("
        "%(kinds)s::text[], %(keys)s::text[], %(entities)s::text[], %(texts)s::text[], %(vectors)s::text[])"
        " AS row (kind, key, entity, text, embedding) ORDER BY kind, key"
        " ON CONFLICT (kind, key) DO UPDATE SET canonical_entity = EXCLUDED.canonical_entity,"
        " text_md5 = EXCLUDED.text_md5, embedding = EXCLUDED.embedding"
    ).format(table=into.table, type=into.type)
    connection.execute(statement, {**columns, "vectors": [as_text(vector) for vector in vectors]})


def count_rows(connection: Connection, found: VectorSet, kind: Kind, entity: str | None = None) -> int:
    """Rows of a kind, counted no further than one above `EXACT_ROWS`."""
    statement = sql.SQL(
        "SELECT count(*) FROM (SELECT FROM {table} WHERE kind = %(kind)s"
        " AND (%(entity)s::text IS NULL OR canonical_entity = %(entity)s) LIMIT %(most)s) AS counted"
    ).format(table=found.table)
    row = connection.execute(statement, {"kind": kind, "entity": entity, "most": EXACT_ROWS + 1}).fetchone()
    assert row is not None
    return int(row[0])


def nearest_statement(found: VectorSet, kind: Kind, *, of_entity: bool, exact: bool) -> sql.Composed:
    """The lookup. The kind stands in it as a literal, for the index covers one kind."""
    # An order by an expression, be it the same value, is none that the index could give.
    return sql.SQL(
        "SELECT key, -distance FROM ("
        "SELECT key, (embedding <#> %(vector)s::{type}){exact} AS distance FROM {table} WHERE kind = {kind}{entity}"
        " ORDER BY distance LIMIT %(k)s) AS nearest ORDER BY distance"
    ).format(
        type=sql.SQL(found.base_type),  # without the dimension: to check it would be a call for every row
        table=found.table,
        kind=sql.Literal(kind),
        entity=sql.SQL(" AND canonical_entity = %(entity)s" if of_entity else ""),
        exact=sql.SQL(" + 0" if exact else ""),
    )


def as_text(vector: Vectors) -> str:
    """As pgvector reads it; seven digits hold a 32-bit float as well as needed."""
    return f"[{','.join(map('{:.7g}'.format, np.asarray(vector, dtype=np.float32).tolist()))}]"


def _columns(texts: Sequence[EmbeddedText]) -> dict[str, list[Any]]:
    return {
        "kinds": [text.kind for text in texts],
        "keys": [text.key for text in texts],
        "entities": [text.canonical_entity for text in texts],
        "texts": [text.text for text in texts],
    }
