-- The statements of registry/yaml_import.py.

-- imported_versions --
SELECT commit_id, content_hash FROM imported_file
WHERE tenant = %(tenant)s AND source_system = %(connector)s
ORDER BY id

-- imported_targets --
-- What the latest version mapped.
SELECT targets FROM imported_file
WHERE tenant = %(tenant)s AND source_system = %(connector)s
ORDER BY id DESC
LIMIT 1

-- note_imported_file --
INSERT INTO imported_file (tenant, source_system, commit_id, content_hash, targets, revision)
VALUES (%(tenant)s, %(connector)s, %(commit)s, %(content_hash)s, %(targets)s, %(revision)s)
