"""legacy_flask."""
