"""Fills the set of vectors of an embedder and moves the lookups to it.

The work goes in bounded batches, each a transaction of its own: lookups read the old set until the new one is complete,
and a run that was cut short goes on where it was. Run it in a thread; it needs no other caller to wait.
"""

from collections.abc import Callable, Sequence
from typing import Final

from psycopg import sql

from mapping.candidates import Vectors
from registry.pool import Pool, dedicated_connection, transaction
from registry.vectors import (
    EXACT_ROWS,
    STATEMENTS,
    EmbedderId,
    Kind,
    VectorSet,
    count_rows,
    find_set,
    make_set,
    put_vectors,
)

BATCH_ROWS: Final = 500
HNSW_GRAPH: Final = "WITH (m = 24, ef_construction = 128)"
"""Denser than pgvector's default of 16 and 64, with which field descriptions, which lie close together, are missed."""

KINDS: Final[tuple[Kind, ...]] = ("mapping", "target")

Embed = Callable[[Sequence[str]], Vectors]
"""Texts → one unit row each, as `mapping.candidates.Embedder.embed`."""


def reembed(pool: Pool, embedder: EmbedderId, embed: Embed, *, stopped: Callable[[], bool] = lambda: False) -> int:
    """Makes `embedder` the current one: completes its set, indexes it, then lets lookups read it.

    Returns the number of texts embedded. `stopped` is asked before each batch; a stopped run changes nothing that a
    lookup sees. Sets that are neither the current one nor this one are dropped.
    """
    _drop_others(pool, embedder)
    embedded = fill(pool, embedder, embed, stopped=stopped)
    while not stopped():
        missing = _switch(pool, embedder)
        if not missing:
            break
        embedded += fill(pool, embedder, embed, stopped=stopped)
    return embedded


def fill(pool: Pool, embedder: EmbedderId, embed: Embed, *, stopped: Callable[[], bool] = lambda: False) -> int:
    """Embeds the texts that the set of `embedder` lacks, or has of another wording; the number of them.

    Builds the set's indexes if it has outgrown a full comparison.
    """
    with transaction(pool) as connection:
        filled = find_set(connection, embedder) or make_set(connection, embedder)
    embedded = 0
    after = ("", "")
    while not stopped():
        with transaction(pool) as connection:
            rows = connection.execute(
                _missing(filled), {"kind": after[0], "key": after[1], "most": BATCH_ROWS}
            ).fetchall()
        if not rows:
            break
        # Outside of any transaction: an embedder may be a network away.
        vectors = embed([text for _, _, _, text in rows])
        kinds, keys, entities, texts = (list(column) for column in zip(*rows, strict=True))
        with transaction(pool) as connection:
            kept = connection.execute(STATEMENTS["lock_embedded_texts"], {"kinds": kinds, "keys": keys}).fetchall()
            alive = [index for index, row in enumerate(rows) if (row[0], row[1]) in set(kept)]
            columns = {"kinds": kinds, "keys": keys, "entities": entities, "texts": texts}
            chosen = {name: [values[index] for index in alive] for name, values in columns.items()}
            put_vectors(connection, filled, chosen, vectors[alive])
        embedded += len(rows)
        after = rows[-1][:2]
    _index(pool, filled)
    return embedded


def _missing(filled: VectorSet) -> sql.Composed:
    return sql.SQL(
        "SELECT kind, key, text.canonical_entity, text FROM embedded_text AS text LEFT JOIN {table} USING (kind, key)"
        " WHERE (kind, key) > (%(kind)s, %(key)s) AND text_md5 IS DISTINCT FROM md5(text)::uuid"
        " ORDER BY kind, key LIMIT %(most)s"
    ).format(table=filled.table)


def _switch(pool: Pool, embedder: EmbedderId) -> bool:
    """Makes the set the current one, unless texts came while it was filled; whether some did."""
    with transaction(pool) as connection:
        connection.execute(b"LOCK TABLE embedded_text IN SHARE MODE")  # no `put` between the look and the switch
        filled = find_set(connection, embedder) or make_set(connection, embedder)
        if connection.execute(_missing(filled), {"kind": "", "key": "", "most": 1}).fetchone():
            return True
        connection.execute(STATEMENTS["retire_embedder"])
        connection.execute(STATEMENTS["make_embedder_current"], {"id": filled.id})
        return False


def _index(pool: Pool, filled: VectorSet) -> None:
    """Builds the HNSW index of each kind that has outgrown a full comparison; nobody waits for it."""
    for kind in KINDS:
        with transaction(pool) as connection:
            due = count_rows(connection, filled, kind) > EXACT_ROWS
        if due:
            _build(pool, filled, kind)


def _build(pool: Pool, filled: VectorSet, kind: Kind) -> None:
    name = f"embedding_{filled.id}_{kind}"
    connection = dedicated_connection(pool)
    try:
        row = connection.execute(STATEMENTS["find_index"], {"name": name}).fetchone()
        if row is not None and row[0]:
            return
        if row is not None:  # a build that was cut short leaves an index that nobody may use
            connection.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(name)))
        connection.execute(b"SET maintenance_work_mem = '512MB'")  # the graph of 100,000 × 256 fits
        connection.execute(
            sql.SQL(
                "CREATE INDEX CONCURRENTLY {name} ON {table} USING hnsw (embedding {ops}) {graph} WHERE kind = {kind}"
            ).format(
                name=sql.Identifier(name),
                table=filled.table,
                ops=sql.SQL(f"{filled.base_type}_ip_ops"),
                graph=sql.SQL(HNSW_GRAPH),
                kind=sql.Literal(kind),
            )
        )
        connection.execute(sql.SQL("ANALYZE {}").format(filled.table))  # or the planner takes the set for a small one
    finally:
        connection.close()


def _drop_others(pool: Pool, embedder: EmbedderId) -> None:
    wanted = {"name": embedder.name, "dimension": embedder.dimension}
    with transaction(pool) as connection:
        for (identity,) in connection.execute(STATEMENTS["forget_other_embedders"], wanted).fetchall():
            connection.execute(sql.SQL("DROP TABLE {}").format(VectorSet(identity, embedder).table))
