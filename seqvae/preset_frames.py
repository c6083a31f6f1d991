"""The default runs on frames of numbers."""

from seqvae import decoders, encoders
from seqvae.config import Experiment, Preset, Training
from seqvae.config_frames import Frames
from seqvae.objectives import Elbo
from seqvae.posteriors import Gaussian
from seqvae.schedules import Linear


def frames_preset(name: Preset = "tiny") -> Experiment:
    """The default run on frames of numbers of a size: `tiny` for a CPU, `small` and `base` for a GPU.

    Args:
        name: which size.
    """
    width, dimension, batch, steps = {
        "tiny": (128, 16, 64, 3000),
        "small": (256, 32, 128, 10_000),
        "base": (512, 64, 256, 30_000),
    }[name]
    return Experiment(
        # A decoder that sees no frames cannot do without z: the bound itself is the best dial, its KL warmed up
        # so that no dimension is given up before it says anything (Bowman et al. 2016).
        objective=Elbo(Linear(end=0.2)),
        model=Frames(
            encoder=encoders.Gru(width=width, dropout=0.0),
            posterior=Gaussian(dimension=dimension),
            decoder=decoders.Gru(width=width, dropout=0.0),
            batch=batch,
        ),
        training=Training(steps=steps, weight_decay=0.01),
    )
