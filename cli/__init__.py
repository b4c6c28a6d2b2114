"""The `aam` command: one file a group of commands, wiring only."""
