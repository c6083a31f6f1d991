"""`python -m seqvae.evaluation.referees JOB.json OUT.json`: judge a job; run again, it goes on where it stopped."""

import argparse
import sys
import time
from pathlib import Path

from seqvae.errors import UserError
from seqvae.evaluation.referees.bench import Bench
from seqvae.evaluation.referees.job import read_job
from seqvae.evaluation.referees.summary import table

# Seconds between two lines of progress.
TELL_EVERY = 10.0


def main(argv: list[str] | None = None) -> int:
    """Judge a job and print the table; 2 for a job that makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m seqvae.evaluation.referees", description=__doc__
    )
    parser.add_argument("job", type=Path, help="JSON: items, voices, referees")
    parser.add_argument("out", type=Path, help="JSON to write, or to go on with")
    given = parser.parse_args(argv)
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            print(f"judged {done} of {total}", file=sys.stderr, flush=True)

    try:
        bench = Bench(read_job(given.job))
        for referee, packages in bench.missing.items():
            print(f"without {referee}: {', '.join(packages)} not installed", file=sys.stderr)
        print(table(bench.sit(given.out, tell)["groups"]))
    except UserError as error:
        print(f"referees: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
