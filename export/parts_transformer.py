"""The Transformer decoder as two graphs: what z decides once, and one step with a growing cache."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.decoders.transformer import TransformerDecoder
from seqvae.export.readout import Readout
from seqvae.nn.film import FilmNorm


def names(decoder: TransformerDecoder, latent: bool) -> tuple[list[str], list[str]]:
    """Names of the constants that z decides, and of the caches.

    Each normalisation that z modulates has a factor and a term; then come the factors of products, what z
    adds to embeddings, and what it adds to states.
    """
    film, added, offset, products = _ways(decoder, latent)
    constants = (4 * decoder.layers + 2) * film + decoder.layers * products + added + offset
    return (
        [f"cond_{i}" for i in range(constants)],
        [f"kv_{i}" for i in range(2 * decoder.layers)],
    )


def _ways(decoder: TransformerDecoder, latent: bool) -> tuple[bool, bool, bool, bool]:
    """Whether z modulates norms, is added to embeddings, is added to states, and enters products."""
    parts = (decoder.film, decoder.add, decoder.offset, decoder.products)
    film, added, offset, products = (latent and part is not None for part in parts)
    return film, added, offset, products


class Start(nn.Module):
    """z [B, D] to the constants, each [B, 1, H] or [B, 1, R], and the caches [B, heads, P, H / heads].

    The latent prefix is what the caches hold before the first step: a step then has nothing to join.
    """

    def __init__(self, decoder: TransformerDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        decoder = self.decoder
        given = decoder.condition(z)
        constants: list[Tensor] = []
        for block, modulation in zip(decoder.stack.each, given.modulations, strict=True):
            if modulation is not None:
                first, second = modulation.chunk(2, -1)
                constants += _affine(block.attention_norm, first)
                constants += _affine(block.forward_norm, second)
        if given.last is not None:
            constants += _affine(decoder.stack.norm, given.last)
        constants += [factor[:, None] for factor in given.factors if factor is not None]
        constants += [x[:, None] for x in (given.added, given.offset) if x is not None]
        caches: list[Tensor] = []
        for prefix in given.prefixes:
            caches += empty_cache(z, decoder) if prefix is None else list(prefix)
        return (*constants, *caches)


def empty_cache(like: Tensor, decoder: TransformerDecoder) -> list[Tensor]:
    """Keys and values of no step, for the rows of `like`."""
    shape = (like.shape[0], decoder.heads, 0, decoder.width // decoder.heads)
    return [torch.zeros(shape), torch.zeros(shape)]


def _affine(norm: FilmNorm, modulation: Tensor) -> list[Tensor]:
    """`FilmNorm`'s two affine maps in one: factor and term, each [B, 1, H]."""
    scale, shift = (modulation[:, None] + 0.0).chunk(2, -1)
    return [norm.norm.weight * (1 + scale), norm.norm.bias * (1 + scale) + shift]


def _attend(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One step's attention over the caches [B, heads, S, D] and itself, and the longer caches.

    The step's own tensors are [B, heads, 1, D]; the queries are scaled.
    """
    keys, values = torch.cat([keys, key], 2), torch.cat([values, value], 2)
    return (query @ keys.transpose(2, 3)).softmax(-1) @ values, keys, values


def _attend_fused(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`_attend` as one operator, which also appends to the caches."""
    batch, heads, steps, head = keys.shape
    longer = (batch, heads, steps + 1, head)
    mixed, keys, values = torch.onnx.ops.symbolic_multi_out(
        "Attention",
        (query, key, value, None, keys, values),
        {"scale": 1.0},
        dtypes=(query.dtype, key.dtype, value.dtype),
        shapes=(query.shape, longer, longer),
        version=23,
    )
    return mixed, keys, values


class Step(nn.Module):
    """token [B, 1], position [], constants, caches -> logits [B, V], caches one step longer.

    Args:
        decoder: trained.
        likelihood: trained.
        latent: whether the decoder was built for one.
        fused: attend by ONNX's Attention operator, which opset 23 has; the module is then for export
            only.
    """

    def __init__(
        self,
        decoder: TransformerDecoder,
        likelihood: Readout,
        latent: bool,
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood
        self.attend = _attend_fused if fused else _attend
        self.constants = len(names(decoder, latent)[0])
        self.film, self.added, self.offset, self.products = _ways(decoder, latent)
        head = decoder.width // decoder.heads
        self.projections = nn.ParameterList()
        for block in decoder.stack.each:
            # Queries come scaled: a product less at every step.
            weight = block.attention.qkv.weight.detach().clone()
            weight[: decoder.width] *= head**-0.5
            self.projections.append(nn.Parameter(weight, requires_grad=False))
        rotary = decoder.stack.each[0].attention.rotary
        self.cosine = nn.Buffer(torch.cat([rotary.cosine, rotary.cosine], 1))
        self.sine = nn.Buffer(torch.cat([-rotary.sine, rotary.sine], 1))

    def forward(self, token: Tensor, position: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        decoder = self.decoder
        constants, caches = state[: self.constants], state[self.constants :]
        x = self.likelihood.embed(token)
        if self.added:
            x = x + constants[-1 - self.offset]
        factors = constants[(4 * decoder.layers + 2) * self.film :]
        products = decoder.product_modules
        where = position.reshape(1)
        cosine, sine = self.cosine.index_select(0, where), self.sine.index_select(0, where)
        count, head = decoder.heads, decoder.width // decoder.heads
        longer: list[Tensor] = []
        for i, block in enumerate(decoder.stack.each):
            if self.products:
                x = x + products[i](x, factors[i][:, 0])
            normed = self._norm(block.attention_norm, x, constants, 2 * i)
            # Heads of queries, of keys and of values in one axis: each is then a plain slice of it.
            heads = F.linear(normed, self.projections[i]).view(-1, 3 * count, 1, head)
            qk, value = torch.split(heads, [2 * count, count], 1)
            # Half-split rotation of queries and keys at once: (a, b) cos + (b, a) (-sin, sin).
            qk = qk * cosine + torch.cat(qk.chunk(2, -1)[::-1], -1) * sine
            query, key = qk.chunk(2, 1)
            mixed, key, value = self.attend(query, key, value, caches[2 * i], caches[2 * i + 1])
            x = x + block.attention.out(mixed.reshape(-1, 1, decoder.width))
            x = x + block.feed_forward(self._norm(block.forward_norm, x, constants, 2 * i + 1))
            longer += [key, value]
        states = self._norm(decoder.stack.norm, x, constants, 2 * decoder.layers)
        if self.offset:
            states = states + constants[-1]
        return (self.likelihood.logits(states[:, 0]), *longer)

    def _norm(self, norm: FilmNorm, x: Tensor, constants: tuple[Tensor, ...], i: int) -> Tensor:
        if not self.film:
            plain: Tensor = norm.norm(x)
            return plain
        unit = F.layer_norm(x, (x.shape[-1],), eps=norm.norm.eps)
        return unit * constants[2 * i] + constants[2 * i + 1]
