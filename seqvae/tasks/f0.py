"""Where a voice's pitch lies and how lively it is, by the model's own reader of pitch."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqvae.data.speech.pitch import CONTOUR_SCALE
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

FEWEST = 16
"""Voiced frames, 0.25 s, below which a spread says nothing."""
WIDEST = 4.0
"""Most by which a melody is stretched, or pressed together."""
_QUANTILES = (
    0.159,
    0.5,
    0.841,
)  # of a normal distribution: mean - deviation, mean, mean + deviation


@dataclass(frozen=True)
class F0:
    """Of the fundamental frequency of voiced frames, in natural log Hz.

    By quantiles: the reader slips by an octave now and then, and a mean square would show little else.

    Attributes:
        center: median.
        spread: half of the distance between the quantiles that lie a standard deviation around it.
    """

    center: float
    spread: float

    def towards(self, other: "F0", strength: float) -> "F0":
        """What lies at `strength` of the way to `other`."""
        center = self.center + strength * (other.center - self.center)
        return F0(center, self.spread * (other.spread / self.spread) ** strength)


def f0_of(model: "SpeechModel", frames: Iterable[Tensor]) -> F0 | None:
    """Statistics over log-mel frames [1, T, mels] each; None where too little is voiced.

    Raises:
        UserError: the model reads no pitch.
    """
    network = model.model
    if network.pitch is None:
        raise UserError(
            "f0 statistics: this run reads no pitch, so it cannot move it; train one with "
            "--model.pitch True"
        )
    found = [torch.zeros(0, device=model.device)]
    with evaluating(network):
        for mel in frames:
            log, voiced = network.pitch.log_hertz(network.likelihood.embed(mel))
            found.append(log[voiced > 0])
    values = torch.cat(found)
    if len(values) < FEWEST:
        return None
    low, center, high = values.quantile(values.new_tensor(_QUANTILES)).tolist()
    return F0(center, max((high - low) / 2, 1e-3))


def stretched(contour: Tensor, source: F0, target: F0) -> Tensor:
    """A contour [1, T, 3] of the source's voice with the target's liveliness."""
    factor = min(max(target.spread / source.spread, 1 / WIDEST), WIDEST)
    return contour * contour.new_tensor([factor, 1.0, 1.0])


def placed(contour: Tensor, f0: F0 | None) -> Tensor:
    """A contour [1, T, 3] whose course lies where that of a voice does; as it is where that is not known."""
    if f0 is None:
        return contour
    course, voiced = contour[..., 0], contour[..., 1]
    log = (f0.center + CONTOUR_SCALE * course) * voiced
    return torch.stack([course, voiced, log], -1)
