"""The short-time Fourier transform and its inverse, in the framing of `MelSettings`."""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError

TINY = 1e-8
"""Below this the squared windows on a sample do not count: the first sample of all has none."""


class Stft(nn.Module, ABC):
    """Spectra of a sound and back; frame t begins at sample t * hop of the padded sound.

    A sound of T frames has (T - 1) * hop + n_fft samples when padded, T * hop when trimmed. How
    spectra are laid out in memory is the subclass's own business but for axis 2, which holds real
    parts, then imaginary ones; `arrange` brings what is [B, T, bins] into that layout.

    Args:
        settings: framing; `hop` must divide `n_fft`.

    Raises:
        UserError: it does not.
    """

    def __init__(self, settings: MelSettings) -> None:
        super().__init__()
        self.settings = settings
        n_fft, hop = settings.n_fft, settings.hop
        if n_fft % hop:
            raise UserError(
                f"mel settings hop: a vocoder needs one that divides n_fft {n_fft}, such as "
                f"{n_fft // 4}; got {hop}: prepare the data again with such a hop"
            )
        self.n_fft, self.hop, self.edge = n_fft, hop, settings.edge

    @abstractmethod
    def forward(self, padded: Tensor) -> Tensor:
        """Spectra of padded samples [B, (T - 1) * hop + n_fft]."""

    @abstractmethod
    def inverse(self, spectra: Tensor) -> Tensor:
        """Padded samples [B, (T - 1) * hop + n_fft] whose spectra are nearest to these.

        Griffin and Lim 1984, eq. 6: windowed frames added up, divided by the squared windows.
        """

    @abstractmethod
    def arrange(self, values: Tensor) -> Tensor:
        """[B, T, bins] in the layout of one part of the spectra."""

    @abstractmethod
    def polar(self, magnitude: Tensor, turns: Tensor) -> Tensor:
        """Spectra of arranged magnitudes, and of angles in turns, [B or 1, T, bins]."""

    def trim(self, padded: Tensor) -> Tensor:
        """The samples [B, T * hop] that belong to the frames."""
        return padded[:, self.edge : padded.shape[1] - self.edge]


