-- The statements of registry/novel_fields.py, registry/entity_choices.py and registry/llm_budget.py.

-- keep_sources --
-- A source is due when its first new field has waited long enough; one that waits already keeps its time.
INSERT INTO novel_source (tenant, source_system, source_entity, connection, due_at)
SELECT DISTINCT ON (1, 2, 3) t, c, e, n, now() + %(gather)s * interval '1 second'
FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[], %(connections)s::text[]) AS s (t, c, e, n)
ORDER BY 1, 2, 3
ON CONFLICT (tenant, source_system, source_entity) DO UPDATE
SET due_at = coalesce(novel_source.due_at, EXCLUDED.due_at)

-- keep_fields --
INSERT INTO novel_field (tenant, source_system, source_entity, path, types, shapes, profile, volume)
SELECT t, c, e, p, ARRAY(SELECT jsonb_array_elements_text(y)), ARRAY(SELECT jsonb_array_elements_text(s)), f, v
FROM unnest(
    %(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[], %(paths)s::text[], %(types)s::jsonb[],
    %(shapes)s::jsonb[], %(profiles)s::jsonb[], %(volumes)s::bigint[]
) AS n (t, c, e, p, y, s, f, v)
ORDER BY t, c, e, p
ON CONFLICT (tenant, source_system, source_entity, path_key) DO UPDATE
SET types = EXCLUDED.types, shapes = EXCLUDED.shapes, profile = EXCLUDED.profile, is_new = true, seen_at = now(),
    volume = greatest(novel_field.volume, EXCLUDED.volume)

-- claim_sources --
UPDATE novel_source SET claimed_until = now() + %(lease)s * interval '1 second'
WHERE (tenant, source_system, source_entity) IN (
    SELECT tenant, source_system, source_entity FROM novel_source
    WHERE due_at <= now() AND coalesce(claimed_until, '-infinity') < now()
    ORDER BY due_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING tenant, source_system, source_entity, connection, canonical_entity, chosen_by, due_at, chosen_at

-- fields_of_sources --
SELECT tenant, source_system, source_entity, path, types, shapes, profile, volume, is_new, asked_at IS NOT NULL, seen_at
FROM novel_field
WHERE (tenant, source_system, source_entity) IN (
    SELECT * FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[])
)
ORDER BY tenant, source_system, source_entity, path

-- settle_fields --
-- What was announced anew meanwhile stays new.
UPDATE novel_field AS f SET is_new = false
FROM unnest(%(tenants)s::text[], %(connectors)s::text[], %(entities)s::text[], %(paths)s::text[], %(seen)s::timestamptz[])
    AS d (t, c, e, p, s)
WHERE f.tenant = t AND f.source_system = c AND f.source_entity = e AND f.path_key = md5(p)::uuid AND f.seen_at = s

-- settle_source --
-- Due again at once if something came meanwhile: fields, or the choice that it would wait for.
UPDATE novel_source AS s SET claimed_until = NULL, due_at = CASE WHEN EXISTS (
    SELECT FROM novel_field AS f
    WHERE f.tenant = s.tenant AND f.source_system = s.source_system AND f.source_entity = s.source_entity AND f.is_new
) AND NOT (%(waits)s AND chosen_at IS NOT DISTINCT FROM %(chosen_at)s::timestamptz) THEN now() END
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s

-- choose_entity --
INSERT INTO novel_source (tenant, source_system, source_entity, connection, canonical_entity, chosen_by, chosen_at, due_at)
VALUES (%(tenant)s, %(connector)s, %(entity)s, %(connector)s, %(canonical_entity)s, %(actor)s, now(), now())
ON CONFLICT (tenant, source_system, source_entity) DO UPDATE
SET canonical_entity = EXCLUDED.canonical_entity, chosen_by = EXCLUDED.chosen_by, chosen_at = now(), due_at = now()

-- note_entity --
UPDATE novel_source SET canonical_entity = %(canonical_entity)s, chosen_by = %(actor)s, chosen_at = now()
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s AND chosen_by IS NULL

-- renew_fields --
-- As if announced just now, so that whoever is scoring them for another entity doesn't settle them.
UPDATE novel_field SET is_new = true, seen_at = now()
WHERE tenant = %(tenant)s AND source_system = %(connector)s AND source_entity = %(entity)s

-- record_verdicts --
UPDATE novel_field AS f
SET verdict = v, reason = r, method = %(method)s, model = %(model)s, evidence = j, decided_at = now(),
    asked_at = CASE WHEN %(method)s = 'llm' OR v = 'ask' THEN now() ELSE f.asked_at END
FROM unnest(%(paths)s::text[], %(verdicts)s::text[], %(reasons)s::text[], %(evidence)s::jsonb[]) AS d (p, v, r, j)
WHERE f.tenant = %(tenant)s AND f.source_system = %(connector)s AND f.source_entity = %(entity)s
    AND f.path_key = md5(p)::uuid

-- settled_by_people --
-- What a person has said of these fields, whatever it was: no machine says otherwise.
SELECT path FROM review_item
WHERE source_system = %(connector)s AND source_entity = %(entity)s AND tenant IN ('*', %(tenant)s)
    AND decision IN ('accepted', 'chosen', 'rejected', 'ignored')

-- teaches --
-- Whether a tenant's people have decided anything about its own sets.
SELECT EXISTS (
    SELECT FROM mapping_registry
    WHERE tenant = %(tenant)s AND is_active AND status = 'active' AND source_field IS NOT NULL
        AND (method IN ('seed', 'manual') OR approved_by IS NOT NULL)
)

-- find_novel_field --
SELECT f.tenant, f.path, f.types, f.shapes, f.profile, f.volume, f.verdict, f.reason, f.method, f.model, f.evidence,
    f.decided_at, f.seen_at, s.canonical_entity, s.chosen_by
FROM novel_field AS f JOIN novel_source AS s USING (tenant, source_system, source_entity)
WHERE f.source_system = %(connector)s AND f.source_entity = %(entity)s AND f.path_key = md5(%(path)s)::uuid
    AND (%(tenant)s::text IS NULL OR f.tenant = %(tenant)s)
ORDER BY f.seen_at DESC

-- open_usage --
INSERT INTO llm_usage (tenant, month) VALUES (%(tenant)s, %(month)s) ON CONFLICT DO NOTHING

-- lock_usage --
SELECT u.calls, u.tokens, l.calls_per_month, l.tokens_per_month
FROM llm_usage AS u LEFT JOIN llm_limit AS l USING (tenant)
WHERE u.tenant = %(tenant)s AND u.month = %(month)s
FOR UPDATE OF u

-- expire_reservations --
-- Who reserved and never settled may have spent all of it.
WITH gone AS (
    DELETE FROM llm_reservation WHERE tenant = %(tenant)s AND month = %(month)s AND expires_at < now() RETURNING tokens
)
UPDATE llm_usage SET calls = calls + (SELECT count(*) FROM gone), tokens = tokens + (SELECT sum(tokens) FROM gone)
WHERE tenant = %(tenant)s AND month = %(month)s AND EXISTS (SELECT FROM gone)

-- reserved --
SELECT count(*), coalesce(sum(tokens), 0)::bigint FROM llm_reservation WHERE tenant = %(tenant)s AND month = %(month)s

-- reserve --
INSERT INTO llm_reservation (tenant, month, tokens, expires_at)
VALUES (%(tenant)s, %(month)s, %(tokens)s, now() + %(seconds)s * interval '1 second')
RETURNING id

-- release_reservation --
DELETE FROM llm_reservation WHERE id = %(id)s RETURNING tenant, month

-- add_usage --
UPDATE llm_usage SET calls = calls + %(calls)s, tokens = tokens + %(tokens)s, usd = usd + %(usd)s
WHERE tenant = %(tenant)s AND month = %(month)s

-- list_usage --
SELECT tenant, calls, tokens, usd FROM llm_usage WHERE month = %(month)s ORDER BY tenant

-- set_limit --
INSERT INTO llm_limit (tenant, calls_per_month, tokens_per_month) VALUES (%(tenant)s, %(calls)s, %(tokens)s)
ON CONFLICT (tenant) DO UPDATE
SET calls_per_month = EXCLUDED.calls_per_month, tokens_per_month = EXCLUDED.tokens_per_month
