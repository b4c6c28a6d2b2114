"""The Faust worker: one agent a file, the Kafka source that feeds them, and the mapping cache."""
