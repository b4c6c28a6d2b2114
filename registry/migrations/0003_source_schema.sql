-- The shapes in which a source entity was seen, one row per change of shape.

CREATE TABLE source_schema (
    tenant text NOT NULL CHECK (tenant <> ''),
    source_system text NOT NULL CHECK (source_system <> ''),
    source_entity text NOT NULL CHECK (source_entity <> ''),
    connection text NOT NULL CHECK (connection <> ''),
    version integer NOT NULL CHECK (version > 0),             -- per connection and entity, from 1, without a gap
    fingerprint text NOT NULL CHECK (fingerprint <> ''),
    schema jsonb NOT NULL CHECK (jsonb_typeof(schema) = 'object'),  -- schemas.messages.SourceSchema
    observed_at timestamptz NOT NULL,                         -- at first
    last_seen_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, source_system, source_entity, connection, version)
);
