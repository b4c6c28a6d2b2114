"""Speed, memory and latency, beside named peers or stated limits; `make bench-NAME`, never part of `make test`."""
