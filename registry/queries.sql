-- Every statement of the registry. `-- name --` opens one, comments say why; registry/queries.py reads this file.

-- lock_revision --
-- Held to the end of the transaction: the next writer reads the revision only after this one has committed. A statement
-- of its own, for the snapshot of the statement that waits is older than the lock.
SELECT pg_advisory_xact_lock(%(lock)s)

-- get_revision --
SELECT epoch, revision FROM registry_revision

-- next_revision --
UPDATE registry_revision SET revision = revision + 1 RETURNING revision

-- raise_epoch --
UPDATE registry_revision SET epoch = %(above)s + 1 WHERE epoch <= %(above)s

-- find_source --
SELECT primary_key, ignored, method FROM source_entity
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s

-- touch_source --
-- The set exists from its first change on, and bears the revision of its latest.
INSERT INTO source_entity (tenant, source_system, source_entity, revision)
VALUES (%(tenant)s, %(connector)s, %(entity)s, %(revision)s)
ON CONFLICT (tenant, source_system, source_entity) DO UPDATE SET revision = EXCLUDED.revision, updated_at = now()

-- declare_source --
UPDATE source_entity
SET primary_key = %(primary_key)s, ignored = %(ignored)s, method = %(method)s, declared_by = %(actor)s
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s

-- latest_versions --
-- What each target of a set is now: its highest version, which may say that it was removed.
SELECT DISTINCT ON (canonical_entity, canonical_field)
    canonical_entity, canonical_field, source_field, transform, confidence, status, method, approved_by, version
FROM mapping_registry
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s
ORDER BY canonical_entity, canonical_field, version DESC

-- retire_version --
UPDATE mapping_registry SET is_active = false, updated_at = now()
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s
    AND canonical_entity = %(canonical_entity)s AND canonical_field = %(canonical_field)s AND is_active

-- insert_version --
INSERT INTO mapping_registry (
    tenant, source_system, source_entity, source_field, canonical_entity, canonical_field, transform, confidence,
    method, created_by, approved_by, approved_at, version, revision, is_active, status
) VALUES (
    %(tenant)s, %(connector)s, %(entity)s, %(source_field)s, %(canonical_entity)s, %(canonical_field)s, %(transform)s,
    %(confidence)s, %(method)s, %(actor)s, %(approved_by)s, CASE WHEN %(approved_by)s::text IS NOT NULL THEN now() END,
    %(version)s, %(revision)s, %(status)s <> 'removed', %(status)s
)

-- add_to_outbox --
INSERT INTO outbox (revision, tenant, source_system, source_entity, event)
VALUES (%(revision)s, %(tenant)s, %(connector)s, %(entity)s, %(event)s)

-- wake_publisher --
-- Delivered at commit. Only a wake-up: what is to do stands in the outbox.
NOTIFY aam_outbox

-- all_sources --
SELECT tenant, source_system, source_entity, primary_key, ignored, revision FROM source_entity
ORDER BY tenant, source_system, source_entity

-- some_sources --
SELECT tenant, source_system, source_entity, primary_key, ignored, revision FROM source_entity
WHERE (tenant, source_system, source_entity) IN (
    SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
)
ORDER BY tenant, source_system, source_entity

-- all_active_mappings --
SELECT tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status
FROM mapping_registry
WHERE is_active
ORDER BY canonical_entity, canonical_field

-- some_active_mappings --
SELECT tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status
FROM mapping_registry
WHERE is_active AND (tenant, source_system, source_entity) IN (
    SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
)
ORDER BY canonical_entity, canonical_field

-- list_mappings --
SELECT id, tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status,
    method, created_by, approved_by, approved_at, version, revision, is_active, created_at
FROM mapping_registry
WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(connector)s::text IS NULL OR source_system = %(connector)s)
    AND (%(entity)s::text IS NULL OR source_entity = %(entity)s)
    AND (is_active OR %(history)s)
ORDER BY tenant, source_system, source_entity, canonical_entity, canonical_field, version

-- pending_changes --
SELECT revision, tenant, source_system, source_entity, event, created_at FROM outbox
WHERE published_at IS NULL
ORDER BY revision, tenant, source_system, source_entity

-- get_publication --
SELECT announced_epoch, announced_revision, published_epoch, published_revision FROM publication

-- announce_publication --
UPDATE publication SET announced_epoch = %(epoch)s, announced_revision = %(revision)s
WHERE (announced_epoch, announced_revision) < (%(epoch)s, %(revision)s)

-- mark_changes_published --
UPDATE outbox SET published_at = now() WHERE published_at IS NULL AND revision <= %(revision)s

-- mark_published --
UPDATE publication SET published_epoch = %(epoch)s, published_revision = %(revision)s, published_at = now()
WHERE (published_epoch, published_revision) <= (%(epoch)s, %(revision)s)

-- demand_everything --
UPDATE publication SET published_epoch = 0, published_revision = 0

-- oldest_pending --
SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox WHERE published_at IS NULL

-- try_lead --
SELECT pg_try_advisory_lock(%(lock)s)

-- lock_source_schema --
-- The pair of integers is a space of its own beside the single keys of the other locks.
SELECT pg_advisory_xact_lock(%(lock)s::integer, hashtext(%(identity)s))

-- latest_source_schemas --
-- The latest and the one before it.
SELECT version, fingerprint, observed_at, last_seen_at, schema FROM source_schema
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s
    AND connection = %(connection)s
ORDER BY version DESC
LIMIT 2

-- see_source_schema --
UPDATE source_schema SET last_seen_at = %(observed_at)s
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s
    AND connection = %(connection)s AND version = %(version)s

-- insert_source_schema --
INSERT INTO source_schema (
    tenant, source_system, source_entity, connection, version, fingerprint, schema, observed_at, last_seen_at
) VALUES (
    %(tenant)s, %(connector)s, %(entity)s, %(connection)s, %(version)s, %(fingerprint)s, %(schema)s, %(observed_at)s,
    %(observed_at)s
)
