"""Attention over whole sequences in plain operators, for the encoder and for the scorer.

From opset 23 on torch's exporter writes its attention as ONNX's Attention, whose mask must have a row
for each query: a mask of padding, which has one, loads and then fails. Plain operators are the same at
every opset, and the mask is made once for all layers.
"""

import torch
from torch import Tensor, nn

from seqvae.batch import padding_mask
from seqvae.decoders.transformer import TransformerDecoder
from seqvae.encoders.transformer import TransformerEncoder
from seqvae.nn.transformer import Block

HIDDEN = -1e30
"""Added to the score of a step that must not be seen; exp() of it is 0, and a row of nothing else stays
finite."""


class Summary(nn.Module):
    """`TransformerEncoder.forward` for the exporter."""

    def __init__(self, encoder: TransformerEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        encoder = self.encoder
        real = padding_mask(lengths, x.shape[1])
        scores = torch.where(real, 0.0, HIDDEN)[:, None, None]
        x = encoder.input(x)
        for block in encoder.stack.each:
            x = _block(block, x, scores, None, None)
        out: Tensor = encoder.pool(encoder.stack.norm(x), real)
        return out


class States(nn.Module):
    """`TransformerDecoder.forward` for the exporter."""

    def __init__(self, decoder: TransformerDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """See `Decoder.forward`."""
        decoder = self.decoder
        given = decoder.condition(z)
        if given.added is not None:
            x = x + given.added[:, None]
        step = torch.arange(x.shape[1], device=x.device)
        scores = torch.where(step <= step[:, None], 0.0, HIDDEN)
        if given.prefixes[0] is not None:
            # Every step sees the prefix, whose keys come first.
            scores = nn.functional.pad(scores, (decoder.prefix, 0))
        products = decoder.product_modules
        for i, block in enumerate(decoder.stack.each):
            factor = given.factors[i]
            if factor is not None:
                x = x + products[i](x, factor)
            x = _block(block, x, scores, given.modulations[i], given.prefixes[i])
        out: Tensor = decoder.stack.norm(x, given.last)
        return out if given.offset is None else out + given.offset[:, None]


def _block(
    block: Block,
    x: Tensor,
    scores: Tensor,
    modulation: Tensor | None,
    prefix: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """`Block.forward` for x [B, T, H], with what is added to the scores of S = P + T keys, [..., T, S]."""
    first, second = (None, None) if modulation is None else modulation.chunk(2, -1)
    attention = block.attention
    steps, width = x.shape[1:]
    count, head = attention.heads, width // attention.heads
    qkv = attention.qkv(block.attention_norm(x, first)).view(-1, steps, 3 * count, head)
    query, key, value = qkv.transpose(1, 2).chunk(3, 1)
    query, key = attention.rotary(query) * head**-0.5, attention.rotary(key)
    if prefix is not None:
        key, value = torch.cat([prefix[0], key], 2), torch.cat([prefix[1], value], 2)
    weights = (query @ key.transpose(2, 3) + scores).softmax(-1)
    x = x + attention.out((weights @ value).transpose(1, 2).reshape(-1, steps, width))
    out: Tensor = x + block.feed_forward(block.forward_norm(x, second))
    return out
