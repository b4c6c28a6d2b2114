"""Embedders and the LLM proposer, behind the Protocols that `mapping/` declares."""
