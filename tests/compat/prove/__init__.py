"""The proof of parity, and the proof of the proof."""
