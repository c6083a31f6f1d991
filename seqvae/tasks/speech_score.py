"""How (im)probable sounds are, as a whole and frame by frame: for anomaly detection."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seqvae.encoders import FrameEncoder
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.latent import CONTENT
from seqvae.likelihoods import FrameLikelihood
from seqvae.model import SequenceVAE
from seqvae.ops import kl_rows
from seqvae.posteriors import FrameGaussian
from seqvae.tasks.chunks import Array, Chunking
from seqvae.tasks.recording import SoundLike
from seqvae.tasks.render import listen
from seqvae.tasks.voice import VoiceLike, heard_voice

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

MAX_SAMPLES = 1000
STRETCH = 0.25
"""Seconds of the stretch by which `SpeechScore.worst` judges a sound: a syllable."""


@dataclass(frozen=True)
class SpeechScore:
    """What the model says of a sound; nats per frame of log-mel.

    Attributes:
        name: of the sound.
        seconds: its length.
        nats: -ELBO per frame, `reconstruction` + `content` + `style`: the anomaly score. It is a
            density's, so it may be below zero; compare it with that of normal sounds.
        reconstruction: mean -log p(frame | latents).
        content: KL of the content to its prior.
        style: KL of the style to its prior, shared out over all frames; 0 without a style level.
        frame_seconds: from one frame to the next.
        track: -ELBO of each frame, without the style's part, float32 [T]: where the anomaly is.
    """

    name: str
    seconds: float
    nats: float
    reconstruction: float
    content: float
    style: float
    frame_seconds: float
    track: Array = field(repr=False, compare=False)

    @property
    def worst(self) -> float:
        """Mean of `track` over the quarter of a second in which it is greatest, in nats per frame.

        Of the scores this tells altered speech best (`benchmarks.anomaly_audio`): what is wrong in one place is
        lost in the mean of all frames.
        """
        size = max(1, min(round(STRETCH / self.frame_seconds), len(self.track)))
        sums = np.concatenate([[0.0], np.cumsum(self.track, dtype=np.float64)])
        return float((sums[size:] - sums[:-size]).max() / size)


def score_speech(
    model: "SpeechModel",
    source: SoundLike,
    voice: VoiceLike | None = None,
    *,
    samples: int = 4,
    seed: int = 0,
    chunking: Chunking | None = None,
) -> SpeechScore:
    """Score one sound; each window of a long one is a sequence of its own.

    Args:
        model: any speech model.
        source: what is scored.
        voice: who speaks, where that is known: its style is then given and costs nothing. Of a
            table of speakers, the most probable one by default.
        samples: of the latents, over which the reconstruction is averaged.
        seed: fixes them.
        chunking: how a long recording is cut.

    Raises:
        UserError: not a sound, `samples` is out of its range, or no such voice.
    """
    if not 1 <= samples <= MAX_SAMPLES:
        raise UserError(f"score: samples is {samples}; it must be 1 to {MAX_SAMPLES}")
    recording = model.recording(source)
    if voice is None and model.model.labels is not None:
        voice = heard_voice(model, [recording])
    given = None if voice is None else model.voice(voice).condition[None]
    network = model.model
    tracks: list[Array] = []
    sums = np.zeros(3)
    for number, window in enumerate(listen(model, recording, chunking)):
        key = torch.tensor([seed + (number << 32)], device=model.device)
        with evaluating(network):
            found = _terms(network, window.mel, given, key, samples)
        own = [part[window.own].double().cpu().numpy() for part in found]
        sums += [part.sum() for part in own]
        tracks.append((own[0] + own[1]).astype(np.float32))
    track = np.concatenate(tracks)
    reconstruction, content, style = (sums / len(track)).tolist()
    return SpeechScore(
        name=recording.name,
        seconds=recording.seconds,
        nats=reconstruction + content + style,
        reconstruction=reconstruction,
        content=content,
        style=style,
        frame_seconds=1.0 / model.settings.frame_rate,
        track=track,
    )


def _terms(
    network: SequenceVAE, mel: Tensor, condition: Tensor | None, seed: Tensor, samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstruction, KL of the content and KL of the style, each [T] in nats per frame."""
    frames = mel.shape[1]
    level = network.levels[CONTENT]
    posterior = network.content(mel)
    assert isinstance(posterior, FrameGaussian) and isinstance(network.likelihood, FrameLikelihood)
    content = posterior.sample(seed, samples, stream=1)[:, 0]
    style_kl = mel.new_zeros(())
    if condition is None:
        assert network.latent is not None
        z, kl = network.latent.prior.sample_posterior(network.style(mel), seed, samples)
        condition, style_kl = network.condition(z[:, 0]), kl.sum()
    pitch = network.contour(mel)
    told = None if pitch is None else pitch.expand(samples, -1, -1)
    states = network.decoder(content, condition.expand(samples, -1), frames, told)
    steps = network.likelihood.nll_steps(states, mel.expand(samples, -1, -1), None)
    assert isinstance(level.encoder, FrameEncoder)
    stride = level.encoder.stride
    shares = kl_rows(posterior.location[0], posterior.log_variance[0]) / stride
    # What a content vector costs is shared out over its frames.
    content_kl = shares.repeat_interleave(stride)[:frames]
    return steps.mean(0), content_kl, (style_kl / frames).expand(frames)
