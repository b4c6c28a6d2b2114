"""Turns proposals into mappings, ignored paths or review items; which, is decided in `mapping.decide`."""
