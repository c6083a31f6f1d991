"""What is known of the speakers of a run, so that a name stands for a voice: measured once and kept."""

import contextlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.tasks.f0 import F0, f0_of

if TYPE_CHECKING:
    from seqvae.data.speech.store import SpeechStore
    from seqvae.tasks.speech_model import SpeechModel

FILE = "voices.safetensors"
RECORDINGS = 32
"""Most training recordings of a speaker that are heard: the mean over more changes little."""
LONGEST = 1024
"""Most frames of each, 16 s."""


@dataclass(frozen=True)
class Speakers:
    """Of every speaker of a run; NaN where nothing is known.

    Attributes:
        styles: centres of the style posterior's means, [N, D]; D is 0 without a style encoder.
        f0: centre and spread of the pitch (see `F0`), [N, 2].
    """

    styles: Tensor
    f0: Tensor

    def style(self, speaker: int) -> Tensor:
        """The style of a speaker, [D]."""
        return self.styles[speaker]

    def pitch(self, speaker: int) -> F0 | None:
        """The pitch of a speaker; None where it is not known."""
        center, spread = self.f0[speaker].tolist()
        return F0(center, spread) if math.isfinite(center) else None


def speakers_of(model: "SpeechModel") -> Speakers:
    """What is known of the run's speakers; kept in RUN/voices.safetensors with the weights' step.

    Raises:
        UserError: it was not measured yet, and the run's corpus is gone.
    """
    known = model.info.get("voices") or _read(model)
    if known is None:
        known = measure(model)
        keep(model, known)
    model.info["voices"] = known
    found: Speakers = known
    return found


def measure(model: "SpeechModel") -> Speakers:
    """Hear training recordings of each speaker.

    Raises:
        UserError: there is no corpus, or it has no recording of a speaker to train on.
    """
    from seqvae.data.speech.corpus import SpeechCorpus

    experiment = model.info.get("experiment")
    if experiment is None:
        raise UserError("voice: a name needs the run that the model is from; give recordings")
    try:
        corpus = SpeechCorpus.open(experiment.data)
    except UserError as error:
        raise UserError(
            "voice: the run's speakers were not heard yet, and that needs the corpus of the run "
            f"({error}); give recordings instead of a name"
        ) from None
    store = corpus.split("train")
    styles, pitches = [], []
    for name in model.speakers:
        number = corpus.speakers.index(name) if name in corpus.speakers else -1
        frames = _frames(model, store, np.flatnonzero(store.speaker == number))
        if not frames:
            raise UserError(f"voice: {experiment.data} has no recording of {name} to train on")
        styles.append(_style(model, frames))
        pitch = f0_of(model, frames) if model.model.pitch is not None else None
        pitches.append([float("nan")] * 2 if pitch is None else [pitch.center, pitch.spread])
    return Speakers(torch.stack(styles).cpu(), torch.tensor(pitches))


def _frames(model: "SpeechModel", store: "SpeechStore", own: np.ndarray) -> list[Tensor]:
    """Log-mel frames [1, T, mels] of some of the recordings `own`, spread over all."""
    at = np.linspace(0, len(own) - 1, min(len(own), RECORDINGS)).round().astype(int)
    return [
        torch.from_numpy(np.array(store.mel(int(own[i]), 0, LONGEST)))[None].to(model.device)
        for i in at
    ]


def _style(model: "SpeechModel", frames: list[Tensor]) -> Tensor:
    latent = model.model.latent
    if latent is None:
        return torch.zeros(0)
    with evaluating(model.model):
        return latent.prior.center(torch.cat([model.model.style(mel).mean for mel in frames]))


def _stamp(model: "SpeechModel") -> dict[str, str]:
    """Which weights and speakers it belongs to."""
    weights = {"step": model.info.get("step"), "which": model.info.get("which")}
    return {"weights": json.dumps(weights), "speakers": json.dumps(model.speakers)}


def _read(model: "SpeechModel") -> Speakers | None:
    """What was kept for these very weights; None: measure it."""
    run = model.info.get("run")
    if run is None:
        return None
    try:
        with safe_open(Path(run) / FILE, "pt") as file:
            if file.metadata() != _stamp(model):
                return None
            known = Speakers(file.get_tensor("styles"), file.get_tensor("f0"))
    except (OSError, SafetensorError):
        return None
    latent = model.model.latent
    shape = (len(model.speakers), 0 if latent is None else latent.dimension)
    fits = known.styles.shape == shape and known.f0.shape == (len(model.speakers), 2)
    return known if fits and bool(known.styles.isfinite().all()) else None


def keep(model: "SpeechModel", known: Speakers) -> None:
    """Write what is known beside the run that the model was loaded from, if there is one."""
    run = model.info.get("run")
    if run is not None:
        # A run on a read-only disk is measured each time.
        with contextlib.suppress(OSError, SafetensorError):
            partial = Path(run) / f".{FILE}.partial"
            tensors = {"styles": known.styles.contiguous(), "f0": known.f0.contiguous()}
            save_file(tensors, partial, _stamp(model))
            partial.replace(Path(run) / FILE)
