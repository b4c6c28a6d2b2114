-- Uses of connectors by tenants: what they may reach, how far their syncs got, and their secrets, encrypted.

CREATE TABLE connection (
    tenant text NOT NULL CHECK (tenant <> '' AND tenant <> '*'),
    id text NOT NULL CHECK (id ~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$'),  -- as the header `connection` allows, but for /
    connector text NOT NULL CHECK (connector <> ''),
    settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    secrets jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(secrets) = 'object'),  -- credential → reference
    base_url text,                                            -- in place of the vendor's hosts: sandbox, proxy
    entities text[],                                          -- null: all that the spec has
    interval_seconds integer CHECK (interval_seconds > 0),    -- null: synced only when asked
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'action_required')),
    reason text NOT NULL DEFAULT '',                          -- why it isn't active
    fix text NOT NULL DEFAULT '',                             -- what to do
    problems jsonb NOT NULL DEFAULT '{}',                     -- entity → {reason, fix, at} of the last sync
    last_sync_at timestamptz,
    next_sync_at timestamptz NOT NULL DEFAULT now(),
    records bigint NOT NULL DEFAULT 0,                        -- delivered, all syncs together
    progress jsonb,                                           -- of the sync under way: entity → {records, total}
    claimed_by text,                                          -- the sync that runs; it alone may write positions
    claimed_until timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id),
    CHECK ((claimed_by IS NULL) = (claimed_until IS NULL))
);

CREATE INDEX connection_due ON connection (next_sync_at) WHERE status = 'active' AND interval_seconds IS NOT NULL;

CREATE TABLE connection_position (
    tenant text NOT NULL,
    connection text NOT NULL,
    entity text NOT NULL CHECK (entity <> ''),
    parent text NOT NULL,                                     -- key of the parent's record as JSON; '' without one
    position jsonb NOT NULL CHECK (jsonb_typeof(position) = 'object'),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, connection, entity, parent),
    FOREIGN KEY (tenant, connection) REFERENCES connection (tenant, id) ON DELETE CASCADE
);

-- AES-256-GCM; tenant and name are its associated data, so that a row moved to another tenant doesn't open.
CREATE TABLE secret (
    tenant text NOT NULL CHECK (tenant <> ''),
    name text NOT NULL CHECK (name <> ''),
    key_id text NOT NULL CHECK (key_id <> ''),
    nonce bytea NOT NULL CHECK (length(nonce) = 12),
    ciphertext bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name)
);

CREATE INDEX secret_by_key ON secret (key_id);

CALL isolate_tenants('connection');
CALL isolate_tenants('connection_position');
-- No tenant's session reads secrets, not even its own.
