-- What the publisher of the mapping table has still to write to Kafka.

-- One row per change of a set, written in the transaction that makes the change.
CREATE TABLE outbox (
    revision bigint NOT NULL,
    tenant text NOT NULL,
    source_system text NOT NULL,
    source_entity text NOT NULL,
    event jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    PRIMARY KEY (revision, tenant, source_system, source_entity)
);

CREATE INDEX outbox_pending ON outbox (revision) WHERE published_at IS NULL;

-- One row, written by the publisher alone. `announced` is committed here before anything reaches Kafka: a topic that
-- shows more was written by a database state that a restore has lost.
CREATE TABLE publication (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    announced_epoch bigint NOT NULL DEFAULT 0,
    announced_revision bigint NOT NULL DEFAULT 0,
    published_epoch bigint NOT NULL DEFAULT 0,                -- 0: a full snapshot is due
    published_revision bigint NOT NULL DEFAULT 0,
    published_at timestamptz
);
INSERT INTO publication DEFAULT VALUES;
