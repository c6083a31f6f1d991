"""What is measured of speech at each validation: costs and rates of whole recordings, and who is heard in the content."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from seqvae.batch import Batch, padding_mask
from seqvae.data.speech.pitch import pitch_contour
from seqvae.data.storage import LongArray
from seqvae.evaluation.collapse import active_units, mutual_information
from seqvae.evaluation.leak import speaker_leak
from seqvae.evaluation.likelihood import evaluating
from seqvae.latent import CONTENT, STYLE
from seqvae.latent_model import LatentModel
from seqvae.model import SequenceVAE
from seqvae.posteriors import FrameGaussian, Posterior
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.training.validation import Validation

if TYPE_CHECKING:
    from seqvae.data.speech.store import SpeechStore

# Recordings that are measured, and how much of each is read, seconds: on one core 3 minutes take as long
# as a dozen steps.
SECONDS, LONGEST = 180.0, 20.0
# Recordings of a speaker that the probe needs at least to be worth its name.
OF_EACH = 4
# Frames that are padded into one batch.
BATCH_FRAMES = 4096


@dataclass(frozen=True)
class Recordings:
    """Some whole recordings as a batch.

    Attributes:
        batch: frames, speakers, and tracked pitch.
        noisy: of a denoiser, what it hears instead, [B, T, mels]; else None.
    """

    batch: Batch
    noisy: Tensor | None = None


@final
class SpeechValidation(Validation):
    """Measures a model on whole recordings.

    Args:
        recordings: what to measure on; at least one.
        device: where to compute.
    """

    # A bound would be lower with less content: at the wanted rate, what counts is how well it is used.
    criterion = "reconstruction_frame"

    def __init__(self, recordings: Iterable[Recordings], device: torch.device) -> None:
        self.recordings = [
            Recordings(one.batch.to(device), None if one.noisy is None else one.noisy.to(device))
            for one in recordings
        ]

    def measure(self, model: LatentModel) -> dict[str, Any]:
        """See `Validation.measure`; nats per recording unless the name says otherwise.

        Pitch is read from the frames, as in use. `..._frame` are nats per frame, `l1` is the mean
        absolute error of natural log-mel bins written from posterior means.
        """
        assert isinstance(model, SequenceVAE)
        sums: dict[str, float] = {}
        level_means = _Levels()
        with evaluating(model):
            for number, one in enumerate(self.recordings):
                for name, value in _costs(model, one, number, level_means).items():
                    sums[name] = sums.get(name, 0.0) + float(value)
        count, frames = sums["recordings"], sums["frames"]
        assert model.frame_seconds is not None
        seconds = frames * model.frame_seconds
        kl = sums[CONTENT] + sums.get(STYLE, 0.0)
        measured: dict[str, Any] = {
            "bound": (sums["reconstruction"] + kl) / count,
            "bound_frame": (sums["reconstruction"] + kl) / frames,
            "reconstruction": sums["reconstruction"] / count,
            "reconstruction_frame": sums["reconstruction"] / frames,
            "kl": kl / count,
            CONTENT: sums[CONTENT] / count,
            "content_frame": sums[CONTENT] / frames,
            "bit_rate": sums[CONTENT] / seconds / math.log(2),
            "l1": sums["l1"] / frames,
            "prior_gap": (sums["content_of_prior"] - sums["reconstruction"]) / frames,
        }
        measured |= {
            name: sums[name] / frames
            for name in ("pitch", "noisy_l1", "denoised_l1")
            if name in sums
        }
        if STYLE in sums:
            measured[STYLE] = sums[STYLE] / count
            measured["style_gap"] = (sums["style_of_prior"] - sums["reconstruction"]) / frames
        return measured | level_means.diagnose(seconds)

    def in_words(self, measured: dict[str, Any]) -> str:
        """See `Validation.in_words`."""
        units = f"{measured['active_units']:.0f}/{measured['dimensions']:.0f} units"
        words = [f"content {measured['bit_rate']:.0f} bit/s ({units})"]
        if STYLE in measured:
            information = f"MI {measured['mi']:.2f} of {measured['mi_cap']:.2f}"
            words.append(f"style {measured[STYLE]:.1f} nats ({information})")
        words.append(f"{measured['reconstruction_frame']:.2f} nats a frame")
        words.append(f"L1 {measured['l1']:.3f}")
        if "leak" in measured:
            words.append(
                f"a probe names the speaker from {measured['leak']:.0%} of contents, "
                f"{measured['leak_frame']:.0%} of their vectors (chance {measured['leak_chance']:.0%})"
            )
        if "denoised_l1" in measured:
            words.append(
                f"L1 with noise {measured['noisy_l1']:.3f}, denoised {measured['denoised_l1']:.3f}"
            )
        return ", ".join(words)


class _Levels:
    """Posterior statistics of the levels, gathered batch by batch."""

    def __init__(self) -> None:
        self.contents: list[Tensor] = []
        self.speakers: list[int] = []
        self.styles: list[DiagonalGaussian] = []
        self.kl: dict[str, Tensor] = {}

    def add(self, name: str, posterior: Posterior, kl: Tensor) -> None:
        """Take in a level of some recordings and its KL, [B, D]."""
        self.kl[name] = self.kl.get(name, torch.zeros(1)) + kl.detach().double().sum(0).cpu()
        if isinstance(posterior, FrameGaussian):
            self.contents += contents_of(posterior)
        elif isinstance(posterior, DiagonalGaussian):
            self.styles.append(posterior)

    def diagnose(self, seconds: float) -> dict[str, Any]:
        """Active units, information and leak; bit/s of each content dimension, nats of each style one."""
        vectors = torch.cat(self.contents)
        found: dict[str, Any] = {
            "active_units": active_units(vectors),
            "dimensions": vectors.shape[1],
            "kl_dimensions": (self.kl[CONTENT] / seconds / math.log(2)).tolist(),
        }
        if self.styles:
            means = torch.cat([style.mean.float().cpu() for style in self.styles])
            spreads = torch.cat([style.log_variance.float().cpu() for style in self.styles])
            found["mi"], found["mi_cap"] = mutual_information(means, spreads)
            found["style_active_units"] = active_units(means)
            found["style_dimensions"] = means.shape[1]
            found["style_kl_dimensions"] = (self.kl[STYLE] / len(means)).tolist()
        return found | _leak(self.contents, self.speakers)


def _leak(contents: list[Tensor], speakers: list[int]) -> dict[str, float]:
    found = speaker_leak(contents, speakers)
    if found is None:
        return {}
    return {"leak": found.recordings, "leak_frame": found.frames, "leak_chance": found.chance}


def leak_probe(
    model: SequenceVAE, store: "SpeechStore", seconds: float = 600.0
) -> dict[str, float]:
    """How well the speaker is told from the content of recordings.

    Args:
        model: a speech model; left in the mode it was in.
        store: a split.
        seconds: recordings that are read, together.

    Returns:
        `leak` of recordings and `leak_frame` of single content vectors, parts of 1, beside `leak_chance`;
        nothing where there are no two speakers with two recordings each.
    """
    device = next(model.parameters()).device
    contents: list[Tensor] = []
    speakers: list[int] = []
    with evaluating(model):
        for indices in batches(store, spread(store, seconds)):
            batch = whole(store, indices).to(device)
            posterior = model.content(batch.values, batch.lengths)
            assert isinstance(posterior, FrameGaussian) and batch.labels is not None
            contents += contents_of(posterior)
            speakers += batch.labels.tolist()
    return _leak(contents, speakers)


def spread(store: "SpeechStore", seconds: float = SECONDS) -> LongArray:
    """Numbers of recordings of about `seconds` together: several each of as many speakers as that allows."""
    frames = np.minimum(store.frames, LONGEST * store.settings.frame_rate)
    count = max(1, int(seconds * store.settings.frame_rate / max(1.0, float(frames.mean()))))
    speakers = np.unique(store.speaker)
    used = speakers[_evenly(len(speakers), max(2, count // OF_EACH))]
    each = max(1, count // len(used))
    of_each = [np.flatnonzero(store.speaker == speaker) for speaker in used]
    return np.concatenate([mine[_evenly(len(mine), each)] for mine in of_each]).astype(np.int64)


def batches(store: "SpeechStore", indices: LongArray) -> Iterable[LongArray]:
    """The recordings in groups of like length, padded to at most `BATCH_FRAMES` if there are several."""
    order = indices[np.argsort(-store.frames[indices], kind="stable")]
    first = 0
    while first < len(order):
        longest = min(int(store.frames[order[first]]), _longest(store))
        size = max(1, BATCH_FRAMES // max(1, longest))
        yield order[first : first + size]
        first += size


def whole(store: "SpeechStore", indices: LongArray) -> Batch:
    """Recordings from their beginning, at most `LONGEST` of each."""
    lengths = np.minimum(store.frames[indices], _longest(store)).astype(np.int64)
    values = np.zeros((len(indices), int(lengths.max()), store.settings.mels), np.float32)
    pitch = np.zeros((*values.shape[:2], 3), np.float32)
    for row, (index, size) in enumerate(zip(indices.tolist(), lengths.tolist(), strict=True)):
        values[row, :size] = store.mel(index, 0, size)
        pitch[row, :size] = pitch_contour(store.pitch(index))[:size]
    return Batch(
        torch.from_numpy(values),
        torch.from_numpy(lengths),
        torch.from_numpy(store.speaker[indices].astype(np.int64)),
        pitch=torch.from_numpy(pitch),
    )


def contents_of(posterior: FrameGaussian) -> list[Tensor]:
    """Means of the content vectors of each row, [T'_i, D], float32 on the CPU."""
    means = posterior.mean.float().cpu()
    if posterior.mask is None:
        return list(means)
    return [row[mask] for row, mask in zip(means, posterior.mask.cpu(), strict=True)]


def _costs(
    model: SequenceVAE, recordings: Recordings, number: int, levels: _Levels
) -> dict[str, Tensor | float]:
    """Sums over some recordings, in nats but for `l1`: of frames."""
    batch = recordings.batch
    assert batch.labels is not None and batch.pitch is not None
    values, lengths = batch.values, batch.lengths
    seed = torch.tensor([number], device=values.device)
    content = model.content(values, lengths)
    assert isinstance(content, FrameGaussian)
    # In use there is no tracked pitch, and no label for a model that does not need one.
    plain = Batch(values, lengths, batch.labels)
    prior = model.levels[CONTENT].prior
    z, kl = prior.sample_posterior(content, seed, 1, 1)
    levels.add(CONTENT, content, kl)
    levels.speakers += batch.labels.tolist()
    found: dict[str, Tensor | float] = {
        "recordings": batch.size,
        "frames": int(lengths.sum()),
        CONTENT: kl.double().sum(),
    }
    style: Tensor | None = None
    mean: Tensor | None = None
    if model.latent is not None:
        voice = model.style(values, lengths)
        style, kl = model.latent.prior.sample_posterior(voice, seed, 1)
        mean = voice.mean
        levels.add(STYLE, voice, kl)
        found[STYLE] = kl.double().sum()
        other = model.latent.prior.sample(seed, batch.size)[None]
        found["style_of_prior"] = _sum(model.reconstruction(plain, other, {CONTENT: z}))
    found["reconstruction"] = _sum(model.reconstruction(plain, style, {CONTENT: z}))
    unsaid = prior.sample(seed, content.location[..., 0].numel()).view_as(content.location)
    if content.mask is not None:
        unsaid = unsaid * content.mask[..., None]
    found["content_of_prior"] = _sum(model.reconstruction(plain, style, {CONTENT: unsaid[None]}))
    found["l1"] = _error(model, plain, content.mean, mean, values)
    if model.pitch is not None:
        embedded = model.likelihood.embed(values)
        found["pitch"] = model.pitch.nll(embedded, batch.pitch, lengths).double().sum()
    if recordings.noisy is not None:
        noisy = recordings.noisy
        heard = None if model.latent is None else model.style(noisy, lengths).mean
        said = model.content(noisy, lengths).mean
        found["noisy_l1"] = _absolute(noisy - values, lengths)
        found["denoised_l1"] = _error(model, plain, said, heard, noisy)
    return found


def _error(
    model: SequenceVAE, batch: Batch, content: Tensor, style: Tensor | None, heard: Tensor
) -> Tensor:
    """Absolute error of the frames written from means, [B, ...], summed over frames, averaged over bins."""
    condition = model.condition(style, batch.labels)
    pitch = model.contour(heard, batch.lengths)
    written = model.frames(content, condition, batch.values.shape[1], pitch, batch.lengths)
    return _absolute(written - batch.values, batch.lengths)


def _absolute(error: Tensor, lengths: Tensor) -> Tensor:
    mask = padding_mask(lengths, error.shape[1])
    return (error.abs().mean(-1) * mask).double().sum()


def _sum(nats: Tensor) -> Tensor:
    return nats[0].double().sum()


def _longest(store: "SpeechStore") -> int:
    return max(1, round(LONGEST * store.settings.frame_rate))


def _evenly(size: int, count: int) -> LongArray:
    """`count` numbers below `size`, evenly spaced; all of them where there are no more."""
    return np.unique(np.linspace(0, size - 1, min(size, count)).round().astype(np.int64))
