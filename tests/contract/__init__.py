"""Every row of the legacy contract, against every server that speaks it."""
