-- Source fields that wait for a person's word.

CREATE TABLE review_item (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL CHECK (tenant <> ''),                -- '*': the decision is for all tenants
    source_system text NOT NULL CHECK (source_system <> ''),
    source_entity text NOT NULL CHECK (source_entity <> ''),
    path text NOT NULL,                                       -- '': the entity itself is in doubt
    canonical_entity text,                                    -- null: in doubt as well
    candidates jsonb NOT NULL CHECK (jsonb_typeof(candidates) = 'array'),  -- best first
    reason text NOT NULL,                                     -- why a person is asked
    profile jsonb NOT NULL,                                   -- types, shapes, shares; never values
    volume bigint NOT NULL CHECK (volume >= 0),               -- records that wait for the decision
    doubt double precision NOT NULL CHECK (doubt >= 0),
    same_decision text NOT NULL,                              -- equal for items that one decision settles
    decision text CHECK (decision IN ('accepted', 'chosen', 'rejected', 'ignored', 'withdrawn')),  -- null: open
    decided_by text,
    decided_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, source_system, source_entity, path),
    CHECK ((decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL))
);

CREATE INDEX review_item_open ON review_item (same_decision) WHERE decision IS NULL;

CALL isolate_tenants('review_item');
