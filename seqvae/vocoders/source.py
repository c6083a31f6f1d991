"""What a voice is made of before the mouth shapes it: pulses at its pitch."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from seqvae.data.speech.mel_settings import MelSettings

REACH = 16
"""Samples on either side of a pulse that it reaches: the window of its sinc. Half a period of 500 Hz."""
MEMORY = 1024
"""Frames after which a voiced stretch forgets where it began, 16 s: nobody's breath is longer."""


def pulse_turns(
    log_hertz: Tensor, voiced: Tensor, settings: MelSettings, turn: Tensor | None = None
) -> Tensor:
    """Where in its period a voice is at the centre of each frame, in turns.

    A stretch of voiced frames begins with a pulse at its first centre, whatever came before: rounding
    errors add up over one stretch, not over a recording.

    Args:
        log_hertz: natural logarithm of the frequency at the frames' centres, [B, T].
        voiced: 1 where it is a voice's, 0 elsewhere, [B, T].
        settings: of the frames.
        turn: at the first centre, float64 [B], where the sound goes on from before.

    Returns:
        float64 [B, T]; not reduced to one turn.
    """
    steps = _steps(torch.exp(log_hertz.double()), settings)
    total = F.pad(steps.cumsum(1), (1, 0))
    onset = voiced * (1.0 - F.pad(voiced, (1, 0))[:, :-1])
    if turn is not None:
        onset = F.pad(onset[:, 1:], (1, 0))
        total = total + 1.0
    # The total never falls: the greatest of those at past onsets is the last one's.
    begun = _greatest_so_far(total * onset)
    if turn is None:
        return total - begun
    return torch.where(begun > 0.0, total - begun, total - 1.0 + turn[:, None])


def pulses(log_hertz: Tensor, turns: Tensor, settings: MelSettings, edge: int) -> Tensor:
    """A pulse of unit power at each whole turn.

    Between the centres of frames the frequency changes steadily. Pulses are sincs under a window: next to
    nothing is folded back at half of the sample rate.

    Args:
        log_hertz: as for `pulse_turns`, [B, T].
        turns: what that returned.
        settings: of the frames.
        edge: samples before the first frame and after the last.

    Returns:
        float32 [B, edge + T * hop + edge].
    """
    hop, rate = settings.hop, settings.sample_rate
    frames = log_hertz.shape[1]
    # Before the first centre and after the last the frequency stays.
    around = -(-(edge + hop - hop // 2) // hop)
    count = torch.arange(1, around + 1, device=turns.device)
    hertz = torch.exp(log_hertz.double())
    first, last = hertz[:, :1], hertz[:, -1:]
    before = turns[:, :1] - count.flip(0) * first * (hop / rate)
    after = turns[:, -1:] + count * last * (hop / rate)
    hertz = torch.cat([first.expand(-1, around), hertz, last.expand(-1, around)], 1)
    turns = torch.cat([before, turns, after], 1)
    # Where a stretch begins, the turns jump: at the centre before, where nothing sounds yet.
    begin = turns[:, 1:] - _steps(hertz, settings)
    begin = (begin - begin.floor()).float()[..., None]
    start, change = hertz[:, :-1, None].float(), hertz.diff(dim=1)[..., None].float()
    sample = torch.arange(hop, device=turns.device) / hop
    frequency = (start + change * sample).flatten(1)
    turn = (begin + (hop / rate) * sample * (start + 0.5 * change * sample)).flatten(1)
    skipped = around * hop - hop // 2 - edge
    size = frames * hop + 2 * edge
    frequency, turn = (x[:, skipped : skipped + size] for x in (frequency, turn))
    period = rate / frequency
    distance = (turn - turn.round()) * period
    window = torch.cos((0.5 * math.pi / REACH) * distance.clamp(-REACH, REACH)).square()
    return torch.sinc(distance) * window * period.sqrt()


def _steps(hertz: Tensor, settings: MelSettings) -> Tensor:
    """Turns from each centre to the next, [B, T - 1]."""
    return (hertz[:, 1:] + hertz[:, :-1]) * (0.5 * settings.hop / settings.sample_rate)


def _greatest_so_far(x: Tensor) -> Tensor:
    """Greatest of this and the `MEMORY` - 1 values before it, or 0, [B, T]."""
    # In two dimensions: torch exports the other for one length only.
    return F.max_pool2d(F.pad(x, (MEMORY - 1, 0))[:, None, None], (1, MEMORY), 1)[:, 0, 0]
