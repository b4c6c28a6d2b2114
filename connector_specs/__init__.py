"""Data only: one `<connector>.json` per connector, its seed mappings beside it, and the JSON Schemas of both."""
