"""Postgres: mappings and their revisions, source schemas, and the outbox the publisher reads."""
