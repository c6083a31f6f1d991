"""Small models of frames, to be exported."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from seqvae import decoders, encoders
from seqvae.config_frames import Frames
from seqvae.likelihoods import Normal
from seqvae.posteriors import Gaussian
from seqvae.tasks.frames_model import FramesModel

FEATURES, LONGEST = 3, 7
LABELS = ("one", "two", "three")
SMALL = Frames(
    encoder=encoders.Gru(width=8),
    posterior=Gaussian(5),
    decoder=decoders.Gru(width=8),
    likelihood=Normal(),
    label_width=4,
)
CONDITIONAL = replace(SMALL, conditional=True)


def frames_model(config: Frames = SMALL, longest: int = LONGEST) -> FramesModel:
    """A model whose weights all matter, of numbers around 0.4 and not of one width."""
    torch.manual_seed(1)
    mean, std = np.array([0.3, 0.4, 0.5]), np.array([0.1, 0.2, 0.4])
    model = config.build(FEATURES, longest, mean, std, labels=len(LABELS))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    info: dict[str, Any] = {"features": FEATURES, "range": [-1.0, 2.0], "settings": {"divide": 4.0}}
    return FramesModel(model.eval(), LABELS, info)


def sequences(count: int, longest: int = LONGEST) -> list[Any]:
    """Sequences of lengths from 1 to `longest`."""
    draw = np.random.default_rng(count)
    return [
        draw.normal(0.4, 0.3, (1 + (3 * row + 2) % longest, FEATURES)).astype(np.float32)
        for row in range(count)
    ]
