-- What held at each revision, who decided it and why, what is on trial; and who may see it.

-- Arm A of an experiment is what holds, arm B the versions with its id. Live from started_revision until ended_revision.
CREATE TABLE experiment (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    source_system text NOT NULL,
    source_entity text NOT NULL,
    percent double precision NOT NULL CHECK (percent > 0 AND percent < 100),  -- of the records, to arm B
    salt text NOT NULL CHECK (salt <> ''),
    started_by text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_revision bigint NOT NULL,
    ended_at timestamptz,
    ended_revision bigint,
    outcome text CHECK (outcome IN ('promoted', 'stopped')),
    FOREIGN KEY (tenant, source_system, source_entity) REFERENCES source_entity,
    CHECK ((outcome IS NULL) = (ended_revision IS NULL) AND (outcome IS NULL) = (ended_at IS NULL))
);

CREATE UNIQUE INDEX experiment_one_running_per_set ON experiment (tenant, source_system, source_entity)
    WHERE ended_revision IS NULL;

-- A version holds from one revision until before another, once at most: what held at any revision can be told.
ALTER TABLE mapping_registry
    ADD COLUMN active_from bigint,       -- null: it never held. A removal holds too: then nothing writes the target
    ADD COLUMN confirmed_from bigint,    -- null: it is provisional, or was to its end
    ADD COLUMN active_until bigint,      -- null: it holds
    ADD COLUMN restores integer,         -- the version that a rollback brought back as this one
    ADD COLUMN experiment_id bigint REFERENCES experiment;

ALTER TABLE mapping_registry DISABLE TRIGGER mapping_registry_immutable;
ALTER TABLE mapping_registry DROP CONSTRAINT mapping_registry_status_check;
UPDATE mapping_registry SET
    active_from = revision,
    confirmed_from = CASE WHEN status = 'active' THEN revision END,
    active_until = next_revision,
    status = CASE WHEN status = 'removed' OR next_revision IS NULL THEN status ELSE 'superseded' END
FROM (
    SELECT id AS followed, lead(revision) OVER (
        PARTITION BY tenant, source_system, source_entity, canonical_entity, canonical_field ORDER BY version
    ) AS next_revision FROM mapping_registry
) AS later
WHERE followed = id;
ALTER TABLE mapping_registry ENABLE TRIGGER mapping_registry_immutable;

ALTER TABLE mapping_registry
    ADD CHECK (status IN ('proposed', 'trial', 'provisional', 'active', 'removed', 'rejected', 'superseded')),
    ADD CHECK (is_active = (status IN ('provisional', 'active'))),
    ADD CHECK (status NOT IN ('provisional', 'active', 'removed') OR active_from IS NOT NULL),
    ADD CHECK (status <> 'active' OR confirmed_from IS NOT NULL),
    ADD CHECK (NOT is_active OR active_until IS NULL),
    ADD CHECK (active_until > active_from),
    ADD CHECK (status <> 'trial' OR experiment_id IS NOT NULL);

CREATE UNIQUE INDEX mapping_registry_one_holds_per_target
    ON mapping_registry (tenant, source_system, source_entity, canonical_entity, canonical_field)
    WHERE active_from IS NOT NULL AND active_until IS NULL;

-- A second version of a target is live only in an experiment, and one at most.
CREATE UNIQUE INDEX mapping_registry_one_trial_per_target
    ON mapping_registry (tenant, source_system, source_entity, canonical_entity, canonical_field)
    WHERE status = 'trial';

CREATE INDEX mapping_registry_open_proposals ON mapping_registry (tenant, source_system, source_entity)
    WHERE status = 'proposed';

CREATE INDEX mapping_registry_by_experiment ON mapping_registry (experiment_id) WHERE experiment_id IS NOT NULL;

CREATE FUNCTION begin_mapping_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.active_from IS NULL AND NEW.status IN ('provisional', 'active', 'removed') THEN
        NEW.active_from = NEW.revision;
    END IF;
    IF NEW.confirmed_from IS NULL AND NEW.status = 'active' THEN
        NEW.confirmed_from = NEW.active_from;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER mapping_registry_begin
    BEFORE INSERT ON mapping_registry
    FOR EACH ROW EXECUTE FUNCTION begin_mapping_version();