@final
class FastStft(Stft):
    """By `torch.fft`: spectra are [B, T, 2, bins]."""

    window: Tensor

    def __init__(self, settings: MelSettings) -> None:
        super().__init__(settings)
        self.register_buffer("window", hann(settings).float(), persistent=False)

    def forward(self, padded: Tensor) -> Tensor:
        """See `Stft.forward`."""
        spectrum = torch.stft(
            padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True
        )
        return torch.view_as_real(spectrum).permute(0, 2, 3, 1)

    def inverse(self, spectra: Tensor) -> Tensor:
        """See `Stft.inverse`."""
        real, imaginary = spectra.unbind(2)
        frames = torch.fft.irfft(torch.complex(real, imaginary), self.n_fft) * self.window
        squares = self.window.square().expand(1, spectra.shape[1], -1)
        return self._overlap_add(frames) / self._overlap_add(squares).clamp_min(TINY)

    def arrange(self, values: Tensor) -> Tensor:
        """See `Stft.arrange`."""
        return values

    def polar(self, magnitude: Tensor, turns: Tensor) -> Tensor:
        """See `Stft.polar`."""
        angle = (2.0 * math.pi) * turns
        return magnitude[:, :, None] * torch.stack((torch.cos(angle), torch.sin(angle)), 2)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Frames [B, T, n_fft] laid over each other: [B, (T - 1) * hop + n_fft]."""
        overlap = self.n_fft // self.hop
        pieces = frames.view(*frames.shape[:2], overlap, self.hop).unbind(2)
        shifted = [F.pad(p, (0, 0, k, overlap - 1 - k)) for k, p in enumerate(pieces)]
        return sum(shifted[1:], shifted[0]).flatten(1)


@final
class ConvolvedStft(Stft):
    """By convolutions, which every runtime has and runs fast: the form to export.

    A transform of n_fft = R * Q samples in two stages (Cooley and Tukey 1965), sample R a + b, bin
    Q c + d: for each b a convolution over a with stride hop / R frames, windows and transforms at
    once; for each d a matrix over b holds the twiddle factors as well. Of 1024 samples that is a tenth
    of the arithmetic of a dense matrix; 8 iterations of Griffin-Lim took 0.011 of a second of one core
    per second of sound in ONNX Runtime, 0.076 with the dense matrix, 0.014 with `torch.fft`.

    Spectra are [B, D, 2, R, T] with D = Q // 2 + 1; as d and Q - d mirror each other, bins beyond
    half of n_fft stand for conjugates, and a few occur twice.
    """

    first: Tensor
    second: Tensor
    second_inverse: Tensor
    squares: Tensor
    bins: Tensor
    signs: Tensor

    def __init__(self, settings: MelSettings) -> None:
        super().__init__(settings)
        size, hop = self.n_fft, self.hop
        # The arithmetic grows with the columns plus the rows.
        columns = min((r for r in range(1, hop + 1) if hop % r == 0), key=lambda r: r + size // r)
        rows = size // columns
        self.columns, self.residues, self.stride = columns, rows // 2 + 1, hop // columns
        a, b, d = torch.arange(rows), torch.arange(columns), torch.arange(self.residues)
        window = hann(settings).view(rows, columns).t()[:, None]
        cosine, sine = (wave * window for wave in circle(torch.outer(d, a), rows))
        first = torch.stack((cosine, -sine), 2)
        bins = rows * b + d[:, None]
        cosine, sine = circle(bins[:, :, None] * b, size)
        # Axes: residue, part out, bin, column, part in.
        parts = (torch.stack((cosine, sine), -1), torch.stack((-sine, cosine), -1))
        second = torch.stack(parts, 1)
        # A residue inside also stands for its mirror image.
        weight = torch.where((d == 0) | (2 * d == rows), 1.0, 2.0).double() / size
        inverse = second.permute(0, 3, 4, 1, 2) * weight.view(-1, 1, 1, 1, 1)
        mirrored = bins > size // 2
        for name, value in {
            "first": first.reshape(-1, 1, rows).float(),
            "second": second.reshape(-1, 2 * columns, 1).float(),
            "second_inverse": inverse.reshape(-1, 2 * columns, 1).float(),
            "squares": window.square().float(),
            "bins": torch.where(mirrored, size - bins, bins).flatten(),
            "signs": torch.where(mirrored, -1.0, 1.0)[..., None],
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, padded: Tensor) -> Tensor:
        """See `Stft.forward`."""
        columns, residues = self.columns, self.residues
        sound = padded.view(padded.shape[0], -1, columns).transpose(1, 2)
        made = F.conv1d(sound, self.first, stride=self.stride, groups=columns)
        made = made.view(-1, columns, residues, 2, made.shape[2]).transpose(1, 2)
        made = F.conv1d(made.flatten(1, 3), self.second, groups=residues)
        return made.view(-1, residues, 2, columns, made.shape[2])

    def inverse(self, spectra: Tensor) -> Tensor:
        """See `Stft.inverse`."""
        columns, residues, frames = self.columns, self.residues, spectra.shape[4]
        made = F.conv1d(spectra.flatten(1, 3), self.second_inverse, groups=residues)
        made = made.view(-1, residues, columns, 2, frames).transpose(1, 2).flatten(1, 3)
        sound = F.conv_transpose1d(made, self.first, stride=self.stride, groups=columns)
        one = torch.ones_like(made[:1, :columns])
        squares = F.conv_transpose1d(one, self.squares, stride=self.stride, groups=columns)
        return (sound / squares.clamp_min(TINY)).transpose(1, 2).flatten(1)

    def arrange(self, values: Tensor) -> Tensor:
        """See `Stft.arrange`."""
        chosen = values.transpose(1, 2).index_select(1, self.bins)
        return chosen.view(values.shape[0], self.residues, self.columns, -1)

    def polar(self, magnitude: Tensor, turns: Tensor) -> Tensor:
        """See `Stft.polar`."""
        angle = (2.0 * math.pi) * self.arrange(turns)
        return magnitude[:, :, None] * torch.stack(
            (torch.cos(angle), torch.sin(angle) * self.signs), 2
        )


def hann(settings: MelSettings) -> Tensor:
    """The periodic window in the middle of a frame, float64 [n_fft]."""
    left = (settings.n_fft - settings.window) // 2
    window = torch.hann_window(settings.window, dtype=torch.float64)
    return F.pad(window, (left, settings.n_fft - settings.window - left))


def circle(steps: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine, float64, of `steps` (int64) of a circle divided into `size`."""
    # Modulo first: a large angle would lose digits.
    angle = (steps % size).double() * (2.0 * math.pi / size)
    return torch.cos(angle), torch.sin(angle)
