"""A real PostgreSQL with pgvector on this machine, from a Python wheel alone."""
