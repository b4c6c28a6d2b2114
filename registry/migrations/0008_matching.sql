-- What AAM knows of source fields before they are mapped, what became of them, and what asking a model may cost.

-- Sources with fields that no mapping reads.
CREATE TABLE novel_source (
    tenant text NOT NULL CHECK (tenant <> ''),
    source_system text NOT NULL CHECK (source_system <> ''),
    source_entity text NOT NULL CHECK (source_entity <> ''),
    connection text NOT NULL,
    canonical_entity text,                                    -- what its records are, once that is decided
    chosen_by text,                                           -- who decided it; with null canonical_entity: it is none
    chosen_at timestamptz,
    due_at timestamptz,                                       -- when its new fields are to be scored; null: there are none
    claimed_until timestamptz,                                -- somebody scores them until then
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, source_system, source_entity)
);

CREATE INDEX novel_source_due ON novel_source (due_at) WHERE due_at IS NOT NULL;

-- Their fields: types, shapes and shares, never values.
CREATE TABLE novel_field (
    tenant text NOT NULL,
    source_system text NOT NULL,
    source_entity text NOT NULL,
    path text NOT NULL,
    path_key uuid GENERATED ALWAYS AS (md5(path)::uuid) STORED,  -- a path may be longer than an index takes
    types text[] NOT NULL,                                    -- JSON types, without null
    shapes text[] NOT NULL,
    profile jsonb NOT NULL,
    volume bigint NOT NULL DEFAULT 0,                         -- records seen with it, as announced
    is_new boolean NOT NULL DEFAULT true,                     -- to be scored
    asked_at timestamptz,                                     -- when a model was last asked about it
    verdict text,                                             -- the last decision, null: none yet
    reason text,
    method text,                                              -- what the probabilities come from: rag, llm
    model text,
    evidence jsonb,                                           -- candidates with signals and probabilities
    decided_at timestamptz,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, source_system, source_entity, path_key),
    FOREIGN KEY (tenant, source_system, source_entity) REFERENCES novel_source
);

-- What each tenant has spent on a model, by month, and what calls under way may still cost.
CREATE TABLE llm_usage (
    tenant text NOT NULL CHECK (tenant <> ''),
    month date NOT NULL,                                      -- its first day, UTC
    calls bigint NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT 0,
    usd double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, month)
);

CREATE TABLE llm_reservation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    month date NOT NULL,
    tokens bigint NOT NULL CHECK (tokens >= 0),
    expires_at timestamptz NOT NULL,                          -- a worker that died has settled nothing
    FOREIGN KEY (tenant, month) REFERENCES llm_usage
);

CREATE INDEX llm_reservation_open ON llm_reservation (tenant, month);

-- Limits of tenants that have their own.
CREATE TABLE llm_limit (
    tenant text PRIMARY KEY CHECK (tenant <> ''),
    calls_per_month bigint NOT NULL CHECK (calls_per_month >= 0),
    tokens_per_month bigint NOT NULL CHECK (tokens_per_month >= 0)
);

CALL isolate_tenants('novel_source');
CALL isolate_tenants('novel_field');
CALL isolate_tenants('llm_usage');
CALL isolate_tenants('llm_reservation');
CALL isolate_tenants('llm_limit');
