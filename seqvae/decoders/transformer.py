"""Causal Transformer decoder; z enters by FiLM in every block and a per-layer latent prefix."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from seqvae.decoders.decoder import Decoder
from seqvae.nn.attention import KeyValueCache
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

    def build(self, latent: int | None, max_length: int) -> "TransformerDecoder":
        """The module; `latent` is the size of z, None for a language model."""
        return TransformerDecoder(self, latent, max_length)


@dataclass
class TransformerState:
    """What a layer needs to go on: latent conditioning and the key/value caches."""

    conditioning: list[tuple[Tensor | None, tuple[Tensor, Tensor] | None]]
    caches: list[KeyValueCache]
    last_modulation: Tensor | None
    added: Tensor | None


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
        self.film: nn.Linear | None = None
        self.key_value: nn.Linear | None = None
        self.add: nn.Linear | None = None
        if latent is not None:
            if config.film:
                # 4 H a block (scale and shift of two norms), 2 H for the last norm.
                self.film = _injection(latent, config.width * (4 * config.layers + 2), 0.02)
            if config.prefix:
                size = config.layers * config.prefix * 2 * config.width
                self.key_value = _injection(latent, size, latent**-0.5)
            if config.embedding_add:
                self.add = _injection(latent, config.width, 0.02)

    def _condition(
        self, z: Tensor | None
    ) -> tuple[
        list[tuple[Tensor | None, tuple[Tensor, Tensor] | None]], Tensor | None, Tensor | None
    ]:
        """Per block (modulation, prefix); the last norm's modulation; what to add to inputs."""
        modulation: list[Tensor | None] = [None] * self.layers
        last: Tensor | None = None
        prefixes: list[tuple[Tensor, Tensor] | None] = [None] * self.layers
        if z is not None and self.film is not None:
            parts = self.film(z).split([4 * self.width] * self.layers + [2 * self.width], -1)
            modulation, last = list(parts[:-1]), parts[-1]
        if z is not None and self.key_value is not None:
            shape = (z.shape[0], self.layers, 2, self.prefix, self.heads, self.width // self.heads)
            both = self.key_value(z).view(shape).transpose(3, 4)
            prefixes = [(both[:, i, 0], both[:, i, 1]) for i in range(self.layers)]
        added = self.add(z) if z is not None and self.add is not None else None
        return list(zip(modulation, prefixes, strict=True)), last, added

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """See `Decoder.forward`."""
        conditioning, last, added = self._condition(z)
        if added is not None:
            x = x + added[:, None]
        x = self.dropout(x)
        for block, (modulation, prefix) in zip(self.stack.each, conditioning, strict=True):
            x = block(x, modulation, prefix)
        out: Tensor = self.stack.norm(x, last)
        return out

    def start(self, z: Tensor | None, batch: int, capacity: int) -> TransformerState:
        """See `Decoder.start`."""
        conditioning, last, added = self._condition(z)
        like = self.stack.norm.norm.weight if z is None else z
        caches = [
            block.attention.empty_cache(batch, min(capacity, self.max_length), like)
            for block in self.stack.each
        ]
        return TransformerState(conditioning, caches, last, added)

    def step(self, x: Tensor, state: TransformerState) -> Tensor:
        """See `Decoder.step`."""
        if state.added is not None:
            x = x + state.added
        x = x[:, None]
        layers = zip(self.stack.each, state.conditioning, state.caches, strict=True)
        for block, (modulation, prefix), cache in layers:
            x = block(x, modulation, prefix, cache=cache)
        out: Tensor = self.stack.norm(x, state.last_modulation)[:, 0]
        return out

    def select(self, state: TransformerState, rows: Tensor) -> None:
        """See `Decoder.select`."""
        for cache in state.caches:
            cache.select(rows)
        state.conditioning = [
            (
                None if modulation is None else modulation.index_select(0, rows),
                None
                if prefix is None
                else (prefix[0].index_select(0, rows), prefix[1].index_select(0, rows)),
            )
            for modulation, prefix in state.conditioning
        ]
        if state.last_modulation is not None:
            state.last_modulation = state.last_modulation.index_select(0, rows)
        if state.added is not None:
            state.added = state.added.index_select(0, rows)


def _injection(latent: int, size: int, std: float) -> nn.Linear:
    linear = nn.Linear(latent, size)
    with torch.no_grad():
        linear.weight.normal_(std=std)
        linear.bias.zero_()
    return linear
