"""Tokens: a softmax over the vocabulary, its logits never stored whole."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from seqvae.likelihoods.likelihood import Likelihood
from seqvae.nn.transformer import token_embedding
from seqvae.ops.linear_cross_entropy import linear_cross_entropy


@dataclass(frozen=True)
class Categorical:
    """Softmax over the vocabulary; output weights tied to the embedding."""

    def build(self, vocabulary: int, width: int) -> "CategoricalLikelihood":
        """The module, for `vocabulary` pieces and states of size `width`."""
        return CategoricalLikelihood(vocabulary, width)


@final
class CategoricalLikelihood(Likelihood):
    """See `Categorical`."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.vocabulary, self.width = vocabulary, width
        self.embedding = token_embedding(vocabulary, width)

    def embed(self, values: Tensor) -> Tensor:
        """See `Likelihood.embed`; token ids to vectors."""
        out: Tensor = self.embedding(values)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every piece for states [..., width], shape [..., V]."""
        return hidden @ self.embedding.weight.t()

    def nll_steps(self, hidden: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """See `Likelihood.nll_steps`."""
        targets = values[:, 1:]
        real = torch.arange(targets.shape[1], device=values.device)[None, :] < lengths[:, None] - 1
        # Only real steps are projected: padding would cost V multiply-adds a step for nothing.
        where = real.flatten().nonzero().squeeze(1)
        states = hidden.reshape(-1, hidden.shape[-1]).index_select(0, where)
        nll = linear_cross_entropy(
            states, self.embedding.weight, targets.flatten().index_select(0, where)
        )
        flat = torch.zeros(real.numel(), dtype=nll.dtype, device=nll.device)
        return flat.index_copy(0, where, nll).view(real.shape)

    def nll(self, hidden: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """See `Likelihood.nll`."""
        return self.nll_steps(hidden, values, lengths).sum(1)
