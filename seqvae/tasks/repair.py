"""Damaged texts repaired by few edits: the most probable text under the latent from which the damage follows.

The noisy channel (Kernighan, Church and Gale 1990): argmax over texts x of log p(x | z) + log p(damaged | x), with z the
posterior's mean of the damaged text. Writing a text anew from z alone loses what z does not hold; here every word
that no edit touches stays as it was read. The channel is that of `seqvae.data.noise_text`: words lost, neighbours that changed
places, one slip of the keyboard in a word.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.tasks.decode import token_likelihood
from seqvae.tasks.texts import GROUP_TOKENS, batch_of, groups

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel

START = "\u2581"
"""What begins a word's first piece in sentencepiece."""
CANDIDATES_AT_ONCE = 1 << 14
"""Texts scored together; it bounds memory and changes no result."""


@dataclass(frozen=True)
class Channel:
    """What an edit costs, -log p(damage) in nats: an edit is made where the text gains more than it costs.

    Raises:
        UserError: a cost is not positive or a count below 1.
    """

    lost: float = 4.0
    """To put back a word that was lost."""
    swapped: float = 3.0
    """To let neighbours change places."""
    mistyped: float = 4.0
    """To respell a word by one slip: a letter lost, added, exchanged or changed with its neighbour."""
    proposals: int = 5
    """Words that are tried in each gap, the most probable ones there."""
    rounds: int = 8
    """Most edits of a text."""

    def __post_init__(self) -> None:
        for name in ("lost", "swapped", "mistyped"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(
                    f"repair: {name} is {getattr(self, name)}; a cost is above 0 nats and finite"
                )
        for name in ("proposals", "rounds"):
            if getattr(self, name) < 1:
                raise UserError(f"repair: {name} is {getattr(self, name)}; it must be 1 or more")


def repair(model: "TextModel", texts: Sequence[str], channel: Channel | None = None) -> list[str]:
    """Each text with the edits that make it probable; one that needs none comes back with its white space squeezed.

    Works with any text model. One with a latent knows what a text of that kind would say; one trained on damaged
    texts (`train ... --noise.drop`, or pairs of damaged and whole) knows it of damaged ones. Words that are put in or
    respelled are single pieces of the tokenizer.

    Args:
        model: with a latent or without.
        texts: damaged texts.
        channel: what edits cost.

    Raises:
        UserError: a text is too long.
    """
    channel = channel or Channel()
    latent = model.model.latent is not None
    words = [text.split() for text in texts]
    z = model.posterior(model.read(texts)).mean if latent and texts else None
    spelling = Spelling(_whole_words(model))
    best = _nll(model, [" ".join(row) for row in words], z, range(len(words)))
    going = list(range(len(words)))
    for _ in range(channel.rounds):
        rows, tried, cost = [], [], []
        told = None if z is None else z[going]
        for i, reading in zip(
            going, _read(model, [words[i] for i in going], told, channel), strict=True
        ):
            for edited, price in _edits(words[i], reading, spelling, channel):
                rows.append(i)
                tried.append(edited)
                cost.append(price)
        if not rows:
            break
        nll = _nll(model, [" ".join(row) for row in tried], z, rows)
        chosen: dict[int, int] = {}
        totals = nll + torch.tensor(cost)
        for place, total in enumerate(totals.tolist()):
            i = rows[place]
            if total < best[i] and (i not in chosen or total < totals[chosen[i]]):
                chosen[i] = place
        for i, place in chosen.items():
            # What an edit cost is paid: the next one is weighed against the text as it now stands.
            words[i], best[i] = tried[place], nll[place]
        going = sorted(chosen)
        if not going:
            break
    return [" ".join(row) for row in words]


class Spelling:
    """Known words by what is left of them without one letter, so that words one slip apart meet.

    Args:
        words: the known ones.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.known = frozenset(words)
        self._without: dict[str, list[str]] = {}
        for word in sorted(self.known):
            for left in {word, *_without_one(word)}:
                self._without.setdefault(left, []).append(word)

    def near(self, word: str) -> list[str]:
        """Known words of which one slip makes `word` (Damerau-Levenshtein distance 1), sorted."""
        found = {
            other
            for left in {word, *_without_one(word)}
            for other in self._without.get(left, ())
            if _one_slip(word, other)
        }
        return sorted(found)


def _without_one(word: str) -> set[str]:
    return {word[:i] + word[i + 1 :] for i in range(len(word))}


def _one_slip(a: str, b: str) -> bool:
    """Whether one letter added, lost, exchanged, or changed with its neighbour makes `b` of `a`."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    if len(a) != len(b):
        short, long = sorted((a, b), key=len)
        return short in _without_one(long)
    wrong = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
    if len(wrong) == 1:
        return True
    if len(wrong) != 2 or wrong[1] != wrong[0] + 1:
        return False
    first, second = wrong
    return (a[first], a[second]) == (b[second], b[first])


@dataclass(frozen=True)
class _Reading:
    """How a text of W words reads.

    Attributes:
        surprisal: nats of each word and of the end, [W + 1].
        proposals: the most probable words before each word and before the end, [W + 1].
    """

    surprisal: Sequence[float]
    proposals: Sequence[Sequence[str]]

    def odd(self, begin: int, end: int, cost: float) -> bool:
        """Whether words `begin` to `end` and the one behind cost enough for an edit there to be worth `cost`.

        An edit can gain more than that further on; leaving such out makes far fewer to try.
        """
        return sum(self.surprisal[begin : end + 1]) > cost


def _edits(
    words: Sequence[str], reading: _Reading, spelling: Spelling, channel: Channel
) -> Iterator[tuple[list[str], float]]:
    """Texts one edit away, and what the edit costs."""
    for place, proposals in enumerate(reading.proposals):
        if reading.odd(place, place + 1, channel.lost):
            for word in proposals:
                yield [*words[:place], word, *words[place:]], channel.lost
    for place in range(len(words) - 1):
        pair = (words[place + 1], words[place])
        if pair[0] != pair[1] and reading.odd(place, place + 2, channel.swapped):
            yield [*words[:place], *pair, *words[place + 2 :]], channel.swapped
    for place, word in enumerate(words):
        letters = word.rstrip(".,;:!?\"')")
        if letters and reading.odd(place, place + 1, channel.mistyped):
            for other in spelling.near(letters):
                respelled = other + word[len(letters) :]
                yield [*words[:place], respelled, *words[place + 1 :]], channel.mistyped


def _whole_words(model: "TextModel") -> list[str]:
    """Words that are one piece."""
    tokenizer = model.tokenizer
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    return [p[1:] for p in pieces if p.startswith(START) and p[1:].isalpha()]


def _nll(model: "TextModel", texts: Sequence[str], z: Tensor | None, rows: Sequence[int]) -> Tensor:
    """-log p(text | z[row]) of each text in nats, [N], on the CPU; infinite where it is too long to be read."""
    found = torch.full((len(texts),), float("inf"))
    ids = [model.tokenizer.encode(text) for text in texts]
    fit = [i for i, row in enumerate(ids) if len(row) <= model.max_pieces]
    network, likelihood = model.model, token_likelihood(model.model)
    with evaluating(network):
        for group in groups([ids[i] for i in fit], GROUP_TOKENS):
            places = [fit[i] for i in group]
            batch = batch_of([ids[i] for i in places], model.device)
            told = None if z is None else z[[rows[i] for i in places]]
            states = network.decode(batch.values, told)
            found[places] = likelihood.nll(states, batch.values, batch.lengths).float().cpu()
    return found


def _read(
    model: "TextModel", words: Sequence[Sequence[str]], z: Tensor | None, channel: Channel
) -> list[_Reading]:
    """Each text as the model reads it given z [N, D]."""
    tokenizer, network, likelihood = model.tokenizer, model.model, token_likelihood(model.model)
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    words_only = torch.tensor([p.startswith(START) and p[1:].isalpha() for p in pieces])
    forbidden = torch.where(words_only, 0.0, float("-inf")).to(model.device)
    ids = [tokenizer.encode(" ".join(row)) for row in words]
    found: dict[int, _Reading] = {}
    with evaluating(network):
        for group in groups(ids, GROUP_TOKENS):
            batch = batch_of([ids[i] for i in group], model.device)
            states = network.decode(batch.values, None if z is None else z[group])
            steps = likelihood.nll_steps(states, batch.values, batch.lengths).tolist()
            for row, i in enumerate(group):
                # State t has read the start token and t pieces: where a word begins, it foretells that word.
                begins = [t for t, p in enumerate(tokenizer.pieces(ids[i])) if p.startswith(START)]
                places = [*begins, len(ids[i])]
                if len(places) != len(words[i]) + 1:
                    # Split otherwise than at white space: its words cannot be told apart here.
                    found[i] = _Reading([float("inf")] * (len(words[i]) + 1), [])
                    continue
                costs = [sum(steps[row][a:b]) for a, b in itertools.pairwise([*places, None])]
                logits = likelihood.logits(states[row, places]).float() + forbidden
                top = logits.topk(min(channel.proposals, len(pieces))).indices.tolist()
                found[i] = _Reading(costs, [[pieces[k][1:] for k in gap] for gap in top])
    return [found[i] for i in range(len(words))]
