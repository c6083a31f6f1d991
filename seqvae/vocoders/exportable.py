"""A vocoder in the form that other runtimes run well."""

import copy

from torch import nn

from seqvae.vocoders.stft import ConvolvedStft, FastStft
from seqvae.vocoders.vocoder import Vocoder


def exportable(vocoder: Vocoder) -> Vocoder:
    """A copy whose Fourier transforms are convolutions: the same sound, no complex numbers."""
    twin = copy.deepcopy(vocoder)
    _swap(twin)
    return twin


def _swap(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, FastStft):
            setattr(module, name, ConvolvedStft(child.settings))
        else:
            _swap(child)
