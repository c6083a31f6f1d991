"""Training: a plain torch loop with exact resume, a collapse guard and one dial."""

from seqvae.training.checkpoint import load
from seqvae.training.trainer import Trainer, train

__all__ = ["Trainer", "load", "train"]
