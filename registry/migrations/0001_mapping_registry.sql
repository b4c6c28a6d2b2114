-- The mappings, in versions, and the one revision that counts all of their changes.

-- Embeddings of fields are stored in this database, so its absence is better found now than later.
CREATE EXTENSION IF NOT EXISTS vector;

-- One row. `revision` grows by one per changing transaction, under an advisory lock that is held to the commit, so the
-- order of revisions is the order of commits. `epoch` grows when the database was restored to an older state.
CREATE TABLE registry_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch bigint NOT NULL DEFAULT 1 CHECK (epoch > 0),
    revision bigint NOT NULL DEFAULT 0 CHECK (revision >= 0)
);
INSERT INTO registry_revision DEFAULT VALUES;

-- What AAM has heard of: one row is one mapping set, even an empty one.
CREATE TABLE source_entity (
    tenant text NOT NULL CHECK (tenant <> ''),                -- '*': every tenant of the connector
    source_system text NOT NULL CHECK (source_system <> ''),
    source_entity text NOT NULL CHECK (source_entity <> ''),
    primary_key text[] NOT NULL DEFAULT '{}',                 -- source paths that identify a record
    ignored text[] NOT NULL DEFAULT '{}',                     -- source paths that are confidently nothing canonical
    method text CHECK (method IN ('rag', 'llm', 'manual', 'seed')),  -- who declared the two lists; null: nobody yet
    declared_by text,
    revision bigint NOT NULL,                                 -- of the latest change to this set
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, source_system, source_entity)
);

-- Versions of mappings: canonical field <- transform(source field). The highest version of a target says what holds:
-- active, provisional (in force, not yet approved) or removed.
CREATE TABLE mapping_registry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL DEFAULT '*',
    source_system text NOT NULL,
    source_entity text NOT NULL,
    source_field text,                                        -- null: the value is a constant
    canonical_entity text NOT NULL CHECK (canonical_entity <> ''),
    canonical_field text NOT NULL CHECK (canonical_field <> ''),
    transform jsonb NOT NULL CHECK (transform ? 'op'),        -- {op, inputs, params, fallbacks}
    confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    method text NOT NULL CHECK (method IN ('rag', 'llm', 'manual', 'seed')),
    created_by text NOT NULL,
    approved_by text,
    approved_at timestamptz,
    version integer NOT NULL CHECK (version > 0),             -- per target, from 1, without a gap
    revision bigint NOT NULL,                                 -- of the registry, when this version was written
    is_active boolean NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'provisional', 'removed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant, source_system, source_entity) REFERENCES source_entity,
    UNIQUE (tenant, source_system, source_entity, canonical_entity, canonical_field, version),
    CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CHECK (NOT is_active OR status <> 'removed'),
    CHECK (source_field IS NOT NULL OR transform ->> 'op' = 'constant')
);

-- A target is written by at most one active mapping of a scope; a source field may feed several targets.
CREATE UNIQUE INDEX mapping_registry_one_active_per_target
    ON mapping_registry (tenant, source_system, source_entity, canonical_entity, canonical_field)
    WHERE is_active;

CREATE INDEX mapping_registry_active_by_source_field
    ON mapping_registry (source_system, source_entity, source_field)
    WHERE is_active;

-- A version that was written stays as it was written: it can only be retired.
CREATE FUNCTION keep_mapping_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.is_active
        OR to_jsonb(NEW) - '{is_active,updated_at}'::text[] IS DISTINCT FROM
           to_jsonb(OLD) - '{is_active,updated_at}'::text[]
    THEN
        RAISE EXCEPTION 'versions of mappings are immutable: write a new one'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER mapping_registry_immutable
    BEFORE UPDATE OR DELETE ON mapping_registry
    FOR EACH ROW EXECUTE FUNCTION keep_mapping_version();
