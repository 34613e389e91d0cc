"""Real child processes."""
