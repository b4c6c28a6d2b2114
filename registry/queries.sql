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
-- Revisions that a lost state had given out are not given out again: events bear them.
WITH raised AS (
    UPDATE registry_revision SET epoch = %(above)s + 1, revision = greatest(revision, %(seen)s)
    WHERE epoch <= %(above)s
    RETURNING epoch, revision
)
INSERT INTO registry_epoch (epoch, after_revision, lost_through)
SELECT raised.epoch, before.revision, raised.revision FROM raised, registry_revision AS before

-- touch_source --
-- The set exists from its first change on, and bears the revision of its latest.
INSERT INTO source_entity (tenant, source_system, source_entity, revision)
VALUES (%(tenant)s, %(connector)s, %(entity)s, %(revision)s)
ON CONFLICT (tenant, source_system, source_entity) DO UPDATE SET revision = EXCLUDED.revision, updated_at = now()

-- hear_of_source --
-- A proposal's set exists, and changes nothing.
INSERT INTO source_entity (tenant, source_system, source_entity, revision)
SELECT %(tenant)s, %(connector)s, %(entity)s, revision FROM registry_revision
ON CONFLICT DO NOTHING

-- declare_source --
UPDATE source_entity
SET primary_key = %(primary_key)s, ignored = %(ignored)s, method = %(method)s, declared_by = %(actor)s
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s

-- insert_set_revision --
INSERT INTO set_revision (
    revision, tenant, source_system, source_entity, primary_key, ignored, method, declared_by
) VALUES (
    %(revision)s, %(tenant)s, %(connector)s, %(entity)s, %(primary_key)s, %(ignored)s,
    CASE WHEN %(primary_key)s::text[] IS NOT NULL THEN %(method)s END,
    CASE WHEN %(primary_key)s::text[] IS NOT NULL THEN %(actor)s END
)

-- declarations --
SELECT tenant, source_system, source_entity, primary_key, ignored, method FROM source_entity
WHERE (tenant, source_system, source_entity) IN (
    SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
)

-- holding_versions --
-- What each target of a set is now; it may be removed.
SELECT tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status,
    method, approved_by IS NOT NULL OR restores IS NOT NULL, version
FROM mapping_registry
WHERE active_from IS NOT NULL AND active_until IS NULL AND (tenant, source_system, source_entity) IN (
    SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
)

-- highest_versions --
SELECT tenant, source_system, source_entity, canonical_entity, canonical_field, max(version) FROM mapping_registry
WHERE (tenant, source_system, source_entity) IN (
    SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
)
GROUP BY 1, 2, 3, 4, 5

-- undecided_versions --
SELECT tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status, id, version, created_by
FROM mapping_registry
WHERE status IN ('proposed', 'trial') AND (tenant, source_system, source_entity) IN (
    SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
)
ORDER BY version

-- retire_version --
UPDATE mapping_registry
SET is_active = false, active_until = %(revision)s, updated_at = now(),
    status = CASE status WHEN 'removed' THEN 'removed' ELSE 'superseded' END
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s
    AND canonical_entity = %(canonical_entity)s AND canonical_field = %(canonical_field)s
    AND active_from IS NOT NULL AND active_until IS NULL

-- insert_version --
INSERT INTO mapping_registry (
    tenant, source_system, source_entity, source_field, canonical_entity, canonical_field, transform, confidence,
    method, created_by, approved_by, approved_at, version, revision, is_active, status, restores, created_at
) VALUES (
    %(tenant)s, %(connector)s, %(entity)s, %(source_field)s, %(canonical_entity)s, %(canonical_field)s, %(transform)s,
    %(confidence)s, %(method)s, %(actor)s, %(approved_by)s,
    CASE WHEN %(approved_by)s::text IS NOT NULL THEN coalesce(%(at)s::timestamptz, clock_timestamp()) END,
    %(version)s, %(revision)s, %(status)s IN ('active', 'provisional'), %(status)s, %(restores)s,
    coalesce(%(at)s::timestamptz, clock_timestamp())
)

