"""Tiny untrained speech models with their statistics set, so that frames look like speech."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from seqvae.config import Experiment, write_config
from seqvae.config_speech import Speech
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.decoders import FilmConv
from seqvae.encoders import ContentConv, PitchConv, StyleConv
from seqvae.tasks.speakers import Speakers, keep
from seqvae.tasks.speech_model import SpeechModel
from seqvae.training.checkpoint import write_checkpoint
from seqvae.training.load import load_speech
from seqvae.vocoders import GriffinLim, save_vocoder

SPEAKERS = ["anna", "ben", "cleo"]
PITCHES = Speakers(torch.zeros(3, 0), torch.tensor([[5.3, 0.2], [4.7, 0.1], [5.0, 0.2]]))
VOCODER = GriffinLim(iterations=2, inverse="pseudo")


def tiny(
    speakers: Literal["encoder", "table", "both"] = "encoder",
    *,
    causal: bool = False,
    pitch: bool = True,
    settings: MelSettings | None = None,
) -> SpeechModel:
    """A model of a few thousand weights, louder than at the start of a training."""
    torch.manual_seed(0)
    settings = settings or MelSettings()
    config = Speech(
        content=ContentConv(width=16, layers=1, causal=causal),
        style=StyleConv(width=16, layers=1),
        decoder=FilmConv(width=16, layers=1, fine_width=16, causal=causal),
        pitch=pitch,
        pitch_reader=PitchConv(width=8, layers=1, classes=16, causal=causal),
        speakers=speakers,
        table_width=8,
    )
    mean = np.linspace(-4.0, -6.0, settings.mels, dtype=np.float32)
    std = np.full(settings.mels, 1.5, np.float32)
    network = config.build(settings, mean, std, speakers=len(SPEAKERS))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            # Harmonics twice as strong would clip.
            if parameter.dim() > 1 and "voicing" not in name:
                parameter.mul_(2.0)
    info = {"experiment": Experiment(model=config, data="absent")}
    return SpeechModel(network, settings, SPEAKERS, VOCODER.build(settings), info)


def write_run(folder: Path, model: SpeechModel, data: Path | str = "absent") -> Path:
    """The model as a run that was trained on `data`, its vocoder beside it."""
    folder.mkdir(parents=True)
    experiment = dataclasses.replace(model.info["experiment"], data=str(data), run=str(folder))
    mel = dataclasses.asdict(model.settings)
    write_config(folder / "config.json", experiment, mel=mel, speakers=model.speakers)
    write_checkpoint(folder / "best", {"model": model.model.state_dict()}, {"step": 7})
    save_vocoder(model.vocoder, VOCODER, folder / "vocoder")
    return folder


@pytest.fixture(scope="session")
def model() -> SpeechModel:
    return tiny()


@pytest.fixture(scope="session")
def table_model() -> SpeechModel:
    model = tiny("table")
    model.info["voices"] = PITCHES
    return model


@pytest.fixture(scope="session")
def both_model() -> SpeechModel:
    return tiny("both")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "tiny", tiny())


@pytest.fixture(scope="session")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs") / "table", tiny("table"))
    keep(load_speech(run), PITCHES)
    return run
