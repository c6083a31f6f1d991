"""Training: a plain torch loop with exact resume, a collapse guard and one dial."""

from seqvae.training.load import is_speech, kind_of, load, load_frames, load_speech, load_text
from seqvae.training.trainer import Trainer, train

__all__ = [
    "Trainer",
    "is_speech",
    "kind_of",
    "load",
    "load_frames",
    "load_speech",
    "load_text",
    "train",
]
