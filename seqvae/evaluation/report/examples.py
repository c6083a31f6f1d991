"""What a model does with sentences: everything in the report that has to be computed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqvae.data.storage import SequenceStore
from seqvae.data.text import Tokenizer
from seqvae.evaluation.text import bleu, correct_tokens
from seqvae.tasks.decode import Decoding, generate
from seqvae.tasks.text_model import TextModel
from seqvae.tasks.texts import batch_of, groups

MAPPED = 600
"""Sentences on the map."""
JUDGED = 200
"""Sentences written again to count how many come back."""
SCALES = (0.5, 1.0, 1.5)
"""Noise scales of the paraphrases."""
STEPS = 7
_NEIGHBOURS = 3

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Rewritten:
    """A sentence that was encoded and written again.

    Attributes:
        source: token ids that were read.
        wanted: token ids that a perfect model writes: the source itself, or a pair's other side.
        written: token ids that were written.
    """

    source: list[int]
    wanted: list[int]
    written: list[int]


@dataclass(frozen=True)
class Reconstruction:
    """Sentences written again from their posterior means, greedily.

    Attributes:
        shown: some of them.
        exact: how many came back as wanted, token for token.
        total: of how many.
        accuracy: part of tokens, end tokens counted, that are the first choice given the true past.
        bleu: of all of them, in percent.
    """

    shown: list[Rewritten]
    exact: int
    total: int
    accuracy: float
    bleu: float


@dataclass(frozen=True)
class LatentMap:
    """Sentences by their place in the latent.

    Attributes:
        texts: N sentences.
        points: their posterior means on the two main axes, shape [N, 2].
        explained: part of the variance of the means that each axis shows.
        lengths: tokens of each sentence, shape [N].
        labels: class ids of each sentence, shape [N], or None.
    """

    texts: list[str]
    points: Floats
    explained: tuple[float, float]
    lengths: Floats
    labels: list[int] | None


@dataclass(frozen=True)
class Near:
    """A sentence and those whose posterior means lie nearest, nearest first."""

    text: str
    neighbours: list[str]


@dataclass(frozen=True)
class Spread:
    """A sentence and its paraphrases by noise scale."""

    text: str
    by_scale: list[tuple[float, list[str]]]


@dataclass(frozen=True)
class Examples:
    """All that was computed; what makes no sense for the model is empty."""

    samples: list[str]
    reconstruction: Reconstruction | None = None
    map: LatentMap | None = None
    near: list[Near] = field(default_factory=list)
    walks: list[list[str]] = field(default_factory=list)
    paraphrases: list[Spread] = field(default_factory=list)


def gather(model: TextModel, store: SequenceStore | None, *, samples: int, seed: int) -> Examples:
    """Let a model work on sentences of a split.

    Args:
        model: any trained text model.
        store: validation sentences, or None when the corpus is gone.
        samples: sentences shown of each kind.
        seed: fixes which ones, and all noise.
    """
    written = model.sample(samples, seed=seed)
    if store is None or model.model.latent is None:
        return Examples(written)
    chosen = _choose(store, model.max_pieces)
    if not len(chosen):
        return Examples(written)
    sources = [store.tokens(i).tolist() for i in chosen]
    targets = [store.target(i) for i in chosen] if store.has_pairs else None
    wanted = sources if targets is None else [t.tolist() for t in targets if t is not None]
    texts = [model.tokenizer.decode(ids) for ids in sources]
    means = model.posterior(sources).mean.float().cpu()
    order = np.random.default_rng([seed, 0]).permutation(len(chosen)).tolist()
    # Sentences of middling length show most: short ones are easy, long ones hopeless at any rate.
    telling = sorted(order, key=lambda i: abs(len(sources[i]) - _median(sources)))
    telling = telling[: max(2 * samples, len(order) // 3)]
    return Examples(
        samples=written,
        reconstruction=_reconstruct(model, sources, wanted, means, order, samples),
        map=_map(texts, means, sources, store.labels, chosen),
        near=_near(texts, means, telling[: max(3, samples // 2)]),
        walks=_walks(model, texts, telling),
        paraphrases=_spread(model, texts, telling[4:7] or telling[:3], seed),
    )


def spelled(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of a run of tokens inside a sentence, the space before its first word kept."""
    parts: list[str] = []
    raw = bytearray()
    for piece in [*tokenizer.pieces(ids), ""]:
        if piece.startswith("<0x") and piece.endswith(">"):
            raw.append(int(piece[3:5], 16))
            continue
        parts += [raw.decode("utf-8", "replace"), piece.replace("\u2581", " ")]
        raw.clear()
    return "".join(parts)


