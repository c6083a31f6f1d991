"""A trained run, ready to use."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from seqvae.config import Experiment, read_config
from seqvae.data.attributes import attributes_of
from seqvae.data.folder import Modality
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.text import Tokenizer
from seqvae.errors import UserError
from seqvae.latent_model import LatentModel
from seqvae.training.checkpoint import read_checkpoint, recover
from seqvae.training.fit_prior import read_fitted

if TYPE_CHECKING:
    from seqvae.tasks.frames_model import FramesModel
    from seqvae.tasks.speech_model import SpeechModel
    from seqvae.tasks.text_model import TextModel

Which = Literal["best", "last"]
Expected = Literal["fitted", "standard"]
"""Which prior of a run: the one that `seqvae fit-prior` fitted, or the one it was trained with."""
VOCODER = "vocoder"
"""Folder of a run with its own vocoder."""


def load(
    run: str | Path, which: Which = "best", device: str = "cpu"
) -> "TextModel | SpeechModel | FramesModel":
    """A trained run, ready to use.

    Args:
        run: folder that `seqvae train` wrote.
        which: the weights with the best validation bound at the wanted rate, or the last ones.
        device: where to compute.

    Returns:
        The model with its tokenizer or its vocoder, in evaluation mode: of text, of speech or of frames, as
        the run is.

    Raises:
        UserError: not a run, of another version, unfinished before its first validation, damaged.
    """
    kind = kind_of(run)
    if kind == "frames":
        return load_frames(run, which, device)
    return (load_speech if kind == "speech" else load_text)(run, which, device)


def kind_of(run: str | Path) -> Modality:
    """What a run is trained on.

    Raises:
        UserError: not a run, or of another version.
    """
    experiment, _ = read_config(Path(run) / "config.json")
    return experiment.kind


def is_speech(run: str | Path) -> bool:
    """Whether a run is one of speech.

    Raises:
        UserError: not a run, or of another version.
    """
    return kind_of(run) == "speech"


def load_text(
    run: str | Path,
    which: Which = "best",
    device: str = "cpu",
    prior: Expected | None = None,
    label: str | Sequence[str] | None = None,
) -> "TextModel":
    """A run on text; see `load`.

    Args:
        run: folder that `seqvae train` wrote.
        which: weights.
        device: where to compute.
        prior: fitted: the one that `seqvae fit-prior` fitted; standard: the one it was trained with;
            None: the fitted one where there is one.
        label: of a conditional model: the one whose texts are wanted; with attributes, it and NAME=VALUE for each.

    Raises:
        UserError: as `load`, it is a run on speech, its fitted prior is missing or of other weights, or there is no such
            label.
    """
    from seqvae.tasks.text_model import TextModel

    path = Path(run)
    experiment, facts = read_config(path / "config.json")
    networks = dataclasses.replace(experiment, run=str(path)).text
    try:
        tokenizer = Tokenizer((path / "tokenizer.model").read_bytes())
    except OSError as error:
        raise UserError(
            f"{path / 'tokenizer.model'}: {error.strerror}; copy the whole run"
        ) from None
    tensors, state = _read(path, which, device)
    labels = list(facts.get("labels", []))
    attributes = attributes_of(facts, str(path / "config.json"))
    model = networks.build(
        tokenizer.vocab_size,
        latent=experiment.latent == "vae",
        labels=len(labels),
        attributes=attributes,
    )
    _fill(model, tensors, path / which)
    info = _info(path, experiment, facts, state, which)
    if prior != "standard" and model.latent is not None:
        found = read_fitted(path, which, state.get("step", -1), model.latent.dimension, device)
        if found is not None:
            model.latent.prior, info["fitted_prior"] = found
    if prior == "fitted" and "fitted_prior" not in info:
        raise UserError(f"{path} has no fitted prior: run `seqvae fit-prior {path}` first")
    loaded = TextModel(model.to(device).eval(), tokenizer, labels, info, attributes=attributes)
    said = [label] if isinstance(label, str) else label
    return loaded.given(*said) if said else loaded


def load_speech(run: str | Path, which: Which = "best", device: str = "cpu") -> "SpeechModel":
    """A run on speech, with the vocoder in its folder `vocoder`, or Griffin-Lim; see `load`.

    Raises:
        UserError: as `load`, it is a run on text, or its vocoder was made for other mel settings.
    """
    from seqvae.tasks.speech_model import SpeechModel
    from seqvae.vocoders import load_vocoder

    path = Path(run)
    experiment, facts = read_config(path / "config.json")
    networks = dataclasses.replace(experiment, run=str(path)).speech
    settings, speakers = _frames(path / "config.json", facts)
    tensors, state = _read(path, which, device)
    items = tensors.get("latent.prior.table.weight", torch.zeros(0))
    model = networks.build(settings, speakers=len(speakers), items=len(items))
    _fill(model, tensors, path / which)
    vocoder = None
    if (path / VOCODER).exists():
        vocoder = load_vocoder(path / VOCODER, settings)
    info = _info(path, experiment, facts, state, which)
    return SpeechModel(model.to(device).eval(), settings, speakers, vocoder, info)


def load_frames(run: str | Path, which: Which = "best", device: str = "cpu") -> "FramesModel":
    """A run on frames of numbers; see `load`.

    Raises:
        UserError: as `load`, or it is a run on text or speech.
    """
    from seqvae.tasks.frames_model import FramesModel

    path = Path(run)
    experiment, facts = read_config(path / "config.json")
    networks = dataclasses.replace(experiment, run=str(path)).frames
    try:
        features, longest = int(facts["features"]), int(facts["longest"])
        labels = [str(label) for label in facts["labels"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / 'config.json'}: its frames are damaged ({error})") from None
    tensors, state = _read(path, which, device)
    model = networks.build(features, longest, labels=len(labels), latent=experiment.latent == "vae")
    _fill(model, tensors, path / which)
    info = _info(path, experiment, facts, state, which)
    return FramesModel(model.to(device).eval(), labels, info)


def _frames(path: Path, facts: dict[str, Any]) -> tuple[MelSettings, list[str]]:
    """Mel settings and speakers of a speech run's `config.json`."""
    try:
        settings, speakers = MelSettings(**facts["mel"]), facts["speakers"]
    except (KeyError, TypeError, UserError) as error:
        raise UserError(f"{path}: its mel settings or speakers are damaged ({error})") from None
    if not isinstance(speakers, list) or not all(isinstance(name, str) for name in speakers):
        raise UserError(f"{path}: speakers is {speakers!r:.80}, not a list of names")
    return settings, speakers


def _read(path: Path, which: str, device: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and state of the run's `which` checkpoint."""
    folder = path / which
    recover(folder)
    if not folder.exists():
        raise UserError(f"{path} has no {which!r} weights yet: train on until its first validation")
    tensors, state = read_checkpoint(folder, device)
    return tensors.get("model", {}), state


def _fill(model: LatentModel, tensors: dict[str, Tensor], folder: Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            f"{folder}: its weights do not fit {folder.parent / 'config.json'} ({error})"
        ) from None


def _info(
    path: Path, experiment: Experiment, facts: dict[str, Any], state: dict[str, Any], which: str
) -> dict[str, Any]:
    return {**facts, **state, "experiment": experiment, "run": str(path), "which": which}
