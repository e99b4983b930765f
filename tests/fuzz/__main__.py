"""`python -m tests.fuzz`: see --help."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .campaign import Campaign
from .targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Reads damaged files of every format.")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, all readers in turn (default 1)")
    parser.add_argument("--runs", type=int, help="damaged files of each reader, in the place of --minutes")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same files (default 0)")
    parser.add_argument("--reader", action="append", choices=sorted(TARGETS), metavar="NAME", help="only this one")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for the files of every finding")
    parser.add_argument("--list", action="store_true", help="names of the readers")
    options = parser.parse_args()
    readers = options.reader or list(TARGETS)
    if options.list:
        print("\n".join(TARGETS))
        return 0
    with Campaign(options.seed, options.keep) as campaign:
        if options.runs:
            for reader in readers:
                campaign.run(reader, options.runs)
        else:
            campaign.run_for(readers, 60 * options.minutes)
    print("\n".join(campaign.report.lines()))
    return 1 if campaign.report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
