"""`python -m closemesh`."""

from closemesh.cli.main import main

main()
