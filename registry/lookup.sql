-- The statement of registry/lookup.py.

-- find_mappings --
-- The tenant's own, and those of all whose target it has none of its own for.
SELECT canonical_entity, canonical_field, source_field, transform, confidence, status
FROM mapping_registry AS found
WHERE is_active AND tenant IN (%(tenant)s, '*') AND source_system = %(connector)s AND source_entity = %(entity)s
    AND md5(source_field) = md5(%(source_field)s) AND source_field = %(source_field)s
    AND (tenant = %(tenant)s OR NOT EXISTS (
        SELECT FROM mapping_registry AS own
        WHERE own.is_active AND own.tenant = %(tenant)s
            AND own.source_system = %(connector)s AND own.source_entity = %(entity)s
            AND own.canonical_entity = found.canonical_entity AND own.canonical_field = found.canonical_field
    ))
ORDER BY canonical_entity, canonical_field
