"""Causal Transformer decoder; z enters by FiLM in every block and a per-layer latent prefix, or otherwise."""

from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor, nn

from seqvae.decoders.decoder import Decoder
from seqvae.decoders.injection import Conditioning, Injection, LowRankProduct, OneLevel, linear
from seqvae.errors import UserError
from seqvae.nn.attention import KeyValueCache
from seqvae.nn.ladder import level_sizes
from seqvae.nn.transformer import Stack


@dataclass(frozen=True)
class Transformer:
    """Causal Transformer decoder."""

    layers: int = 2
    """Number of blocks."""
    width: int = 128
    """Size of the states and of the token embedding."""
    heads: int = 4
    """Attention heads."""
    dropout: float = 0.1
    """Dropout on each branch, and on the embedded input."""
    film: bool = True
    """Let z scale and shift every normalisation (FiLM)."""
    prefix: int = 4
    """Key/value tokens computed from z in each layer, visible to every step; 0: none."""
    embedding_add: bool = False
    """Add a projection of z to every input embedding."""
    injection: Injection = "default"
    """How z enters: as film, prefix and embedding_add say (default), or in this way alone, whatever they say."""
    rank: int = 32
    """Of the product."""
    levels: int = 1
    """Parts of z, as many as the ladder has levels, of which each enters its own share of the blocks, the
    top one the first blocks (Hu et al. 2022, DELLA, arXiv 2207.06130); 1: every block is told all of z."""

    def __post_init__(self) -> None:
        """Refuse sizes with which z could not enter."""
        if self.levels < 1:
            raise UserError(f"decoder: levels must be at least 1, got {self.levels}")
        if self.levels > 1:
            self._check_levels()
        if self.injection == "prefix" and self.prefix < 1:
            raise UserError(f"decoder: injection prefix needs prefix >= 1, got {self.prefix}")
        if self.injection == "product" and self.rank < 1:
            raise UserError(f"decoder: injection product needs rank >= 1, got {self.rank}")

    def _check_levels(self) -> None:
        whole = self.injections - {"film", "prefix", "product"}
        if whole:
            raise UserError(
                f"decoder: levels {self.levels} and injection {min(whole)} do not go together: it enters no "
                "block, which a level needs; use film, prefix or product, and no embedding_add"
            )
        if self.layers < self.levels:
            raise UserError(
                f"decoder: layers must be at least levels, a block for each; got {self.layers} for "
                f"{self.levels} levels"
            )

    @property
    def injections(self) -> set[Injection]:
        """The ways by which z enters."""
        if self.injection != "default":
            return {self.injection}
        ways: dict[Injection, bool] = {
            "film": self.film,
            "prefix": self.prefix > 0,
            "embedding": self.embedding_add,
        }
        return {name for name, on in ways.items() if on}

    def build(self, latent: int | None, max_length: int) -> "TransformerDecoder":
        """The module; `latent` is the size of z, None for a language model."""
        return TransformerDecoder(self, latent, max_length)


@dataclass
class TransformerState:
    """What a layer needs to go on: what z decided, and the key/value caches."""

    conditioning: Conditioning
    caches: list[KeyValueCache]


