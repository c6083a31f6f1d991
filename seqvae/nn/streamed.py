"""Causal networks a block at a time: what came before is kept, and nothing is computed twice.

`streamed` copies a network of the layers of `seqvae.nn.conv` and `seqvae.nn.instance_norm` and gives
each of them a memory (cached convolutions: Caillon and Esling 2022, arXiv 2204.07064). Called on
consecutive blocks the copy gives what the network gives for all of them at once.
"""

import copy
from typing import final

import torch
from torch import Tensor, nn

from seqvae.nn.conv import Conv, Upsample
from seqvae.nn.instance_norm import InstanceNorm, normalised


def streamed(network: nn.Module) -> nn.Module:
    """A copy of a causal network that remembers; blocks must be whole strides long.

    The copy shares the weights. Its batch is of one size as long as it remembers; a fresh copy
    begins a fresh sound.

    Raises:
        ValueError: a layer looks ahead.
    """
    memo = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return _swapped(copy.deepcopy(network, memo))


def _swapped(module: nn.Module) -> nn.Module:
    if isinstance(module, Conv):
        return StreamedConv(module)
    if isinstance(module, Upsample):
        return StreamedUpsample(module)
    if isinstance(module, InstanceNorm):
        return StreamedNorm(module)
    for name, child in module.named_children():
        setattr(module, name, _swapped(child))
    return module


@final
class StreamedConv(nn.Module):
    """A causal `Conv` that remembers the last steps that it read.

    Raises:
        ValueError: the convolution looks ahead.
    """

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self.conv = conv
        past, future = conv.around or (int(conv.padding[0]), int(conv.padding[0]))
        ahead = future - (conv.stride[0] - 1)  # a block is whole strides: their steps are there
        if ahead > 0:
            raise ValueError(f"{conv} reads {ahead} steps ahead: it is not causal")
        self.past = past
        self.before: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """From [B, inputs, T], T whole strides, to [B, outputs, T / stride]."""
        if self.before is None:
            self.before = x.new_zeros(x.shape[0], x.shape[1], self.past)
        x = torch.cat([self.before, x], 2)
        self.before = x[:, :, x.shape[2] - self.past :]
        conv = self.conv
        return nn.functional.conv1d(x, conv.weight, conv.bias, conv.stride)


@final
class StreamedUpsample(nn.Module):
    """A causal `Upsample` that remembers the last step that it read.

    Raises:
        ValueError: it looks ahead.
    """

    def __init__(self, upsample: Upsample) -> None:
        super().__init__()
        if upsample.first:
            raise ValueError(f"{upsample} reads 1 step ahead: it is not causal")
        self.upsample = upsample
        self.before: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """From [B, channels, T] to [B, channels, 2 T]."""
        if self.before is None:
            self.before = torch.zeros_like(x[:, :, :1])
        x = torch.cat([self.before, x], 2)
        self.before = x[:, :, -1:]
        whole: Tensor = self.upsample(x)
        return whole[:, :, 2:]


@final
class StreamedNorm(nn.Module):
    """A causal `InstanceNorm` that remembers the sums of all steps.

    Sums are float64: in an hour there are 100,000 steps, and the variance is a difference.

    Raises:
        ValueError: its statistics are those of all steps.
    """

    def __init__(self, norm: InstanceNorm) -> None:
        super().__init__()
        if not norm.causal:
            raise ValueError("InstanceNorm over all steps is not causal")
        self.count = 0
        self.sums: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise [B, C, T] by the statistics so far; all steps are real."""
        if mask is not None:
            raise ValueError("a stream has no padding")
        wide = x.double()
        first, second = wide.cumsum(2), wide.square().cumsum(2)
        if self.sums is not None:
            first, second = first + self.sums[0], second + self.sums[1]
        self.sums = first[:, :, -1:], second[:, :, -1:]
        steps = torch.arange(1, x.shape[2] + 1, device=x.device) + self.count
        self.count += x.shape[2]
        return normalised(wide, first, second, steps).to(x.dtype)
