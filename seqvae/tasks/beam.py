"""Beam search over all rows at once."""

import torch
from torch import Tensor

from seqvae.data.text import BOS, EOS, PAD
from seqvae.decoders import Decoder
from seqvae.likelihoods.categorical import CategoricalLikelihood
from seqvae.tasks.sampling import forbid


def penalty(length: Tensor | int, alpha: float) -> Tensor:
    """What log-probabilities of `length` tokens (end counted) are divided by.

    Wu et al. 2016, arXiv 1609.08144, eq. 14: (5 + length)^alpha / 6^alpha.
    """
    return ((5.0 + torch.as_tensor(length, dtype=torch.float32)) / 6.0) ** alpha


def beam_search(
    decoder: Decoder,
    likelihood: CategoricalLikelihood,
    z: Tensor | None,
    count: int,
    *,
    beam: int,
    length_penalty: float,
    limit: int,
    no_repeat_ngram: int = 0,
) -> tuple[list[list[int]], Tensor]:
    """The best sequence found for each z; with `beam` 1 it is the greedy one.

    A finished sequence competes for its place in the beam with those still growing, and the best
    one ever finished is kept. A row ends when no sequence in its beam can overtake that one.

    Args:
        decoder: writes.
        likelihood: scores tokens.
        z: shape [N, D], or None.
        count: N.
        beam: sequences kept for each row, K.
        length_penalty: alpha of `penalty`.
        limit: most tokens, the end token counted.
        no_repeat_ngram: see `forbid`.

    Returns:
        Tokens of each row (with the end token where it was reached), and their log-probability in
        nats, shape [N].
    """
    device = next(decoder.parameters()).device
    state = decoder.start(None if z is None else z.repeat_interleave(beam, 0), count * beam, limit)
    minus_infinity = float("-inf")
    row = torch.arange(count, device=device)
    ids = torch.full((count, beam, limit), PAD, device=device)
    length = torch.zeros(count, beam, dtype=torch.int64, device=device)
    finished = torch.zeros(count, beam, dtype=torch.bool, device=device)
    log_prob = torch.full((count, beam), minus_infinity, device=device)
    log_prob[:, 0] = 0.0  # all slots hold the same empty sequence: let one of them count
    token = torch.full((count * beam,), BOS, device=device)
    best_score = torch.full((count,), minus_infinity, device=device)
    best_ids = torch.full((count, limit), PAD, device=device)
    best_log_prob = torch.full((count,), minus_infinity, device=device)
    for step in range(limit):
        hidden = decoder.step(likelihood.embed(token), state)
        scores = likelihood.logits(hidden).float().log_softmax(1)
        scores = forbid(scores, ids.flatten(0, 1)[:, :step], no_repeat_ngram)
        # A finished sequence has one continuation: itself, at no cost.
        scores[finished.flatten()] = minus_infinity
        scores[finished.flatten(), PAD] = 0.0
        total = log_prob[..., None] + scores.view(len(row), beam, -1)
        longer = torch.where(finished, length, length + 1)
        ranked = total / penalty(longer, length_penalty)[..., None]
        chosen = ranked.flatten(1).topk(beam).indices
        parent, token = chosen // ranked.shape[2], chosen % ranked.shape[2]
        log_prob = total.flatten(1).gather(1, chosen)
        ids = ids.gather(1, parent[..., None].expand_as(ids))
        ids[..., step] = token
        length = longer.gather(1, parent)
        finished = finished.gather(1, parent) | (token == EOS)

        score = log_prob / penalty(length, length_penalty)
        top, where = score.masked_fill(~finished, minus_infinity).max(1)
        better = top > best_score[row]
        _keep(best_score, row, better, top)
        _keep(best_ids, row, better, ids[torch.arange(len(row), device=device), where])
        _keep(best_log_prob, row, better, log_prob.gather(1, where[:, None])[:, 0])
        # Growing lowers a log-probability and raises the penalty: this no descendant can beat.
        growing = log_prob.masked_fill(finished, minus_infinity)
        open_rows = growing.amax(1) / penalty(limit, length_penalty) > best_score[row]
        if step + 1 == limit or not bool(open_rows.any()):
            break
        kept = open_rows.nonzero()[:, 0]
        decoder.select(state, (kept[:, None] * beam + parent[kept]).flatten())
        row, ids, length = row[kept], ids[kept], length[kept]
        log_prob, finished, token = log_prob[kept], finished[kept], token[kept].flatten()
    # Where nothing finished within the limit, the most probable beginning is the answer.
    unfinished = best_score[row].isneginf()
    top, where = growing.max(1)
    _keep(best_ids, row, unfinished, ids[torch.arange(len(row), device=device), where])
    _keep(best_log_prob, row, unfinished, top)
    lengths = (best_ids != PAD).sum(1).tolist()
    return [r[:n] for r, n in zip(best_ids.tolist(), lengths, strict=True)], best_log_prob


def _keep(store: Tensor, row: Tensor, change: Tensor, values: Tensor) -> None:
    """Put `values` [M, ...] into the rows of `store` for which `change` [M] is true."""
    store[row[change]] = values[change]
