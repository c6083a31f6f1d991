"""What the tasks of the engine share: texts in, posteriors, texts out, surprisals; in bounded batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqvae.data.text import EOS
from seqvae.errors import UserError
from seqvae.serving import latent, tokens
from seqvae.serving.options import Options, Row, feeds_of
from seqvae.serving.philox import latent_noise
from seqvae.serving.results import Written
from seqvae.serving.session import Graphs
from seqvae.serving.tokens import Ids, Texts

Array = np.ndarray[Any, np.dtype[Any]]
HYPOTHESES = 128
"""Sequences that one call of a graph writes side by side; it bounds memory and changes no result."""
TOKENS = 8192
"""Tokens, padding included, that one call encodes."""
WRITTEN = "written"
"""The output of `model` with the texts or, where it has no tokenizer, their ids."""
LOGITS = 1 << 24
"""Logits that one call of the scorer holds: 64 MiB."""


@dataclass(frozen=True)
class Facts:
    """What the engine must know of the model.

    Attributes:
        latent: size D of z; 0 for a language model.
        vocabulary: number V of pieces.
        max_length: longest sequence in tokens, start and end included.
        beam_size: hypotheses of a row under beam search.
        pieces: the piece of every id.
        texts_inside: whether `model` takes and gives texts, rather than ids.
    """

    latent: int
    vocabulary: int
    max_length: int
    beam_size: int
    pieces: Sequence[str]
    texts_inside: bool


class Core:
    """The graphs of a model with its tokenizer.

    Args:
        facts: of the model.
        graphs: its parts.
        texts: its tokenizer.
        crop: read only the beginning of texts that are too long, instead of refusing them.
    """

    def __init__(self, facts: Facts, graphs: Graphs, texts: Texts, *, crop: bool = False) -> None:
        self.facts, self.graphs, self.texts, self.crop = facts, graphs, texts, crop

    @property
    def max_pieces(self) -> int:
        """Most pieces of a text that the model reads."""
        return self.facts.max_length - 2

    def need_latent(self, task: str) -> None:
        """Refuse a task that a language model cannot do.

        Raises:
            UserError: there is no latent.
        """
        if not self.facts.latent:
            raise UserError(
                f"{task} needs a latent, and this is a language model (trained with latent none); "
                "sample and score work on it, everything else needs a run trained with latent vae"
            )

    def read(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of texts, without start and end tokens.

        Raises:
            UserError: a text is too long and `crop` is off, or `texts` is not a list of strings.
        """
        check_texts(texts)
        ids = self.texts.encode(texts)
        for number, (text, row) in enumerate(zip(texts, ids, strict=True)):
            self._refuse_long(number, text, row)
        return ids

    def check_lengths(self, texts: Sequence[str]) -> None:
        """Raise `read`'s errors, reading only texts that may be too long."""
        check_texts(texts)
        if self.crop:
            return
        doubtful = [i for i, t in enumerate(texts) if not tokens.surely_fits(t, self.max_pieces)]
        for number, row in zip(
            doubtful, self.texts.encode([texts[i] for i in doubtful]), strict=True
        ):
            self._refuse_long(number, texts[number], row)

    def _refuse_long(self, number: int, text: str, ids: Ids) -> None:
        if not self.crop and self.texts.too_long(text, ids):
            raise UserError(
                f"texts: item {number} ({text[:40]!r}...) has more than {self.max_pieces} pieces, "
                "the most that the model reads; shorten it, or set crop=True to use its beginning "
                "only"
            )

    def posterior(self, ids: Sequence[Ids]) -> tuple[Array, Array]:
        """Means and log-variances [N, D] of q(z | x) of sequences, in their order."""
        mean = np.zeros((len(ids), self.facts.latent), np.float32)
        log_variance = np.zeros_like(mean)
        for group in groups(ids, TOKENS):
            values, lengths = tokens.batch([ids[i] for i in group])
            feeds = {"ids": values, "lengths": lengths}
            out = self.graphs.run("encoder", feeds, ["mean", "log_variance"])
            mean[group], log_variance[group] = out["mean"], out["log_variance"]
        return mean, log_variance

    def log_prior(self, z: Array) -> Array | None:
        """log p(z) in nats of vectors [..., D], shape [...]; None: the prior is the standard normal."""
        if "density" not in self.graphs:
            return None
        rows = z.reshape(-1, self.facts.latent)
        found = self.graphs.run("density", {"z": rows}, ["log_prob"])["log_prob"]
        return found.reshape(z.shape[:-1])

    def surprisals(
        self, ids: Sequence[Ids], z: Array | None, ends: Sequence[bool] | None = None
    ) -> list[Array]:
        """-log p of each token in nats, float32, the end token's at the end where there is one.

        Args:
            ids: sequences without start and end tokens.
            z: their latents [N, D]; None for a language model.
            ends: which of them ended; all by default.
        """
        found: list[Array] = [np.zeros(0, np.float32)] * len(ids)
        ends = [True] * len(ids) if ends is None else ends
        for group in groups(ids, max(1, LOGITS // self.facts.vocabulary)):
            values, lengths = tokens.batch([ids[i] for i in group], [ends[i] for i in group])
            feeds = {"ids": values, "lengths": lengths}
            if z is not None:
                feeds["z"] = z[group]
            surprisal = self.graphs.run("scorer", feeds, ["surprisal"])["surprisal"]
            for i, row, length in zip(group, surprisal, lengths, strict=True):
                found[i] = row[: length - 1]
        return found

    def generate(self, rows: Sequence[Row]) -> list[Written]:
        """Write each row again by `model`, which does everything in one call.

        Raises:
            UserError: a text is too long, or noise does not fit the model.
        """
        if not self.facts.latent:
            return self.write(None, [row.options for row in rows])
        self.check_lengths([row.text for row in rows])
        for number, row in enumerate(rows):
            self._check_noise(number, row)
        written: list[Written | None] = [None] * len(rows)
        # The graph takes noise for all rows or for none.
        for given in (False, True):
            mine = [i for i, row in enumerate(rows) if (row.noise is not None) == given]
            for part in self._parts([rows[i].options for i in mine]):
                chosen = [mine[i] for i in part]
                answers = self._call_model([rows[i] for i in chosen], given)
                for i, answer in zip(chosen, answers, strict=True):
                    written[i] = answer
        return [one for one in written if one is not None]

    def latent_of(self, row: Row) -> Array | None:
        """z [D] of a row; None for a language model.

        Raises:
            UserError: the text is too long, or noise does not fit the model.
        """
        if not self.facts.latent:
            return None
        self._check_noise(0, row)
        mean, log_variance = self.posterior(self.read([row.text]))
        o, noise = row.options, row.noise
        if noise is None:
            noise = latent_noise(o.seed, o.sample, self.facts.latent)
        z: Array = latent.sample(mean[0], log_variance[0], noise, o.noise_scale)
        return z

    def sample(self, options: Sequence[Options]) -> list[Written]:
        """A text for each of the options, z from the prior."""
        if not self.facts.latent:
            return self.write(None, options)
        written = []
        for part in self._parts(options):
            chosen = [options[i] for i in part]
            feeds = feeds_of(chosen, ["seed", "sample"])
            written += self.write(self.graphs.run("prior", feeds, ["z"])["z"], chosen)
        return written

    def write(self, z: Array | None, options: Sequence[Options]) -> list[Written]:
        """Write a text for each z [N, D] (None for a language model) by `generate`.

        Raises:
            UserError: `z` does not fit the model.
        """
        written = []
        known = self.graphs.inputs("generate") if options else frozenset()
        for part in self._parts(options):
            feeds = feeds_of([options[i] for i in part])
            if z is not None:
                feeds["z"] = z[part]
            feeds = {name: value for name, value in feeds.items() if name in known}
            out = self.graphs.run("generate", feeds, ["ids", "log_prob", "complete"])
            texts = self.texts.decode([r for r, _ in _rows(out)])
            written += _written(out, texts)
        return written

    def _call_model(self, rows: Sequence[Row], with_noise: bool) -> list[Written]:
        known = self.graphs.inputs("model")
        feeds = feeds_of([row.options for row in rows])
        if with_noise:
            feeds["noise"] = np.stack([np.asarray(row.noise, np.float32) for row in rows])
        outputs = [WRITTEN, "log_prob", "complete"]
        if self.facts.texts_inside:
            feeds["text"] = tokens.strings([row.text for row in rows])
            outputs.append("ids")
        else:
            ids = self.texts.encode([row.text for row in rows])
            feeds["ids"], feeds["lengths"] = tokens.batch(ids)
        feeds = {name: value for name, value in feeds.items() if name in known}
        out = self.graphs.run("model", feeds, outputs)
        if self.facts.texts_inside:
            return _written(out, [str(text) for text in out[WRITTEN].reshape(-1).tolist()])
        out["ids"] = out[WRITTEN]
        return _written(out, self.texts.decode([ids for ids, _ in _rows(out)]))

    def _check_noise(self, number: int, row: Row) -> None:
        if row.noise is None:
            return
        noise = np.asarray(row.noise)
        if noise.shape != (self.facts.latent,) or not np.isfinite(noise).all():
            raise UserError(
                f"rows: item {number}: noise has shape {noise.shape}; it must be "
                f"({self.facts.latent},) and finite"
            )

    def _parts(self, options: Sequence[Options]) -> Iterator[list[int]]:
        """Indices of neighbouring rows, with up to `HYPOTHESES` hypotheses together."""
        part: list[int] = []
        used = 0
        for i, option in enumerate(options):
            cost = self.facts.beam_size if option.beam else 1
            if part and used + cost > HYPOTHESES:
                yield part
                part, used = [], 0
            part.append(i)
            used += cost
        if part:
            yield part


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what is not a list of strings.

    Raises:
        UserError: names the item.
    """
    if isinstance(texts, str):
        raise UserError(f"texts: expected a list of strings, got one string; pass [{texts[:30]!r}]")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"texts: item {number} is {type(text).__name__}, not a string")


def groups(ids: Sequence[Ids], tokens: int) -> Iterator[list[int]]:
    """Indices of sequences of like length, up to `tokens` values (start, end, padding) together."""
    group: list[int] = []
    for index in sorted(range(len(ids)), key=lambda i: len(ids[i])):
        if group and (len(group) + 1) * (len(ids[index]) + 2) > tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _rows(out: dict[str, Array]) -> list[tuple[Ids, bool]]:
    """Ids of each row without padding and end token, and whether it ended."""
    lengths = (out["ids"] != 0).sum(1).tolist()
    found = []
    for row, n, ended in zip(
        out["ids"].tolist(), lengths, out["complete"].reshape(-1).tolist(), strict=True
    ):
        ids = row[:n]
        found.append((ids[:-1] if ids and ids[-1] == EOS else ids, bool(ended)))
    return found


def _written(out: dict[str, Array], texts: Sequence[str]) -> list[Written]:
    log_probs = out["log_prob"].reshape(-1).tolist()
    return [
        Written(text, ids, log_prob, complete)
        for text, (ids, complete), log_prob in zip(texts, _rows(out), log_probs, strict=True)
    ]
