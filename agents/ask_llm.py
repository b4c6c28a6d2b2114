"""Asks a language model about the fields that retrieval could not tell, many of one entity in one call."""