-- confirm_version --
UPDATE mapping_registry
SET status = 'active', confirmed_from = %(revision)s, approved_by = coalesce(approved_by, %(approved_by)s),
    approved_at = coalesce(approved_at, CASE WHEN %(approved_by)s::text IS NOT NULL THEN clock_timestamp() END),
    updated_at = now()
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s
    AND canonical_entity = %(canonical_entity)s AND canonical_field = %(canonical_field)s
    AND version = %(version)s AND status = 'provisional'

-- activate_version --
UPDATE mapping_registry
SET status = 'active', is_active = true, active_from = %(revision)s, confirmed_from = %(revision)s,
    approved_by = %(approved_by)s, approved_at = clock_timestamp(), updated_at = now()
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s
    AND canonical_entity = %(canonical_entity)s AND canonical_field = %(canonical_field)s
    AND version = %(version)s AND status IN ('proposed', 'trial')

-- approve_version --
-- What a machine put in force unasked gets somebody who answers for it; workers notice nothing.
UPDATE mapping_registry SET approved_by = %(actor)s, approved_at = clock_timestamp(), updated_at = now()
WHERE id = %(id)s AND approved_by IS NULL

-- reject_version --
UPDATE mapping_registry SET status = 'rejected', updated_at = now() WHERE id = %(id)s AND status IN ('proposed', 'trial')

-- try_version --
UPDATE mapping_registry SET status = 'trial', experiment_id = %(experiment)s, updated_at = now()
WHERE id = %(id)s AND status = 'proposed'

-- supersede_proposal --
UPDATE mapping_registry SET status = 'superseded', updated_at = now() WHERE id = %(id)s AND status = 'proposed'

-- insert_audit --
INSERT INTO audit (
    revision, action, actor, tenant, source_system, source_entity, canonical_entity, canonical_field, version,
    before, after, reason, evidence
) VALUES (
    %(revision)s, %(action)s, %(actor)s, %(tenant)s, %(connector)s, %(entity)s, %(canonical_entity)s,
    %(canonical_field)s, %(version)s, %(before)s, %(after)s, %(reason)s, %(evidence)s
)

-- read_audit --
SELECT id, at, revision, action, actor, tenant, source_system AS connector, source_entity AS entity,
    canonical_entity, canonical_field, version, before, after, reason, evidence
FROM audit
WHERE id > %(after)s
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(connector)s::text IS NULL OR source_system = %(connector)s)
    AND (%(entity)s::text IS NULL OR source_entity = %(entity)s)
    AND (%(canonical_entity)s::text IS NULL OR canonical_entity = %(canonical_entity)s)
    AND (%(canonical_field)s::text IS NULL OR canonical_field = %(canonical_field)s)
    AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
ORDER BY id
LIMIT %(rows)s

-- find_lost_revision --
SELECT after_revision, lost_through FROM registry_epoch
WHERE %(revision)s > after_revision AND %(revision)s <= lost_through

-- revision_at --
SELECT coalesce(max(revision), 0) FROM set_revision WHERE at <= %(moment)s

-- declarations_at --
-- A set's revision at a revision, and the lists that it had then. No row is the answer for a set not heard of.
SELECT tenant, source_system, source_entity, latest.revision, declared.primary_key, declared.ignored,
    coalesce((SELECT max(epoch) FROM registry_epoch WHERE lost_through < latest.revision), 1)
FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
    AS wanted (tenant, source_system, source_entity)
CROSS JOIN LATERAL (
    SELECT max(revision) AS revision FROM set_revision AS s
    WHERE s.tenant = wanted.tenant AND s.source_system = wanted.source_system AND s.source_entity = wanted.source_entity
        AND s.revision <= %(revision)s
) AS latest
LEFT JOIN LATERAL (
    SELECT primary_key, ignored FROM set_revision AS s
    WHERE s.tenant = wanted.tenant AND s.source_system = wanted.source_system AND s.source_entity = wanted.source_entity
        AND s.revision <= %(revision)s AND primary_key IS NOT NULL
    ORDER BY s.revision DESC
    LIMIT 1
) AS declared ON true

