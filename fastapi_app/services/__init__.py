"""All rules. Collaborators come in by constructor."""