-- What a version says stays as it was written. Its status moves along the arrows below; a revision is set once.
CREATE OR REPLACE FUNCTION keep_mapping_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving CONSTANT text[] := '{status,is_active,approved_by,approved_at,active_from,confirmed_from,active_until,'
        'experiment_id,updated_at}';
BEGIN
    IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
        RAISE EXCEPTION 'versions of mappings are never deleted' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF to_jsonb(NEW) - moving IS DISTINCT FROM to_jsonb(OLD) - moving
        OR (OLD.active_from IS NOT NULL AND NEW.active_from IS DISTINCT FROM OLD.active_from)
        OR (OLD.confirmed_from IS NOT NULL AND NEW.confirmed_from IS DISTINCT FROM OLD.confirmed_from)
        OR (OLD.active_until IS NOT NULL AND NEW.active_until IS DISTINCT FROM OLD.active_until)
        OR (OLD.experiment_id IS NOT NULL AND NEW.experiment_id IS DISTINCT FROM OLD.experiment_id)
        OR (OLD.approved_by IS NOT NULL AND NEW.approved_by IS DISTINCT FROM OLD.approved_by)
    THEN
        RAISE EXCEPTION 'versions of mappings are immutable: write a new one'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN (
        ('proposed', 'active'), ('proposed', 'rejected'), ('proposed', 'superseded'), ('proposed', 'trial'),
        ('trial', 'active'), ('trial', 'rejected'),
        ('provisional', 'active'), ('provisional', 'superseded'),
        ('active', 'superseded')
    ) THEN
        RAISE EXCEPTION 'a mapping that is % can''t become %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.status = 'trial' AND NOT EXISTS (
        SELECT FROM experiment WHERE id = NEW.experiment_id AND ended_revision IS NULL
    ) THEN
        RAISE EXCEPTION 'only a running experiment has mappings on trial'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER mapping_registry_untruncated
    BEFORE TRUNCATE ON mapping_registry
    FOR EACH STATEMENT EXECUTE FUNCTION keep_mapping_version();

CREATE FUNCTION keep_experiment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving CONSTANT text[] := '{ended_at,ended_revision,outcome}';
BEGIN
    IF TG_OP <> 'UPDATE' OR OLD.ended_revision IS NOT NULL OR to_jsonb(NEW) - moving <> to_jsonb(OLD) - moving THEN
        RAISE EXCEPTION 'an experiment is only ended, once' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF EXISTS (SELECT FROM mapping_registry WHERE experiment_id = OLD.id AND status = 'trial') THEN
        RAISE EXCEPTION 'an experiment ends after its mappings' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER experiment_only_ends
    BEFORE UPDATE OR DELETE ON experiment
    FOR EACH ROW EXECUTE FUNCTION keep_experiment();

-- Every revision of every set, with the set's lists if that revision declared them.
CREATE TABLE set_revision (
    revision bigint NOT NULL,
    tenant text NOT NULL,
    source_system text NOT NULL,
    source_entity text NOT NULL,
    primary_key text[],                                       -- null, both: as before
    ignored text[],
    method text,
    declared_by text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),        -- now() is when a transaction began to wait for its turn
    PRIMARY KEY (tenant, source_system, source_entity, revision),
    CHECK ((primary_key IS NULL) = (ignored IS NULL))
);

CREATE INDEX set_revision_at ON set_revision (at, revision);
CREATE INDEX set_revision_order ON set_revision (revision);

-- What the sets declared before this table is not known: it counts as declared from the start.
INSERT INTO set_revision (revision, tenant, source_system, source_entity, at)
SELECT revision, tenant, source_system, source_entity, created_at FROM outbox;
INSERT INTO set_revision (revision, tenant, source_system, source_entity, primary_key, ignored, method, declared_by, at)
SELECT coalesce(first.revision, s.revision), s.tenant, s.source_system, s.source_entity, s.primary_key, s.ignored,
    s.method, s.declared_by, s.created_at
