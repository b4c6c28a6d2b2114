"""The generic connector: auth, paging, limits, discovery and sync, driven by specs and never by vendor code."""
