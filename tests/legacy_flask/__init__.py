"""The old daemon alone: its server, its client, its state."""
