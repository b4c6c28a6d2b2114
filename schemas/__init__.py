"""The words that all parts share: the canonical model, control messages, headers, wire format, kinds of failure."""
