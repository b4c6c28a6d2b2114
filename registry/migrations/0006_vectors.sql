-- Embeddings of known mappings and canonical fields, and which mapping files were imported.

-- One row per embedder that ever filled a set of vectors. The vectors are in a table of their own, `embedding_<id>`: an
-- index needs a fixed dimension, and a set that is no longer read goes with its table.
CREATE TABLE embedder (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    dimension integer NOT NULL CHECK (dimension BETWEEN 1 AND 4000),  -- pgvector's bound for an index on halfvec
    is_current boolean NOT NULL DEFAULT false,                -- its set is complete, and lookups read it
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, dimension)
);

CREATE UNIQUE INDEX embedder_one_current ON embedder (is_current) WHERE is_current;

-- What is embedded; from these texts another embedder makes its own set.
CREATE TABLE embedded_text (
    kind text NOT NULL CHECK (kind IN ('mapping', 'target')),
    key text NOT NULL CHECK (key <> ''),
    canonical_entity text,                                    -- null: none, or any
    text text NOT NULL,
    PRIMARY KEY (kind, key)
);

-- One row per version of a mapping file that was imported; the latest of a file says what it maps.
CREATE TABLE imported_file (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL CHECK (tenant <> ''),
    source_system text NOT NULL CHECK (source_system <> ''),
    commit_id text,                                           -- null: the file was in no commit
    content_hash text NOT NULL,                               -- SHA-256 of its text
    targets jsonb NOT NULL CHECK (jsonb_typeof(targets) = 'array'),  -- [[source entity, canonical entity, field], …]
    revision bigint NOT NULL,                                 -- of the registry, after it
    imported_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX imported_file_latest ON imported_file (tenant, source_system, id);

-- A lookup by source path knows its tenant. By the path's hash, for a path may be longer than an index takes.
DROP INDEX mapping_registry_active_by_source_field;
CREATE INDEX mapping_registry_active_by_source_field
    ON mapping_registry (tenant, source_system, source_entity, md5(source_field))
    WHERE is_active;
