"""Styles of the speakers of a run, so that a name stands for a voice: measured once and kept."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

FILE = "voices.safetensors"
UTTERANCES = 32
"""Most training recordings of a speaker that are heard; styles of more change their mean little."""
LONGEST = 1024
"""Most frames of each, 16 s."""


def speaker_style(model: "SpeechModel", speaker: int) -> Tensor:
    """The style of speaker number `speaker`, shape [D].

    Raises:
        UserError: it was not measured yet and the run's corpus is gone.
    """
    return speaker_styles(model)[speaker]


def speaker_styles(model: "SpeechModel") -> Tensor:
    """The style of every speaker of the run, shape [speakers, D].

    Kept in RUN/voices.safetensors with the step of the weights that it belongs to.

    Raises:
        UserError: they were not measured yet and the run's corpus is gone.
    """
    kept = model.info.get("styles")
    if kept is None:
        kept = _read(model)
        if kept is None:
            kept = measure(model)
            _write(model, kept)
        model.info["styles"] = kept
    found: Tensor = kept
    return found.to(model.device)


def measure(model: "SpeechModel") -> Tensor:
    """Centres of the style posterior's means over training recordings of each speaker.

    Raises:
        UserError: there is no corpus, or a speaker has no recording in its training split.
    """
    from seqvae.data.speech.corpus import SpeechCorpus

    experiment = model.info.get("experiment")
    if experiment is None:
        raise UserError("voice: a name needs the run that the model is from; give recordings")
    try:
        corpus = SpeechCorpus.open(experiment.data)
    except UserError as error:
        raise UserError(
            f"voice: the voices of the run's speakers were not measured yet, and that needs its "
            f"corpus ({error}); give recordings instead of a name"
        ) from None
    latent = model.model.latent
    assert latent is not None
    store = corpus.split("train")
    found = []
    for number, name in enumerate(model.speakers):
        own = np.flatnonzero(np.asarray(store.speaker) == number)
        if not len(own):
            raise UserError(f"voice: {name} has no recording in {experiment.data}")
        chosen = own[np.linspace(0, len(own) - 1, min(len(own), UTTERANCES)).round().astype(int)]
        with evaluating(model.model):
            means = [
                model.model.style(
                    torch.from_numpy(np.array(store.mel(int(i))[:LONGEST], np.float32))[None].to(
                        model.device
                    )
                ).mean
                for i in chosen
            ]
            found.append(latent.prior.center(torch.cat(means)))
    return torch.stack(found).cpu()


def _stamp(model: "SpeechModel") -> dict[str, str]:
    """Which weights and speakers styles belong to."""
    weights = {"step": model.info.get("step"), "which": model.info.get("which")}
    return {"weights": json.dumps(weights), "speakers": json.dumps(model.speakers)}


def _read(model: "SpeechModel") -> Tensor | None:
    """Styles that were kept for these very weights; None: measure them."""
    run = model.info.get("run")
    if run is None:
        return None
    try:
        with safe_open(Path(run) / FILE, "pt") as file:
            if file.metadata() != _stamp(model):
                return None
            styles: Tensor = file.get_tensor("styles")
    except (OSError, SafetensorError):
        return None
    fits = model.model.latent is not None and styles.shape == (
        len(model.speakers),
        model.model.latent.dimension,
    )
    return styles if fits and bool(styles.isfinite().all()) else None


def _write(model: "SpeechModel", styles: Tensor) -> None:
    run = model.info.get("run")
    if run is not None:
        # A run on a read-only disk is measured each time.
        with contextlib.suppress(OSError, SafetensorError):
            partial = Path(run) / f".{FILE}.partial"
            save_file({"styles": styles.contiguous()}, partial, _stamp(model))
            partial.replace(Path(run) / FILE)
