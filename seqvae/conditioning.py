"""What a text model is told of each text: its label and other attributes, as one vector.

The conditional VAE (Sohn et al. 2015): q(z | x, told), p(z | told) and p(x | z, told). z need not hold what it is
told, so that a label can be switched under the same z.
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from seqvae.batch import Batch
from seqvae.data.attributes import Attribute
from seqvae.decoders import Decoder
from seqvae.posteriors import Posterior, PosteriorNetwork
from seqvae.priors import Prior
from seqvae.priors.by_label import GaussianPrior


@final
class Conditioning(nn.Module):
    """A vector of what is known of a text, which joins z before the decoder and moves the encoder's summary.

    It is the sum of a vector for the label, one for each attribute of names, and for each attribute of numbers
    a vector times the number, standardised. Of texts without labels all have the first one.

    Args:
        labels: how many there are.
        width: size E of the vector.
        summary: size H of the encoder's summary; None: there is no encoder.
        attributes: what is known beside the label.
        dimension: size D of z, where the prior of each label moves with the attributes; None: no prior does.
    """

    scales: Tensor

    def __init__(
        self,
        labels: int,
        width: int,
        summary: int | None,
        attributes: Sequence[Attribute] = (),
        dimension: int | None = None,
    ) -> None:
        super().__init__()
        self.vectors = nn.Embedding(max(labels, 1), width)
        self.told = None if summary is None else nn.Linear(width, summary)
        self.attributes = tuple(attributes)
        self.others = nn.ModuleList(
            nn.Linear(1, width, bias=False)
            if one.is_number
            else nn.Embedding(len(one.values), width)
            for one in attributes
        )
        scales = torch.tensor([[one.mean, one.deviation] for one in attributes]).view(-1, 2)
        self.register_buffer("scales", scales, persistent=False)
        self.moved: nn.Linear | None = None
        if attributes and dimension is not None:
            self.moved = nn.Linear(width, 2 * dimension, bias=False)
            # At the start all texts of a label are expected at the same place.
            nn.init.zeros_(self.moved.weight)

    def vector(self, labels: Tensor | None, attributes: Tensor | None) -> Tensor:
        """What is known, [..., E], of texts with `labels` [...] and `attributes` [..., A].

        Raises:
            ValueError: the model needs what is missing.
        """
        found: Tensor = self.vectors(self._labels(labels, attributes))
        return found if not self.attributes else found + self._others(attributes)

    def summary(self, summary: Tensor, batch: Batch) -> Tensor:
        """What the posterior reads, [B, H], of the sequences of a batch."""
        assert self.told is not None
        told: Tensor = summary + self.told(self.vector(batch.labels, batch.attributes))
        return told

    def join(self, z: Tensor | None, batch: Batch) -> Tensor:
        """What the decoder is told, [S * B, D + E]: z [S * B, D], where there is one, and what is known."""
        vectors = self.vector(batch.labels, batch.attributes)
        if z is None:
            return vectors
        return torch.cat([z, vectors.to(z.dtype).repeat(len(z) // batch.size, 1)], -1)

    def expected(self, prior: Prior, labels: Tensor | None, attributes: Tensor | None) -> Prior:
        """The prior of each text; see `Prior.given`."""
        given = prior.given(self._labels(labels, attributes))
        if self.moved is None or not isinstance(given, GaussianPrior):
            return given
        mean, log_variance = self.moved(self._others(attributes)).chunk(2, -1)
        return given.moved(mean, log_variance)

    def _labels(self, labels: Tensor | None, attributes: Tensor | None) -> Tensor:
        if labels is not None:
            return labels
        if attributes is None or self.vectors.num_embeddings > 1:
            raise ValueError("this model needs the label of each sequence: use `given` with one")
        return torch.zeros(attributes.shape[:-1], dtype=torch.int64, device=attributes.device)

    def _others(self, attributes: Tensor | None) -> Tensor:
        if attributes is None:
            names = ", ".join(one.name for one in self.attributes)
            raise ValueError(f"this model needs the attributes of each sequence: {names}")
        parts = []
        for place, (one, network) in enumerate(zip(self.attributes, self.others, strict=True)):
            column = attributes[..., place]
            if one.is_number:
                mean, deviation = self.scales[place]
                parts.append(network(((column - mean) / deviation)[..., None]))
            else:
                parts.append(network(column.long()))
        return torch.stack(parts).sum(0)


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


@torch.no_grad()
def fold(conditional: nn.Module, plain: nn.Module, told: Tensor) -> None:
    """Make `plain`, built for z alone, what `conditional`, built for [z, told], is at one `told`.

    Where `told` enters, it stands last in the input of a linear map or a GRU cell, whose weights on it make one
    more bias.

    Args:
        conditional: a decoder.
        plain: the same one without room for what is known; its weights are overwritten.
        told: the vector of what is known, [E].
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