-- versions_at --
SELECT tenant, source_system, source_entity, canonical_entity, canonical_field, source_field, transform, confidence,
    CASE WHEN status = 'removed' THEN 'removed' WHEN confirmed_from <= %(revision)s THEN 'active' ELSE 'provisional' END,
    method, version
FROM mapping_registry
WHERE active_from <= %(revision)s AND (active_until IS NULL OR active_until > %(revision)s)
    AND (tenant, source_system, source_entity) IN (
        SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
    )
ORDER BY canonical_entity, canonical_field

-- experiment_at --
SELECT e.id, e.percent, e.salt, canonical_entity, canonical_field, source_field, transform, confidence, 'trial'
FROM experiment AS e JOIN mapping_registry AS m ON m.experiment_id = e.id
WHERE e.started_revision <= %(revision)s AND (e.ended_revision IS NULL OR e.ended_revision > %(revision)s)
    AND (e.tenant, e.source_system, e.source_entity) IN (
        SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
    )
ORDER BY canonical_entity, canonical_field

-- overrides_with_arrays --
-- Only paths into arrays can make two scopes, each sound, unsound together.
SELECT DISTINCT tenant FROM mapping_registry
WHERE source_system = %(connector)s AND source_entity = %(entity)s AND canonical_entity = ANY(%(canonical_entities)s)
    AND is_active AND tenant <> '*' AND source_field LIKE '%%[]%%'

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

-- running_experiments --
SELECT e.tenant, e.source_system, e.source_entity, e.id, e.percent, e.salt,
    canonical_entity, canonical_field, source_field, transform, confidence, status
FROM experiment AS e JOIN mapping_registry AS m ON m.experiment_id = e.id
WHERE e.ended_revision IS NULL AND status = 'trial'
ORDER BY canonical_entity, canonical_field

-- list_mappings --
SELECT id, tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status,
    method, created_by, approved_by, approved_at, version, revision, is_active, created_at,
    active_from, confirmed_from, active_until, restores, experiment_id
FROM mapping_registry
WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(connector)s::text IS NULL OR source_system = %(connector)s)
    AND (%(entity)s::text IS NULL OR source_entity = %(entity)s)
    AND (is_active OR %(history)s)
ORDER BY tenant, source_system, source_entity, canonical_entity, canonical_field, version

-- versions_by_id --
SELECT id, tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status,
    method, created_by, approved_by, approved_at, version, revision, is_active, created_at,
    active_from, confirmed_from, active_until, restores, experiment_id
FROM mapping_registry
WHERE id = ANY(%(ids)s)
ORDER BY id

-- insert_proposal --
INSERT INTO mapping_registry (
    tenant, source_system, source_entity, source_field, canonical_entity, canonical_field, transform, confidence,
    method, created_by, version, revision, is_active, status
)
SELECT %(tenant)s, %(connector)s, %(entity)s, %(source_field)s, %(canonical_entity)s, %(canonical_field)s,
    %(transform)s, %(confidence)s, %(method)s, %(actor)s, %(version)s, revision, false, 'proposed'
FROM registry_revision
RETURNING id

-- list_undecided --
-- What waits for approval, in force provisionally or not at all.
SELECT id, tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status,
    method, created_by, approved_by, approved_at, version, revision, is_active, created_at,
    active_from, confirmed_from, active_until, restores, experiment_id
FROM mapping_registry
WHERE status = ANY(%(statuses)s)
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(connector)s::text IS NULL OR source_system = %(connector)s)
    AND (%(entity)s::text IS NULL OR source_entity = %(entity)s)
    AND (%(canonical_entity)s::text IS NULL OR canonical_entity = %(canonical_entity)s)
    AND (%(canonical_field)s::text IS NULL OR canonical_field = %(canonical_field)s)
    AND (%(method)s::text IS NULL OR method = %(method)s)
    AND (%(min_confidence)s::float8 IS NULL OR confidence >= %(min_confidence)s)
