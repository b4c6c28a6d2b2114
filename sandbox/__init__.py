"""A local server that plays vendors: their paths, paging, auth, limits and records, and their bad days on command."""
