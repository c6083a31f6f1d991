"""What all tasks on sound share: windows of a recording heard as frames, and frames spoken."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seqvae.evaluation.likelihood import evaluating
from seqvae.tasks.chunks import Array, Chunking, join, windows
from seqvae.tasks.recording import Recording

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

PEAK = 0.99
"""Greatest sample written."""


@dataclass(frozen=True)
class Window:
    """A stretch of a recording; whole content vectors long, silence behind the recording's end.

    Attributes:
        first: number of its first sample.
        samples: shape [T * hop], at the loudness that the model reads.
        mel: log-mel frames, shape [1, T, mels].
        own: those of its frames that no other window counts; the rest is overlap.
    """

    first: int
    samples: Array
    mel: Tensor
    own: slice


Change = Callable[[Window], Tensor]
"""From a window to frames of the same shape as its `mel`."""


def listen(
    model: "SpeechModel", recording: Recording, chunking: Chunking | None = None
) -> Iterator[Window]:
    """The windows of a recording in their order; one, where it is no longer than a window."""
    chunking = chunking or Chunking()
    step, hop = model.step, model.settings.hop
    overlap = shared(model, chunking)
    longest = max(round(chunking.seconds * model.settings.sample_rate / step), 2 * overlap)
    cuts = windows(-(-recording.length // step), longest, overlap)
    # Two windows meet in the middle of what they share.
    meeting = [(end + begin) // 2 for (_, end), (begin, _) in itertools.pairwise(cuts)]
    ends = [0, *meeting, cuts[-1][1]]
    stretches = recording.stretches([(begin * step, end * step) for begin, end in cuts])
    frames = step // hop
    for number, samples in enumerate(stretches):
        begin = cuts[number][0]
        with evaluating(model.model):
            mel = model.mel(torch.from_numpy(samples)[None].to(model.device))
        own = slice((ends[number] - begin) * frames, (ends[number + 1] - begin) * frames)
        yield Window(begin * step, samples, mel, own)


def shared(model: "SpeechModel", chunking: Chunking) -> int:
    """Content vectors that neighbouring windows share."""
    return max(round(chunking.overlap * model.settings.sample_rate / model.step), 1)


def speak(model: "SpeechModel", mel: Tensor, first: int = 0, seed: int = 0) -> Array:
    """Samples [T * hop] of log-mel frames [1, T, mels], of which the first is number `first`."""
    vocoder = model.vocoder
    with evaluating(vocoder):
        noise = None
        if vocoder.noise_width:
            key = torch.tensor([seed], device=model.device)
            noise = vocoder.draw(key, mel.shape[1], first)
        samples: Array = vocoder(mel, noise)[0].float().cpu().numpy()
    return samples


def render(
    model: "SpeechModel",
    recording: Recording,
    change: Change,
    chunking: Chunking | None = None,
    seed: int = 0,
) -> Iterator[Array]:
    """The recording with its frames changed and spoken, in pieces; see `joined`.

    Args:
        model: gives frames, vocoder and device.
        recording: what is read.
        change: what becomes of the frames.
        chunking: how a long recording is cut.
        seed: of the vocoder's noise.
    """

    def sound(window: Window) -> Array:
        with evaluating(model.model):
            mel = change(window)
        return speak(model, mel, window.first // model.settings.hop, seed)

    return joined(model, recording, sound, chunking)


def joined(
    model: "SpeechModel",
    recording: Recording,
    sound: Callable[[Window], Array],
    chunking: Chunking | None = None,
) -> Iterator[Array]:
    """What `sound` makes of the windows, as one sound in pieces: float32 at the model's rate.

    There are as many samples as the recording has, at its loudness. A recording without a sound in
    it stays silent: a network would make a voice up.
    """
    chunking = chunking or Chunking()
    if recording.silent:
        yield from (np.zeros(len(block), np.float32) for block in recording.blocks())
        return
    overlap = shared(model, chunking) * model.step
    fade = min(round(chunking.fade * model.settings.sample_rate), overlap // 2)
    left = recording.length
    pieces = (sound(window) for window in listen(model, recording, chunking))
    for piece in join(pieces, overlap, fade):
        kept = piece[:left]
        left -= len(kept)
        yield np.clip(kept / recording.gain, -PEAK, PEAK)
