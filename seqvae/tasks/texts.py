"""Texts to token ids and batches: what every task on texts begins with."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.data.text import BLANK, BOS, EOS, PAD, SPECIAL, Tokenizer
from seqvae.errors import UserError
from seqvae.posteriors import Posterior

GROUP_TOKENS = 8192
"""Tokens, padding included, that are encoded or scored at once."""


def read(
    tokenizer: Tokenizer, texts: Sequence[str], limit: int, *, crop: bool, blanks: bool = False
) -> list[list[int]]:
    """Token ids of each text.

    Args:
        tokenizer: splits.
        texts: any strings, empty ones too.
        limit: most pieces of a text.
        crop: cut longer texts there instead of refusing them.
        blanks: read `<blank>` in a text as one blank token instead of as it is written.

    Raises:
        UserError: a text is too long, or `texts` is not a list of strings.
    """
    if isinstance(texts, str):
        raise UserError(f"texts: expected a list of strings, got one string; pass [{texts[:30]!r}]")
    found = []
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"texts: item {number} is {type(text).__name__}, not a string")
        ids: list[int] = []
        for part in text.split(SPECIAL[BLANK]) if blanks else [text]:
            ids += [BLANK, *tokenizer.encode(part)]
        del ids[0]  # blanks stand between the parts only
        if len(ids) > limit and not crop:
            raise UserError(
                f"texts: item {number} ({text[:40]!r}...) has {len(ids)} pieces and the model reads "
                f"at most {limit}; shorten it, or set crop=True to use its beginning only"
            )
        found.append(ids[:limit])
    return found


def batch_of(ids: Sequence[Sequence[int]], device: torch.device, *, ends: bool = True) -> Batch:
    """A padded batch, start tokens added and, with `ends`, end tokens."""
    end = [EOS] if ends else []
    rows = [torch.tensor([BOS, *row, *end]) for row in ids]
    values = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    return Batch(values.to(device), torch.tensor([len(row) for row in rows], device=device))


def groups(ids: Sequence[Sequence[int]], tokens: int = GROUP_TOKENS) -> Iterator[list[int]]:
    """Indices of sequences of like length, up to `tokens` values (start, end, padding) together."""
    group: list[int] = []
    for index in sorted(range(len(ids)), key=lambda i: len(ids[i])):
        if group and (len(group) + 1) * (len(ids[index]) + 2) > tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


@torch.no_grad()
def sample_each(
    posterior: Posterior, seeds: Sequence[int], samples: int, noise_scale: float = 1.0
) -> Tensor:
    """Samples of each row under a seed of its own, so that its company does not matter.

    Returns:
        shape [samples, B, D]; the first of many samples are those of fewer.
    """
    device = posterior.mean.device
    drawn = [
        posterior.select(slice(row, row + 1)).sample(
            torch.tensor([seed], device=device), samples, noise_scale
        )
        for row, seed in enumerate(seeds)
    ]
    return torch.cat(drawn, 1) if drawn else posterior.mean.expand(samples, 0, -1)
