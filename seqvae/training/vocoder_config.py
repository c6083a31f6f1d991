"""How a vocoder is trained."""

from dataclasses import dataclass, field
from typing import Literal

from seqvae.errors import UserError
from seqvae.vocoders import Istft, LinearHead

LearnedVocoder = Istft | LinearHead
"""Vocoders that are trained."""
_POSITIVE = (
    "steps",
    "batch",
    "crop_seconds",
    "learning_rate",
    "clip",
    "validate_every",
    "validate_recordings",
    "checkpoint_every",
    "keep",
    "bad_steps",
    "threads",
)


@dataclass(frozen=True)
class VocoderTraining:
    """The optimisation."""

    steps: int = 6000
    """Optimiser steps."""
    batch: int = 12
    """Crops of a batch."""
    crop_seconds: float = 0.64
    """Length of a crop, its context not counted."""
    learning_rate: float = 2e-3
    """Greatest learning rate."""
    warmup: float = 0.02
    """Part of the run over which the learning rate rises."""
    final_rate: float = 0.02
    """Last learning rate, as a part of the greatest (cosine decay)."""
    weight_decay: float = 0.01
    """AdamW's decay of matrices."""
    clip: float = 5.0
    """Greatest norm of the gradient."""
    ema: float = 0.998
    """Decay of the moving average of the weights, which is what is validated and kept."""
    validate_every: int = 500
    """Steps between validations."""
    validate_recordings: int = 16
    """Recordings of the validation split that are spoken; of training's where there is none."""
    checkpoint_every: int = 250
    """Steps between checkpoints to resume from."""
    keep: int = 2
    """Checkpoints kept."""
    bad_steps: int = 20
    """Non-finite steps in a row, skipped, after which the run stops."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    threads: int | None = None
    """CPU threads; by default torch's choice."""

    def __post_init__(self) -> None:
        """Refuse values that would train nothing, naming the flag."""
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"--{name.replace('_', '-')} must be above 0, got {value}")
        for name in ("warmup", "final_rate"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise UserError(
                    f"--{name.replace('_', '-')} is a part of the run, from 0 to 1; got {value}"
                )
        if not 0.0 < self.ema < 1.0:
            raise UserError(f"--ema must lie between 0 and 1, got {self.ema}")


@dataclass(frozen=True)
class VocoderExperiment:
    """One training of a vocoder, complete."""

    data: str = ""
    """Folder written by `seqvae prepare speech`."""
    out: str = ""
    """Folder for the vocoder, its checkpoints and logs."""
    vocoder: LearnedVocoder = field(default_factory=LinearHead)
    """What is trained."""
    training: VocoderTraining = field(default_factory=VocoderTraining)
    """How."""
    seed: int = 0
    """Seed of everything random."""