ORDER BY tenant, source_system, source_entity, canonical_entity, canonical_field, version

-- start_experiment --
INSERT INTO experiment (tenant, source_system, source_entity, percent, salt, started_by, started_revision)
VALUES (%(tenant)s, %(connector)s, %(entity)s, %(percent)s, %(salt)s, %(actor)s, %(revision)s)
RETURNING id

-- end_experiment --
UPDATE experiment SET ended_at = clock_timestamp(), ended_revision = %(revision)s, outcome = %(outcome)s
WHERE id = %(id)s

-- list_experiments --
SELECT e.id, e.tenant, e.source_system, e.source_entity, e.percent, e.salt, e.started_by, e.started_at,
    e.started_revision, e.ended_at, e.ended_revision, e.outcome, array_agg(m.id ORDER BY m.id)
FROM experiment AS e JOIN mapping_registry AS m ON m.experiment_id = e.id
WHERE (%(id)s::bigint IS NULL OR e.id = %(id)s)
    AND (%(tenant)s::text IS NULL OR e.tenant = %(tenant)s)
    AND (%(connector)s::text IS NULL OR e.source_system = %(connector)s)
    AND (%(entity)s::text IS NULL OR e.source_entity = %(entity)s)
    AND (%(ended)s OR e.ended_revision IS NULL)
GROUP BY e.id
ORDER BY e.id

-- sets_changed_since --
SELECT DISTINCT tenant, source_system, source_entity FROM set_revision
WHERE revision > %(revision)s
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(connector)s::text IS NULL OR source_system = %(connector)s)
    AND (%(entity)s::text IS NULL OR source_entity = %(entity)s)
ORDER BY 1, 2, 3

-- find_version --
SELECT id, tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status,
    method, created_by, approved_by, approved_at, version, revision, is_active, created_at,
    active_from, confirmed_from, active_until, restores, experiment_id
FROM mapping_registry
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s
    AND canonical_entity = %(canonical_entity)s AND canonical_field = %(canonical_field)s AND version = %(version)s

-- former_versions --
-- What held before what holds now, the latest first; a removal is one as well.
SELECT id, tenant, source_system, source_entity,
    canonical_entity, canonical_field, source_field, transform, confidence, status,
    method, created_by, approved_by, approved_at, version, revision, is_active, created_at,
    active_from, confirmed_from, active_until, restores, experiment_id
FROM mapping_registry
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s
    AND canonical_entity = %(canonical_entity)s AND canonical_field = %(canonical_field)s AND active_from IS NOT NULL
ORDER BY active_from DESC

-- pending_changes --
SELECT revision, tenant, source_system, source_entity FROM outbox
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

-- get_mirrored --
SELECT mirrored_audit FROM publication

-- mark_mirrored --
UPDATE publication SET mirrored_audit = %(id)s WHERE mirrored_audit < %(id)s

-- prune_outbox --
DELETE FROM outbox WHERE published_at < now() - make_interval(secs => %(seconds)s)

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

-- add_review_item --
INSERT INTO review_item (
    tenant, source_system, source_entity, path, canonical_entity, candidates, reason, profile, volume, doubt,
    same_decision
) VALUES (
    %(tenant)s, %(connector)s, %(entity)s, %(path)s, %(canonical_entity)s, %(candidates)s, %(reason)s, %(profile)s,
    %(volume)s, %(doubt)s, %(same_decision)s
)
ON CONFLICT (tenant, source_system, source_entity, path) DO UPDATE
SET volume = review_item.volume + EXCLUDED.volume, updated_at = now()

-- renew_review_item --
-- What was decided is asked again only if the answer may be another: there is another best candidate, or the field was
-- settled and, long after, is unmapped again.
UPDATE review_item
SET canonical_entity = %(canonical_entity)s, candidates = %(candidates)s, reason = %(reason)s, profile = %(profile)s,
    doubt = %(doubt)s, same_decision = %(same_decision)s, decision = NULL, decided_by = NULL, decided_at = NULL
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s AND path = %(path)s
    AND (decision IS NULL OR same_decision <> %(same_decision)s
        OR (decision <> 'rejected' AND decided_at < now() - interval '1 hour'))

