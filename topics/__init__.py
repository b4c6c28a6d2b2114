"""The catalogue of topics, their provisioning, client settings, and the wire form of raw records and dead letters."""
