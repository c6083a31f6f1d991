"""`Engine`: the user's handle on a bundle, as `seqvae.tasks.TextModel` is on a trained model.

The same options give the same texts as there; `tests/serving` holds every task to that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Self

import numpy as np

from seqvae.errors import UserError
from seqvae.export.bundle import TOKENIZER, Bundle
from seqvae.serving import paraphrasing, runtime, scoring, streaming
from seqvae.serving.choose import COLDEST
from seqvae.serving.core import Array, Core, Facts
from seqvae.serving.golden import check_golden
from seqvae.serving.interpolation import between
from seqvae.serving.options import Options, Row
from seqvae.serving.results import Paraphrase, Score, Written
from seqvae.serving.session import Sessions
from seqvae.serving.steppers import Steppers
from seqvae.serving.tokens import GraphTexts, LibraryTexts, Texts

PLAIN = Options()
"""Greedy."""
SAMPLING = Options(temperature=1.0, top_p=0.9)
"""How texts from the prior are written by default: without a filter the improbable half of the
vocabulary adds up to a slip in every other text."""
MAX_STEPS = 10_000
MAX_TEXTS = 1_000_000


class Engine:
    """An open bundle. Every method may be called from several threads at once.

    Args:
        bundle: the folder, or an open one.
        variant: one of the bundle's; by default its own choice, on a GPU the one made for it.
        provider: where to compute; `auto` takes a GPU where there is one.
        threads: for one operator; None: one for each core.
        verify: compare every file's sha256 before it is used.
        crop: read only the beginning of texts that are too long, instead of refusing them.
        cuda_graphs: on a GPU, replay captured CUDA graphs in `stream`; see
            `seqvae.serving.captured`.

    Raises:
        UserError: the bundle is damaged or of something else, an argument is wrong, or a package is missing.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        variant: str | None = None,
        provider: runtime.Provider = "auto",
        threads: int | None = None,
        verify: bool = True,
        crop: bool = False,
        cuda_graphs: bool = False,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, verify=verify)
        if self.bundle.kind != "text":
            other = "Converter" if self.bundle.kind == "speech" else "FramesEngine"
            raise UserError(
                f"{self.bundle.path} is a bundle of {self.bundle.kind}; use seqvae.serving.{other} for it"
            )
        self.provider = runtime.resolve(provider)
        self.variant = self._choose(variant)
        parts = self.bundle.variant(self.variant).parts
        self._sessions = Sessions(
            {part: self.bundle.part(self.variant, part) for part in parts},
            provider=self.provider,
            threads=threads,
            extensions=self.bundle.tokenizer == "sentencepiece",
        )
        self._core = Core(self._facts(), self._sessions, self._texts(), crop=crop)
        self._steppers = Steppers(
            self._sessions,
            latent=self.bundle.latent,
            limit=self.bundle.max_length - 1,
            captured=cuda_graphs,
        )

    def generate(self, rows: Sequence[Row]) -> list[Written]:
        """Write every row again in one call of `model.onnx`, each with options of its own.

        Args:
            rows: any number; a row gets the same text in any company.

        Raises:
            UserError: a text is too long, or noise does not fit the model.
        """
        return self._core.generate(rows)

    def encode(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """Means and log-variances [N, D] of q(z | text), float32.

        Raises:
            UserError: the model has no latent, or a text is too long.
        """
        self._core.need_latent("encode")
        return self._core.posterior(self._core.read(texts))

    def decode(self, z: Array, options: Options | Sequence[Options] = PLAIN) -> list[Written]:
        """Texts written from vectors.

        Args:
            z: shape [N, D].
            options: for all, or one for each.

        Raises:
            UserError: the model has no latent, or `z` or the number of options does not fit.
        """
        self._core.need_latent("decode")
        vectors = np.asarray(z, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.bundle.latent:
            raise UserError(
                f"decode: z has shape {vectors.shape}; it must be [N, {self.bundle.latent}]"
            )
        if not np.isfinite(vectors).all():
            raise UserError("decode: z holds infinity or NaN; every value must be finite")
        each = [options] * len(vectors) if isinstance(options, Options) else list(options)
        if len(each) != len(vectors):
            raise UserError(
                f"decode: {len(each)} options for {len(vectors)} vectors; give one each"
            )
        return self._core.write(vectors, each)

    def paraphrase(
        self,
        texts: Sequence[str],
        n: int = 5,
        *,
        noise_scale: float = 1.0,
        options: Options = PLAIN,
        distinct: bool = True,
    ) -> list[Paraphrase]:
        """Up to `n` paraphrases of each text, from z = mean + noise_scale * deviation * noise.

        A text gets the same paraphrases in any company.

        Args:
            texts: any number.
            n: candidates wanted.
            noise_scale: 0 stays at the posterior mean; larger says it more freely. It counts, not
                that of `options`.
            options: how tokens are chosen; candidates are samples `options.sample` and following.
            distinct: leave out repetitions, and draw again (a few times) until there are `n`
                candidates that differ from each other and from the input.

        Raises:
            UserError: the model has no latent, a text is too long, or a number is out of range.
        """
        return paraphrasing.paraphrase(
            self._core, texts, n, noise_scale=noise_scale, options=options, distinct=distinct
        )

    def reconstruct(self, texts: Sequence[str], options: Options = PLAIN) -> list[str]:
        """Each text written again from its posterior mean.

        Raises:
            UserError: the model has no latent, or a text is too long.
        """
        self._core.need_latent("reconstruct")
        return [one.text for one in self.decode(self.encode(texts)[0], options)]

    def sample(self, n: int = 10, options: Options = SAMPLING) -> list[str]:
        """`n` texts with z from the prior; of a language model, from the model itself.

        Args:
            n: how many; the first of many are those of fewer under the same seed.
            options: how tokens are chosen; texts are samples `options.sample` and following.

        Raises:
            UserError: `n` is out of range, or a language model is to write greedily or by beam:
                every text would be the same.
        """
        if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n <= MAX_TEXTS:
            raise UserError(f"sample: n is {n!r}; it must be 0 to {MAX_TEXTS}")
        each = [replace(options, sample=options.sample + k) for k in range(n)]
        if not self.bundle.latent and (options.beam or options.temperature < COLDEST):
            raise UserError(
                f"sample: greedily or by beam a language model writes the same text {n} times; "
                "set a temperature, such as 1"
            )
        if not each:
            return []
        return [one.text for one in self._core.sample(each)]

    def interpolate(
        self,
        a: str,
        b: str,
        steps: int = 7,
        *,
        spherical: bool = True,
        options: Options = PLAIN,
    ) -> list[str]:
        """`steps` texts from the reconstruction of `a` to that of `b`.

        Args:
            a: first text.
            b: last text.
            steps: texts wanted, both ends included.
            spherical: walk along the arc between the two posterior means, where the prior has its
                mass, instead of the straight line, which passes nearer to the origin.
            options: how tokens are chosen.

        Raises:
            UserError: the model has no latent, a text is too long, or `steps` is out of range.
        """
        if isinstance(steps, bool) or not isinstance(steps, int) or not 2 <= steps <= MAX_STEPS:
            raise UserError(
                f"interpolate: steps is {steps!r}; it must be 2 to {MAX_STEPS}, both ends included"
            )
        self._core.need_latent("interpolate")
        first, last = self.encode([a, b])[0]
        way = between(first, last, steps, spherical=spherical)
        return [one.text for one in self.decode(way, options)]

    def score(self, texts: Sequence[str], samples: int = 16, seed: int = 0) -> list[Score]:
        """Score each text; a text gets the same score in any company.

        Args:
            texts: any number.
            samples: samples of z for `nll_iw`; more are tighter.
            seed: fixes them.

        Raises:
            UserError: a text is too long, or a number is out of range.
        """
        return scoring.score(self._core, texts, samples, seed)

    def stream(self, row: Row) -> Iterator[str]:
        """The text of a row in parts, as they are written; joined, they are `generate`'s text.

        With a beam it comes in one part: a beam decides its first token last.

        Raises:
            UserError: the text is too long, or noise does not fit the model.
        """
        if row.options.beam or "step" not in self._sessions:
            yield from streaming.whole(self._core, row)
            return
        z = self._core.latent_of(row)
        with self._steppers.lend() as stepper:
            yield from streaming.stream(self._core, stepper, z, row.options)

    def convert(self, *_: object, **__: object) -> NoReturn:
        """Change the voice of a recording.

        Raises:
            UserError: this is a text bundle.
        """
        raise UserError(
            f"convert: {self.bundle.path} is a {self.bundle.kind} bundle; a speech bundle is needed"
        )

    def warm_up(self) -> None:
        """Open every graph and run it once, so that the first request waits for nothing."""
        short = Options(max_length=2)
        self.generate([Row("", short)])
        list(self.stream(Row("", short)))
        self.sample(1, replace(SAMPLING, max_length=2))
        self.score([""], samples=1)
        if self.bundle.latent:
            self.reconstruct([""], short)

    def check_golden(self) -> None:
        """Compare with the outputs stored at export.

        All must be equal on a processor in full precision; elsewhere `golden.EQUAL_SHARE` of them.

        Raises:
            UserError: too many differ; names the first that does.
        """
        precision = self.bundle.variant(self.variant).precision
        exact = self.provider == "cpu" and precision == "fp32"
        check_golden(self._core, self.bundle.golden, self.variant, exact=exact)

    def close(self) -> None:
        """Give back the memory of the graphs; a later call opens them again."""
        self._steppers.close()
        self._sessions.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def _choose(self, variant: str | None) -> str:
        if variant is not None:
            self.bundle.variant(variant)  # refuses an unknown name
            return variant
        made_for_it = [n for n, v in self.bundle.variants.items() if v.provider == self.provider]
        default = self.bundle.default_variant
        return default if default in made_for_it or not made_for_it else made_for_it[0]

    def _facts(self) -> Facts:
        return Facts(
            latent=self.bundle.latent,
            vocabulary=self.bundle.vocabulary,
            max_length=self.bundle.max_length,
            beam_size=self.bundle.beam_size,
            pieces=self.bundle.pieces,
            texts_inside=self.bundle.tokenizer != "ids",
        )

    def _texts(self) -> Texts:
        limit = self.bundle.max_length - 2
        if self.bundle.tokenizer == "ids":
            return LibraryTexts((self.bundle.path / TOKENIZER).read_bytes(), limit)
        return GraphTexts(self._sessions, limit)
