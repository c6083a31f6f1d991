"""`.venv-eval/bin/python -m benchmarks.referees JOB.json OUT.json`; the judges are `seqvae.evaluation.referees`."""

import sys

from seqvae.evaluation.referees.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
