"""Weighs a language model's answer against what retrieval found: its word moves a probability, it never is one."""
