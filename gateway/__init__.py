"""The HTTP edge (FastAPI): today the read API of a Schema Registry over the canonical schemas."""
