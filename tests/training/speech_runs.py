"""Tiny speech runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from seqvae.config import Experiment, Training
from seqvae.config_speech import Speech
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.decoders import FilmConv
from seqvae.encoders import ContentConv, PitchConv, StyleConv
from seqvae.objectives import LevelRates
from seqvae.posteriors import Gaussian

STEPS = 16
SPEECH = Speech(
    content=ContentConv(dropout=0.0, width=12, layers=1, smooth=0),
    content_posterior=Gaussian(6),
    style=StyleConv(width=12, layers=1),
    style_posterior=Gaussian(4),
    decoder=FilmConv(width=12, layers=1, fine_width=12, dropout=0.0),
    pitch_reader=PitchConv(width=8, layers=1, classes=16),
    table_width=4,
    crop_seconds=0.5,
    batch=4,
)


def speech_experiment(
    corpus: SpeechCorpus,
    run: Path,
    *,
    model: Speech = SPEECH,
    **settings: Any,  # noqa: ANN401
) -> Experiment:
    """A run of `STEPS` steps; `settings` are of `Training`, or of `Experiment` where it has them."""
    own = {k: settings.pop(k) for k in ("objective", "latent", "seed") if k in settings}
    training = Training(
        steps=STEPS,
        validate_every=8,
        checkpoint_every=5,
        learning_rate=5e-3,
        threads=1,
        device="cpu",
        precision="float32",
    )
    return Experiment(
        data=str(corpus.path),
        run=str(run),
        model=model,
        training=replace(training, **settings),
        **{"objective": LevelRates(), **own},
    )
