"""Whether the content knows who speaks: how well a linear probe names the speaker from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

FOLDS = 5
# Content vectors of all recordings together that the probe of frames is fitted to and tried on.
MOST_FRAMES = 20_000


@dataclass(frozen=True)
class Leak:
    """Accuracy of probes, as parts of 1: means over speakers, so that none counts more.

    Attributes:
        recordings: given the mean content vector of a recording.
        frames: given a single content vector.
        chance: of guessing.
    """

    recordings: float
    frames: float
    chance: float


def speaker_leak(contents: Sequence[Tensor], speakers: Sequence[int]) -> Leak | None:
    """Probe content vectors for the speaker.

    A probe is a linear discriminant, in closed form, fitted to four fifths of the recordings and tried
    on the others, in turn.

    Args:
        contents: content vectors of each recording, [T_i, D].
        speakers: who speaks in each.

    Returns:
        None where there are no two speakers with two recordings each.
    """
    names = sorted({s for s in speakers if sum(s == other for other in speakers) > 1})
    if len(names) < 2:
        return None
    kept = [i for i, s in enumerate(speakers) if s in names and len(contents[i])]
    who = torch.tensor([names.index(speakers[i]) for i in kept])
    folds = _folds(who)
    pooled = torch.stack([contents[i].double().mean(0) for i in kept])
    every = max(1, sum(len(contents[i]) for i in kept) // MOST_FRAMES)
    frames = [contents[i][::every].double() for i in kept]
    counts = torch.tensor([len(x) for x in frames])
    rows = torch.repeat_interleave(torch.arange(len(kept)), counts)
    return Leak(
        recordings=_accuracy(pooled, who, folds),
        frames=_accuracy(torch.cat(frames), who[rows], folds[rows]),
        chance=1.0 / len(names),
    )


def _folds(who: Tensor) -> Tensor:
    """A fold for each recording, [N]: those of a speaker in turn."""
    folds = torch.zeros_like(who)
    for speaker in range(int(who.max()) + 1):
        mine = (who == speaker).nonzero()[:, 0]
        folds[mine] = torch.arange(len(mine)) % FOLDS
    return folds


def _accuracy(x: Tensor, who: Tensor, folds: Tensor) -> float:
    """Mean over speakers of the part of their rows that is named rightly by probes that have not seen them."""
    right = torch.zeros(len(who), dtype=torch.float64)
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        found = _probe(x[~held], who[~held], x[held])
        right[held] = (found == who[held]).double()
    of_each = [right[who == speaker].mean() for speaker in range(int(who.max()) + 1)]
    return float(torch.stack(of_each).mean())


def _probe(x: Tensor, who: Tensor, unseen: Tensor) -> Tensor:
    """Speakers of `unseen` [M, D] by the linear discriminant of `x` [N, D], every speaker weighing the same."""
    present = who.unique(sorted=True)  # type: ignore[no-untyped-call]
    means = torch.stack([x[who == speaker].mean(0) for speaker in present])
    around = torch.cat([x[who == s] - mean for s, mean in zip(present, means, strict=True)])
    covariance = around.t() @ around / max(1, len(x) - len(present))
    # Few recordings know little of a covariance: it is drawn towards a round one.
    shrinkage = min(1.0, x.shape[1] / len(x)) * float(covariance.trace()) / x.shape[1]
    covariance.diagonal().add_(shrinkage + 1e-12)
    weights = torch.linalg.solve(covariance, means.t())
    scores = unseen @ weights - 0.5 * (means * weights.t()).sum(1)
    named: Tensor = present[scores.argmax(1)]
    return named
