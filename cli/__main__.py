"""`python -m cli`: the same as `mclictl`."""

from cli.main import main

main()
