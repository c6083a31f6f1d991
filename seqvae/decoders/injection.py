"""How z enters the Transformer decoder: the ways by name, and what z decides once for all steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Injection = Literal["default", "film", "prefix", "embedding", "softmax", "product"]
"""default: several at once, as the decoder's switches say; else one way alone. film: scale and shift of every normalisation (Perez et al. 2018); prefix: keys and
values in each layer; embedding: added to every input, and softmax: to the states before the logits (Fang
et al. 2021, arXiv 2101.00828); product: `LowRankProduct` in each layer."""

Prefix = tuple[Tensor, Tensor]


@dataclass
class Conditioning:
    """What z decides, for B rows; entries are None where z does not enter that way.

    Attributes:
        modulations: of each block's two norms, [B, 4 H].
        prefixes: key and value of each block, each [B, heads, P, H / heads].
        factors: of each block's product, [B, R].
        last: modulation of the last norm, [B, 2 H].
        added: to every input, [B, H].
        offset: of the states before the logits, [B, H].
    """

    modulations: list[Tensor | None]
    prefixes: list[Prefix | None]
    factors: list[Tensor | None]
    last: Tensor | None = None
    added: Tensor | None = None
    offset: Tensor | None = None

    @staticmethod
    def none(layers: int) -> "Conditioning":
        """That of a language model."""
        return Conditioning([None] * layers, [None] * layers, [None] * layers)

    def select(self, rows: Tensor) -> "Conditioning":
        """Some rows, repeated or not."""

        def chosen(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.index_select(0, rows)

        return Conditioning(
            [chosen(x) for x in self.modulations],
            [
                None
                if pair is None
                else (pair[0].index_select(0, rows), pair[1].index_select(0, rows))
                for pair in self.prefixes
            ],
            [chosen(x) for x in self.factors],
            chosen(self.last),
            chosen(self.added),
            chosen(self.offset),
        )


@final
class LowRankProduct(nn.Module):
    """A bilinear map of a state x and z: `up((down(norm(x)) + 1) * factor(z))`.

    The tensor [H, H, D] of all products of x and z, held to rank R: after Liu et al. 2018 (arXiv 1806.00064) and,
    in every layer, Hu et al. 2022 (DELLA, arXiv 2207.06130). The one stands for the 1 that they append to x:
    z alone enters, too.

    Args:
        width: H.
        latent: D.
        rank: R.
    """

    def __init__(self, width: int, latent: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank)
        self.factor = linear(latent, rank, latent**-0.5)
        self.up = linear(rank, width, 0.02)

    def forward(self, x: Tensor, factor: Tensor) -> Tensor:
        """What to add to x [B, T, H], given `self.factor(z)` [B, R]."""
        unit = F.layer_norm(x, (x.shape[-1],))
        out: Tensor = self.up((self.down(unit) + 1.0) * factor[:, None])
        return out


@final
class OneLevel(nn.Linear):
    """A map of z of which each output looks at one part of z.

    Args:
        parts: size of each part, in the order of z.
        looks: for each run of outputs how many they are and which part they look at.
        std: deviation of the weights at the start; None: 1 / sqrt(size of the part).
    """

    mask: Tensor

    def __init__(
        self, parts: Sequence[int], looks: Sequence[tuple[int, int]], std: float | None = None
    ) -> None:
        super().__init__(sum(parts), sum(count for count, _ in looks))
        part_of = torch.repeat_interleave(torch.tensor(parts))
        look_of = torch.cat([torch.full((count,), part) for count, part in looks])
        self.register_buffer("mask", look_of[:, None] == part_of, persistent=False)
        with torch.no_grad():
            scale = self.mask.sum(1, keepdim=True) ** -0.5 if std is None else std
            self.weight.normal_().mul_(self.mask * scale)
            self.bias.zero_()

    def forward(self, z: Tensor) -> Tensor:
        """From z [B, D]."""
        return F.linear(z, self.weight * self.mask, self.bias)


def linear(inputs: int, size: int, std: float) -> nn.Linear:
    """A map whose weights start with deviation `std`, its biases at 0."""
    made = nn.Linear(inputs, size)
    with torch.no_grad():
        made.weight.normal_(std=std)
        made.bias.zero_()
    return made
