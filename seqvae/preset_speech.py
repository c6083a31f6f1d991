"""The default runs on speech."""

from seqvae import decoders, encoders
from seqvae.config import Experiment, Preset, Training
from seqvae.config_speech import Speech
from seqvae.objectives import LevelRates


def speech_preset(name: Preset = "tiny", rate: float = 800.0) -> Experiment:
    """The default speech run of a size: `tiny` for a CPU, `small` and `base` for a GPU.

    Args:
        name: which size.
        rate: bit/s that the content shall carry.
    """
    width, layers, batch, rate_of_learning, steps = {
        "tiny": (192, 3, 16, 1.5e-3, 12_000),
        "small": (384, 4, 64, 7e-4, 50_000),
        "base": (768, 6, 128, 3e-4, 100_000),
    }[name]
    return Experiment(
        objective=LevelRates(content=rate),
        model=Speech(
            content=encoders.ContentConv(width=width, layers=layers),
            style=encoders.StyleConv(width=2 * width // 3),
            decoder=decoders.FilmConv(width=width, layers=layers + 1, fine_width=2 * width // 3),
            batch=batch,
        ),
        # Voices are learned in steps, not in passes: little data is gone through more often.
        training=Training(learning_rate=rate_of_learning, weight_decay=0.01, steps=steps),
    )
