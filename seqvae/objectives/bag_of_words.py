"""The bag-of-words loss: z alone must say which pieces a sequence has (Zhao et al. 2017, arXiv 1703.10960)."""

from typing import final

import torch
from torch import Tensor, nn

BAG_OF_WORDS = "bag_of_words"
"""Its name among the auxiliary terms and in the log."""


@final
class BagOfWords(nn.Module):
    """From z to the pieces of a sequence, in no order (eq. 6 of the paper).

    Its weights lie beside the model's, and only training uses them.

    Args:
        latent: D.
        width: of the hidden layer.
        vocabulary: V.
        weight: of its nats in the loss.
    """

    def __init__(self, latent: int, width: int, vocabulary: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.network = nn.Sequential(
            nn.Linear(latent, width), nn.Tanh(), nn.Linear(width, vocabulary)
        )

    def forward(self, z: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """-sum_t log p(x_t | z) over the pieces between start and end, all from one softmax.

        Args:
            z: samples, [S, B, D].
            values: pieces, [B, T].
            lengths: steps of each row, start and end counted, [B].

        Returns:
            Nats per sequence, mean over samples, [B], float32. An upper bound of no likelihood of the model's.
        """
        logits: Tensor = self.network(z)
        pieces = values[:, 1:]
        steps = torch.arange(pieces.shape[1], device=values.device)
        real = steps[None, :] < lengths[:, None] - 2
        index = pieces.expand(len(z), -1, -1)
        said = logits.float().log_softmax(-1).gather(-1, index)
        return -(said * real).sum(-1).mean(0)
