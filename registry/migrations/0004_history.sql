-- Filled by the registry's history: versions, approval, audit.
SELECT 1;
