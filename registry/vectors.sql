-- The statements of registry/vectors.py and registry/vector_sets.py whose tables are known; the others are composed there.

-- find_embedder --
-- Without a name the current one.
SELECT id, name, dimension FROM embedder
WHERE CASE WHEN %(name)s::text IS NULL THEN is_current ELSE name = %(name)s AND dimension = %(dimension)s END

-- add_embedder --
INSERT INTO embedder (name, dimension, is_current)
VALUES (%(name)s, %(dimension)s, NOT EXISTS (SELECT FROM embedder WHERE is_current))
RETURNING id

-- retire_embedder --
UPDATE embedder SET is_current = false WHERE is_current

-- make_embedder_current --
UPDATE embedder SET is_current = true WHERE id = %(id)s

-- forget_other_embedders --
DELETE FROM embedder WHERE NOT is_current AND (name, dimension) <> (%(name)s, %(dimension)s) RETURNING id

-- put_embedded_texts --
INSERT INTO embedded_text (kind, key, canonical_entity, text)
SELECT * FROM unnest(%(kinds)s::text[], %(keys)s::text[], %(entities)s::text[], %(texts)s::text[])
ORDER BY 1, 2
ON CONFLICT (kind, key) DO UPDATE SET canonical_entity = EXCLUDED.canonical_entity, text = EXCLUDED.text

-- lock_embedded_texts --
SELECT kind, key FROM embedded_text
WHERE (kind, key) IN (SELECT * FROM unnest(%(kinds)s::text[], %(keys)s::text[]))
ORDER BY kind, key
FOR KEY SHARE

-- remove_embedded_texts --
DELETE FROM embedded_text WHERE kind = %(kind)s AND key = ANY(%(keys)s)

-- set_hnsw --
-- Of this transaction. An index scan that a filter left too few rows goes on.
SELECT set_config('hnsw.ef_search', %(ef_search)s, true), set_config('hnsw.iterative_scan', 'strict_order', true)

-- find_index --
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%(name)s)