def _median(sequences: Sequence[Sequence[int]]) -> float:
    return float(np.median([len(ids) for ids in sequences]))


def _choose(store: SequenceStore, longest: int) -> list[int]:
    """Sentences that the model can read and write, spread evenly over the split."""
    fits = store.lengths <= longest
    if store.target_lengths is not None:
        fits &= store.target_lengths <= longest
    rows = np.flatnonzero(fits)
    places = np.linspace(0, len(rows) - 1, min(len(rows), MAPPED)).round().astype(np.int64)
    chosen: list[int] = rows[places].tolist()
    return chosen


def _reconstruct(
    model: TextModel,
    sources: list[list[int]],
    wanted: list[list[int]],
    means: Tensor,
    order: list[int],
    shown: int,
) -> Reconstruction:
    judged = order[:JUDGED]
    means = means.to(model.device)
    longest = max(len(wanted[i]) for i in judged)
    # Twice the longest is enough to see that a text does not end.
    decoding = Decoding(max_length=min(model.max_pieces + 1, 2 * longest + 8))
    written = generate(model.model, means[judged], decoding).ids
    right = tokens = 0
    for group in groups([wanted[i] for i in judged]):
        rows = [judged[i] for i in group]
        batch = batch_of([wanted[i] for i in rows], model.device)
        right += int(correct_tokens(model.model, batch, means[rows]).sum())
        tokens += int(batch.predicted_tokens)
    results = [
        Rewritten(sources[i], wanted[i], ids) for i, ids in zip(judged, written, strict=True)
    ]
    return Reconstruction(
        shown=results[:shown],
        exact=sum(one.written == one.wanted for one in results),
        total=len(results),
        accuracy=right / tokens,
        bleu=bleu(
            [model.tokenizer.decode(one.written) for one in results],
            [model.tokenizer.decode(one.wanted) for one in results],
        ),
    )


def _map(
    texts: list[str],
    means: Tensor,
    sources: list[list[int]],
    labels: Any,  # noqa: ANN401 (numpy array or None)
    chosen: list[int],
) -> LatentMap | None:
    if len(texts) < 3:
        return None
    points, explained = principal_axes(means.double().numpy())
    return LatentMap(
        texts=texts,
        points=points,
        explained=explained,
        lengths=np.array([len(ids) for ids in sources], float),
        labels=None if labels is None else [int(labels[i]) for i in chosen],
    )


def principal_axes(means: Floats) -> tuple[Floats, tuple[float, float]]:
    """Coordinates [N, 2] on the two axes of greatest variance, and the part of it each shows."""
    centred = means - means.mean(0)
    left, values, axes = np.linalg.svd(centred, full_matrices=False)
    # An axis has no direction of its own: fix it, so that the same run gives the same map.
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
    points = np.zeros((len(means), 2))
    shown = (left * values * signs)[:, :2]
    points[:, : shown.shape[1]] = shown
    total = float((values**2).sum()) or 1.0
    parts = [*(float(value**2) / total for value in values[:2]), 0.0]
    return points, (parts[0], parts[1])


def _near(texts: list[str], means: Tensor, asked: list[int]) -> list[Near]:
    if len(texts) <= _NEIGHBOURS:
        return []
    found = torch.cdist(means[asked], means)
    found[torch.arange(len(asked)), asked] = float("inf")
    nearest = found.topk(_NEIGHBOURS, largest=False).indices.tolist()
    return [Near(texts[i], [texts[j] for j in row]) for i, row in zip(asked, nearest, strict=True)]


def _walks(model: TextModel, texts: list[str], telling: list[int]) -> list[list[str]]:
    """Ways between two pairs of sentences; the pairs themselves stand first and last."""
    walks = []
    for first, last in zip(telling[0:4:2], telling[1:4:2], strict=False):
        between = model.interpolate(texts[first], texts[last], STEPS)
        walks.append([texts[first], *between, texts[last]])
    return walks


def _spread(model: TextModel, texts: list[str], telling: list[int], seed: int) -> list[Spread]:
    asked = [texts[i] for i in telling]
    if not asked:
        return []
    by_scale = [
        (scale, model.paraphrase(asked, 3, noise_scale=scale, seed=seed)) for scale in SCALES
    ]
    return [
        Spread(text, [(scale, [c.text for c in found[i].candidates]) for scale, found in by_scale])
        for i, text in enumerate(asked)
    ]