@final
class TransformerDecoder(Decoder):
    """See `Transformer`."""

    def __init__(self, config: Transformer, latent: int | None, max_length: int) -> None:
        super().__init__()
        self.width, self.layers, self.heads = config.width, config.layers, config.heads
        self.prefix = config.prefix
        self.max_length = max_length
        self.dropout = nn.Dropout(config.dropout)
        self.stack = Stack(
            config.width, config.heads, config.layers, max_length, True, config.dropout
        )
        ways = config.injections if latent is not None else set()
        size = latent or 0
        # Which part of z each block is told; the last norm belongs to the last block.
        self.parts = level_sizes(size, config.levels)
        self.part_of = [i * config.levels // config.layers for i in range(config.layers)]
        self.film: nn.Linear | None = None
        self.key_value: nn.Linear | None = None
        self.add: nn.Linear | None = None
        self.offset: nn.Linear | None = None
        self.products: nn.ModuleList | None = None
        if "film" in ways:
            # 4 H a block (scale and shift of two norms), 2 H for the last norm.
            self.film = self._told([4 * config.width] * config.layers, 2 * config.width, 0.02)
        if "prefix" in ways:
            self.key_value = self._told([config.prefix * 2 * config.width] * config.layers)
        if "embedding" in ways:
            self.add = linear(size, config.width, 0.02)
        if "softmax" in ways:
            self.offset = linear(size, config.width, 0.02)
        if "product" in ways:
            products = (
                LowRankProduct(config.width, self.parts[part], config.rank) for part in self.part_of
            )
            self.products = nn.ModuleList(products)

    def _told(self, blocks: list[int], last: int = 0, std: float | None = None) -> nn.Linear:
        """From z to so many numbers for each block, and `last` for the last norm."""
        if len(self.parts) == 1:
            size = self.parts[0]
            return linear(size, sum(blocks) + last, size**-0.5 if std is None else std)
        looks = [*zip(blocks, self.part_of, strict=True), (last, self.part_of[-1])]
        return OneLevel(self.parts, looks, std)

    def condition(self, z: Tensor | None) -> Conditioning:
        """What z [B, D] decides once for all steps."""
        found = Conditioning.none(self.layers)
        if z is None:
            return found
        if self.film is not None:
            parts = self.film(z).split([4 * self.width] * self.layers + [2 * self.width], -1)
            found.modulations, found.last = list(parts[:-1]), parts[-1]
        if self.key_value is not None:
            shape = (z.shape[0], self.layers, 2, self.prefix, self.heads, self.width // self.heads)
            both = self.key_value(z).view(shape).transpose(3, 4)
            found.prefixes = [(both[:, i, 0], both[:, i, 1]) for i in range(self.layers)]
        if self.products is not None:
            parts = torch.split(z, self.parts, -1)
            found.factors = [
                product.factor(parts[part])
                for product, part in zip(self.product_modules, self.part_of, strict=True)
            ]
        if self.add is not None:
            found.added = self.add(z)
        if self.offset is not None:
            found.offset = self.offset(z)
        return found

    @property
    def product_modules(self) -> list[LowRankProduct]:
        """Those of the layers, first to last; none where z enters otherwise."""
        return cast(list[LowRankProduct], list(self.products or ()))

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """See `Decoder.forward`."""
        conditioning = self.condition(z)
        if conditioning.added is not None:
            x = x + conditioning.added[:, None]
        return self._blocks(self.dropout(x), conditioning, None)

    def _blocks(self, x: Tensor, given: Conditioning, caches: list[KeyValueCache] | None) -> Tensor:
        """States of embedded inputs [B, T, H]; with caches they follow what was written before."""
        products = self.product_modules
        for i, block in enumerate(self.stack.each):
            factor = given.factors[i]
            if factor is not None:
                x = x + products[i](x, factor)
            cache = None if caches is None else caches[i]
            x = block(x, given.modulations[i], given.prefixes[i], cache=cache)
        out: Tensor = self.stack.norm(x, given.last)
        return out if given.offset is None else out + given.offset[:, None]

    def start(self, z: Tensor | None, batch: int, capacity: int) -> TransformerState:
        """See `Decoder.start`."""
        like = self.stack.norm.norm.weight if z is None else z
        caches = [
            block.attention.empty_cache(batch, min(capacity, self.max_length), like)
            for block in self.stack.each
        ]
        return TransformerState(self.condition(z), caches)

    def step(self, x: Tensor, state: TransformerState) -> Tensor:
        """See `Decoder.step`."""
        if state.conditioning.added is not None:
            x = x + state.conditioning.added
        return self._blocks(x[:, None], state.conditioning, state.caches)[:, 0]

    def select(self, state: TransformerState, rows: Tensor) -> None:
        """See `Decoder.select`."""
        for cache in state.caches:
            cache.select(rows)
        state.conditioning = state.conditioning.select(rows)
