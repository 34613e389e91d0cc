"""Runs commands: one helper process spawns, the engine watches, files hold what was printed."""