FROM source_entity AS s
LEFT JOIN LATERAL (
    SELECT min(r.revision) AS revision FROM set_revision AS r
    WHERE (r.tenant, r.source_system, r.source_entity) = (s.tenant, s.source_system, s.source_entity)
) AS first ON true
ON CONFLICT (tenant, source_system, source_entity, revision) DO UPDATE SET
    primary_key = EXCLUDED.primary_key, ignored = EXCLUDED.ignored, method = EXCLUDED.method,
    declared_by = EXCLUDED.declared_by;

-- One row per raised epoch. A restore loses the revisions after `after_revision`, through `lost_through`: events may
-- bear them, so they are not given a second time.
CREATE TABLE registry_epoch (
    epoch bigint PRIMARY KEY,
    after_revision bigint NOT NULL,
    lost_through bigint NOT NULL CHECK (lost_through >= after_revision),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Every decision: what was, what is, who, why, and from what. Rows are added and read, nothing else.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,       -- in order of commit: written under the revision's lock
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revision bigint NOT NULL,                                 -- of the registry, after the decision
    action text NOT NULL CHECK (action <> ''),
    actor text NOT NULL CHECK (actor <> ''),
    tenant text NOT NULL,
    source_system text NOT NULL,
    source_entity text NOT NULL,
    canonical_entity text,
    canonical_field text,
    version integer,                                          -- of the mapping
    before jsonb,
    after jsonb,
    reason text NOT NULL DEFAULT '',
    evidence jsonb                                            -- candidates, scores, shapes; never values
);

CREATE INDEX audit_by_set ON audit (tenant, source_system, source_entity, id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is only added to: no % of it', TG_TABLE_NAME, lower(TG_OP)
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER audit_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER set_revision_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON set_revision
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE publication
    ADD COLUMN mirrored_audit bigint NOT NULL DEFAULT 0;      -- last row of `audit` that Kafka has
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;

-- The role that a tenant's session takes on. It reads what policies show it, and nothing before it says who it is.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'aam_tenant') THEN
        BEGIN
            CREATE ROLE aam_tenant NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;  -- roles are the server's: another database was quicker
        END;
    END IF;
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        BEGIN
            EXECUTE format('GRANT aam_tenant TO %I', current_user);
        EXCEPTION
            WHEN insufficient_privilege THEN                  -- an administrator made the role, and may have granted it
                IF NOT pg_has_role(current_user, 'aam_tenant', 'MEMBER') THEN RAISE; END IF;
        END;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO aam_tenant', current_schema());
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'run as an administrator: CREATE ROLE aam_tenant NOLOGIN; GRANT aam_tenant TO %', current_user
            USING ERRCODE = 'insufficient_privilege';
END
$$;

-- For every table with a column `tenant` that tenants may read. FORCE binds its owner too; a superuser is bound by
-- nothing, so a tenant's session always takes on the role (registry/pool.py).
CREATE PROCEDURE isolate_tenants(isolated regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', isolated);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', isolated);
    EXECUTE format($policy$
        CREATE POLICY mesh ON %s TO CURRENT_USER
        USING (tenant IN ('*', current_setting('aam.tenant', true))
            OR coalesce(current_setting('aam.tenant', true), '') = '')
    $policy$, isolated);
    EXECUTE format($policy$
        CREATE POLICY tenant ON %s FOR SELECT TO aam_tenant
        USING (tenant IN ('*', current_setting('aam.tenant', true))
            AND coalesce(current_setting('aam.tenant', true), '') NOT IN ('', '*'))
    $policy$, isolated);
    EXECUTE format('GRANT SELECT ON %s TO aam_tenant', isolated);
END
$$;

CALL isolate_tenants('source_entity');
CALL isolate_tenants('mapping_registry');
CALL isolate_tenants('set_revision');
CALL isolate_tenants('experiment');
CALL isolate_tenants('audit');
CALL isolate_tenants('source_schema');
GRANT SELECT ON registry_revision, registry_epoch TO aam_tenant;