-- list_review --
-- Groups of open items that one decision settles, the most urgent first.
SELECT min(id), array_agg(tenant ORDER BY tenant), source_system, source_entity, path, min(canonical_entity),
    (array_agg(candidates ORDER BY id))[1], (array_agg(reason ORDER BY id))[1], (array_agg(profile ORDER BY id))[1],
    sum(volume)::bigint, max(doubt)
FROM review_item
WHERE decision IS NULL
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(connector)s::text IS NULL OR source_system = %(connector)s)
    AND (%(entity)s::text IS NULL OR source_entity = %(entity)s)
    AND (%(min_probability)s::float8 IS NULL OR (candidates -> 0 ->> 'probability')::float8 >= %(min_probability)s)
GROUP BY same_decision, source_system, source_entity, path
ORDER BY greatest(sum(volume), 1) * max(doubt) DESC, min(id)
LIMIT %(limit)s

-- find_review_item --
SELECT decision, decided_by, same_decision FROM review_item WHERE id = %(id)s

-- open_review_items --
SELECT id, tenant, source_system, source_entity, path, canonical_entity, candidates, reason, profile, volume, doubt
FROM review_item
WHERE decision IS NULL
    AND (%(id)s::bigint IS NULL OR id = %(id)s)
    AND (%(same_decision)s::text IS NULL OR same_decision = %(same_decision)s)
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(connector)s::text IS NULL OR source_system = %(connector)s)
    AND (%(entity)s::text IS NULL OR source_entity = %(entity)s)
    AND (%(min_probability)s::float8 IS NULL OR (candidates -> 0 ->> 'probability')::float8 >= %(min_probability)s)
ORDER BY (candidates -> 0 ->> 'probability')::float8 DESC NULLS LAST, id

-- settle_review_items --
UPDATE review_item SET decision = %(decision)s, decided_by = %(actor)s, decided_at = now(), updated_at = now()
WHERE id = ANY(%(ids)s) AND decision IS NULL

-- withdraw_review_items --
UPDATE review_item SET decision = 'withdrawn', decided_by = %(actor)s, decided_at = now(), updated_at = now()
WHERE decision IS NULL AND (tenant, source_system, source_entity, path) IN (
    SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[], %(paths)s::text[])
)

-- known_fields --
-- The last column: the source came with AAM.
SELECT source_system, source_entity, source_field, canonical_entity, canonical_field,
    bool_or(method = 'seed') OVER (PARTITION BY source_system, source_entity)
FROM mapping_registry
WHERE is_active AND status = 'active' AND source_field IS NOT NULL
    AND (method IN ('seed', 'manual') OR approved_by IS NOT NULL)
    AND (tenant = '*' OR tenant = %(tenant)s)
ORDER BY source_system, source_entity, source_field, canonical_entity, canonical_field

-- known_nothings --
-- An ignored path is none of the entities that its set feeds.
SELECT DISTINCT s.source_system, s.source_entity, path, m.canonical_entity
FROM source_entity AS s
CROSS JOIN LATERAL unnest(s.ignored) AS path
JOIN mapping_registry AS m ON m.is_active AND m.source_system = s.source_system AND m.source_entity = s.source_entity
    AND m.tenant IN ('*', s.tenant)
WHERE s.tenant = '*' OR s.tenant = %(tenant)s
ORDER BY 1, 2, 3, 4

-- known_types --
-- As last seen, over all connections.
SELECT DISTINCT ON (source_system, source_entity, field ->> 'path')
    source_system, source_entity, field ->> 'path', field -> 'types' ->> 0
FROM source_schema CROSS JOIN LATERAL jsonb_array_elements(schema -> 'fields') AS field
WHERE jsonb_array_length(field -> 'types') = 1
ORDER BY source_system, source_entity, field ->> 'path', last_seen_at DESC
