"""Proof of parity: the same bytes to the old daemon and to each stage, every difference shown."""
