-- Every statement about connections and their secrets; registry/connections.py and registry/secrets.py read this file.

-- add_connection --
INSERT INTO connection (tenant, id, connector, settings, secrets, base_url, entities, interval_seconds, created_by)
VALUES (%(tenant)s, %(id)s, %(connector)s, %(settings)s, %(secrets)s, %(base_url)s, %(entities)s, %(interval)s, %(actor)s)
ON CONFLICT (tenant, id) DO NOTHING

-- change_connection --
UPDATE connection SET
    settings = %(settings)s, secrets = %(secrets)s, base_url = %(base_url)s, entities = %(entities)s,
    interval_seconds = %(interval)s, updated_at = now()
WHERE tenant = %(tenant)s AND id = %(id)s AND connector = %(connector)s

-- remove_connection --
DELETE FROM connection WHERE tenant = %(tenant)s AND id = %(id)s

-- list_connections --
SELECT tenant, id, connector, settings, secrets, base_url, entities, interval_seconds, status, reason, fix, problems,
    last_sync_at, next_sync_at, records, progress, claimed_until > now()
FROM connection
WHERE tenant = coalesce(%(tenant)s, tenant) AND id = coalesce(%(id)s, id)
ORDER BY tenant, id

-- set_status --
UPDATE connection SET
    status = %(status)s, reason = %(reason)s, fix = %(fix)s, updated_at = now(),
    next_sync_at = CASE WHEN %(status)s = 'active' THEN now() ELSE next_sync_at END
WHERE tenant = %(tenant)s AND id = %(id)s

-- set_secret_reference --
UPDATE connection SET secrets = secrets || jsonb_build_object(%(name)s::text, %(reference)s::text), updated_at = now()
WHERE tenant = %(tenant)s AND id = %(id)s

-- claim_connection --
UPDATE connection SET
    claimed_by = %(owner)s, claimed_until = now() + make_interval(secs => %(seconds)s), progress = '{}'
WHERE tenant = %(tenant)s AND id = %(id)s AND (claimed_until IS NULL OR claimed_until < now())
RETURNING id

-- claim_due --
UPDATE connection SET
    claimed_by = %(owner)s, claimed_until = now() + make_interval(secs => %(seconds)s), progress = '{}'
WHERE (tenant, id) IN (
    SELECT tenant, id FROM connection
    WHERE status = 'active' AND interval_seconds IS NOT NULL AND next_sync_at <= now()
        AND (claimed_until IS NULL OR claimed_until < now())
    ORDER BY next_sync_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING tenant, id

-- hold_claim --
-- Locks the row to the end of the transaction: positions are written by whoever holds the claim, and by nobody else.
UPDATE connection SET
    claimed_until = now() + make_interval(secs => %(seconds)s), records = records + %(records)s,
    progress = coalesce(%(progress)s, progress)
WHERE tenant = %(tenant)s AND id = %(id)s AND claimed_by = %(owner)s
RETURNING id

-- release_claim --
UPDATE connection SET
    claimed_by = NULL, claimed_until = NULL, progress = NULL, problems = %(problems)s, last_sync_at = now(),
    next_sync_at = now() + make_interval(secs => coalesce(%(again)s, interval_seconds, 0)),
    status = CASE WHEN %(reason)s <> '' AND status = 'active' THEN 'action_required' ELSE status END,
    reason = CASE WHEN %(reason)s <> '' AND status = 'active' THEN %(reason)s ELSE reason END,
    fix = CASE WHEN %(reason)s <> '' AND status = 'active' THEN %(fix)s ELSE fix END
WHERE tenant = %(tenant)s AND id = %(id)s AND claimed_by = %(owner)s

-- list_positions --
SELECT entity, parent, position FROM connection_position WHERE tenant = %(tenant)s AND connection = %(id)s

-- save_position --
INSERT INTO connection_position (tenant, connection, entity, parent, position)
VALUES (%(tenant)s, %(id)s, %(entity)s, %(parent)s, %(position)s)
ON CONFLICT (tenant, connection, entity, parent)
DO UPDATE SET position = EXCLUDED.position, updated_at = now()

-- forget_positions --
DELETE FROM connection_position
WHERE tenant = %(tenant)s AND connection = %(id)s AND entity = coalesce(%(entity)s, entity)

-- put_secret --
INSERT INTO secret (tenant, name, key_id, nonce, ciphertext)
VALUES (%(tenant)s, %(name)s, %(key_id)s, %(nonce)s, %(ciphertext)s)
ON CONFLICT (tenant, name) DO UPDATE SET
    key_id = EXCLUDED.key_id, nonce = EXCLUDED.nonce, ciphertext = EXCLUDED.ciphertext, updated_at = now()

-- find_secret --
SELECT key_id, nonce, ciphertext FROM secret WHERE tenant = %(tenant)s AND name = %(name)s

-- remove_secrets --
DELETE FROM secret WHERE tenant = %(tenant)s AND starts_with(name, %(prefix)s)

-- secrets_of_other_keys --
SELECT tenant, name, key_id, nonce, ciphertext FROM secret WHERE key_id <> %(key_id)s
ORDER BY tenant, name LIMIT 1000 FOR UPDATE SKIP LOCKED
