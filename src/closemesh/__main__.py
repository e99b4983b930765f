"""`python -m closemesh`."""

from __future__ import annotations

from closemesh.cli.main import main

main()
