"""mclictl: the command line of the workflow runner, a client of its HTTP API."""
