"""The systems that `make bench-canonicalize` compares, one file each. Each is a process that is given a job file."""
