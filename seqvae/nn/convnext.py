"""ConvNeXt blocks over time, of which every output sees a bounded number of frames."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROWTH = 3
"""Width inside a block, as a multiple of that outside."""


class ConvNext(nn.Module):
    """Input convolution, blocks and a norm; T + past + ahead frames become T.

    Liu et al. 2022, arXiv 2201.03545, in one dimension as in Vocos (Siuzdak 2023, arXiv 2306.00814). No
    convolution is padded: what lies around the frames is given, so a piece of a recording with its context
    has the states of the whole.

    Args:
        inputs: channels in.
        width: channels out.
        blocks: number of blocks.
        kernel: taps of each convolution.
        ahead: frames behind an output frame that it sees; the others it sees are before it.

    Attributes:
        past: frames before an output frame that it sees.
    """

    def __init__(self, inputs: int, width: int, blocks: int, kernel: int, ahead: int) -> None:
        super().__init__()
        self.ahead, self.past = ahead, (blocks + 1) * (kernel - 1) - ahead
        if self.past < 0:
            raise ValueError(f"{blocks} blocks of {kernel} taps do not see {ahead} frames ahead")
        self.input = nn.Conv1d(inputs, width, kernel)
        self.norm = nn.LayerNorm(width)
        # The sum of the blocks is as large as one of them.
        self.blocks = nn.ModuleList(Block(width, kernel, 1.0 / blocks) for _ in range(blocks))
        self.output = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """From [B, T + past + ahead, inputs] to [B, T, width]."""
        hidden = self.norm(self.input(x.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            hidden = block(hidden)
        states: Tensor = self.output(hidden)
        return states


class Block(nn.Module):
    """x + scale * mlp(norm(depthwise(x))), without the first frames."""

    def __init__(self, width: int, kernel: int, scale: float) -> None:
        super().__init__()
        self.cut = kernel - 1
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, GROWTH * width)
        self.narrow = nn.Linear(GROWTH * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """From [B, T + kernel - 1, width] to [B, T, width]."""
        hidden = self.norm(self.depthwise(x.transpose(1, 2)).transpose(1, 2))
        made: Tensor = self.narrow(F.gelu(self.wide(hidden)))
        return x[:, self.cut :] + self.scale * made
