"""Finds what novel fields may be: keeps their profiles, gathers those of an entity, scores the whole entity at once."""
