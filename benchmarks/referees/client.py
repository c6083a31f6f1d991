"""What benchmarks ask the referees with."""

from seqvae.evaluation.referees.client import find_python, judge
from seqvae.evaluation.referees.job import Item, Job
from seqvae.evaluation.referees.summary import table

__all__ = ["Item", "Job", "find_python", "judge", "table"]
