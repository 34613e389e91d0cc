"""What handlers ask for, as annotated aliases."""
