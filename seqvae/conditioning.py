"""Labels in a text model: what encoder and decoder are told of them, and the model that is left given one.

The conditional VAE (Sohn et al. 2015): q(z | x, label), p(z | label) and p(x | z, label). z need not hold what
the label says already, so that a label can be switched under the same z.
"""

from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor, nn

from seqvae.batch import Batch
from seqvae.decoders import Decoder
from seqvae.posteriors import Posterior, PosteriorNetwork


@final
class Conditioning(nn.Module):
    """A vector for each label, which joins z before the decoder and moves the encoder's summary.

    Args:
        labels: how many there are.
        width: size E of a label's vector.
        summary: size H of the encoder's summary; None: there is no encoder.
    """

    def __init__(self, labels: int, width: int, summary: int | None) -> None:
        super().__init__()
        self.vectors = nn.Embedding(labels, width)
        self.told = None if summary is None else nn.Linear(width, summary)

    def summary(self, summary: Tensor, labels: Tensor | None) -> Tensor:
        """What the posterior reads, [B, H], of sequences with `labels` [B]."""
        assert self.told is not None
        told: Tensor = summary + self.told(self._vectors(labels))
        return told

    def vector(self, z: Tensor | None, labels: Tensor | None) -> Tensor:
        """What the decoder is told, [B, D + E]: z [B, D], where there is one, and the label."""
        vectors = self._vectors(labels)
        return vectors if z is None else torch.cat([z, vectors.to(z.dtype)], -1)

    def _vectors(self, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError("this model needs the label of each sequence: use `given` with one")
        found: Tensor = self.vectors(labels)
        return found


@final
class GivenPosterior(PosteriorNetwork):
    """A posterior that is told the same of every sequence.

    Args:
        network: reads summaries.
        shift: what is added to them, [H].
    """

    def __init__(self, network: PosteriorNetwork, shift: Tensor) -> None:
        super().__init__()
        self.network, self.shift = network, shift
        self.dimension, self.levels = network.dimension, network.levels

    def forward(self, summary: Tensor) -> Posterior:
        """See `PosteriorNetwork.forward`."""
        found: Posterior = self.network(summary + self.shift)
        return found


@final
class GivenDecoder(Decoder):
    """A decoder that is told the same of every sequence, beside z.

    Args:
        decoder: of vectors [z, told].
        told: shape [E].
    """

    def __init__(self, decoder: Decoder, told: Tensor) -> None:
        super().__init__()
        self.decoder, self.told = decoder, told
        self.width, self.max_length = decoder.width, getattr(decoder, "max_length", None)

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """See `Decoder.forward`."""
        states: Tensor = self.decoder(x, self._joined(z, len(x)))
        return states

    def start(self, z: Tensor | None, batch: int, capacity: int) -> Any:  # noqa: ANN401
        """See `Decoder.start`."""
        return self.decoder.start(self._joined(z, batch), batch, capacity)

    def step(self, x: Tensor, state: Any) -> Tensor:  # noqa: ANN401
        """See `Decoder.step`."""
        return self.decoder.step(x, state)

    def select(self, state: Any, rows: Tensor) -> None:  # noqa: ANN401
        """See `Decoder.select`."""
        self.decoder.select(state, rows)

    def _joined(self, z: Tensor | None, rows: int) -> Tensor:
        told = self.told.expand(rows, -1)
        return told if z is None else torch.cat([z, told.to(z.dtype)], -1)


def rows_by_label(batch: Batch) -> Iterator[tuple[int, Tensor]]:
    """Each label of a batch and the rows that have it, [R].

    Raises:
        ValueError: the batch has no labels.
    """
    if batch.labels is None:
        raise ValueError("this model needs the label of each sequence, and the batch has none")
    for label in sorted(set(batch.labels.tolist())):
        yield label, (batch.labels == label).nonzero().squeeze(1)


@torch.no_grad()
def fold(conditional: nn.Module, plain: nn.Module, told: Tensor) -> None:
    """Make `plain`, built for z alone, what `conditional`, built for [z, told], is at one `told`.

    Where `told` enters, it stands last in the input of a linear map or a GRU cell, whose weights on it make one
    more bias.

    Args:
        conditional: a decoder.
        plain: the same one without room for the label; its weights are overwritten.
        told: the label's vector, [E].
    """
    wanted = dict(plain.named_parameters())
    given = dict(conditional.named_parameters())
    for name, weight in given.items():
        if weight.shape == wanted[name].shape:
            wanted[name].copy_(weight)
    size = len(told)
    for name, weight in given.items():
        if weight.shape != wanted[name].shape:
            wanted[name].copy_(weight[:, :-size])
            wanted[name.replace("weight", "bias")].add_(weight[:, -size:] @ told)
