"""`TextModel`: the user's handle on a trained text model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqvae.data.attributes import Attribute
from seqvae.data.text import Tokenizer
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.latent import Latent
from seqvae.model import SequenceVAE
from seqvae.posteriors import Posterior
from seqvae.tasks.decode import Decoding, generate
from seqvae.tasks.denoise import denoise
from seqvae.tasks.given import folded
from seqvae.tasks.interpolate import interpolate
from seqvae.tasks.paraphrase import Paraphrase, paraphrase
from seqvae.tasks.reconstruct import reconstruct
from seqvae.tasks.reference import Reference
from seqvae.tasks.repair import Channel, repair
from seqvae.tasks.said import Said, choices, known
from seqvae.tasks.sample import sample
from seqvae.tasks.score import Score, score
from seqvae.tasks.texts import batch_of, groups, read, sample_each
from seqvae.tasks.transfer import transfer


class TextModel:
    """A text model with its tokenizer; what `seqvae.load(run)` returns.

    Args:
        model: over tokens; put into evaluation mode.
        tokenizer: the one it was trained with.
        labels: names of the classes it was trained with.
        attributes: what else a conditional model is told of a text.
        info: facts about the run; `experiment` among them holds the longest sequence.
        crop: read only the beginning of texts that are too long, instead of refusing them.
    """

    def __init__(
        self,
        model: SequenceVAE,
        tokenizer: Tokenizer,
        labels: Sequence[str] = (),
        info: Mapping[str, Any] | None = None,
        *,
        crop: bool = False,
        attributes: Sequence[Attribute] = (),
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.labels = list(labels)
        self.attributes = tuple(attributes)
        self.info = dict(info or {})
        self.crop = crop

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    @property
    def max_pieces(self) -> int:
        """Most pieces of a text that it reads."""
        experiment = self.info.get("experiment")
        source = self.model.decoder if experiment is None else experiment.model
        return int(getattr(source, "max_length", 256)) - 2

    def need_latent(self, task: str) -> Latent:
        """The latent.

        Raises:
            UserError: there is none; names the task that needs it.
        """
        if self.model.latent is None:
            raise UserError(
                f"{task} needs a latent, and this is a language model (trained with latent none); "
                "sample and score work on it, everything else needs a run trained with latent vae"
            )
        return self.model.latent

    def given(self, *said: str, **attributes: str | float) -> "TextModel":
        """A conditional model where one thing is known of all texts: every task then reads and writes such texts.

        Args:
            said: the label, where the model has labels; attributes may stand here too, as NAME=VALUE.
            attributes: the others, e.g. mood="glad", length=7.

        Raises:
            UserError: something is not known to the model or was not said, or the model is not conditional.
        """
        found = known(self, [*said, *(f"{name}={value}" for name, value in attributes.items())])
        networks = self.info["experiment"].text
        info = {**self.info, "label": " ".join(found.words)}
        plain = folded(self.model, networks, found.label, found.tensor())
        return TextModel(plain, self.tokenizer, self.labels, info, crop=self.crop)

    def need_label(self) -> None:
        """Refuse to go on with a conditional model of no label.

        Raises:
            UserError: names the labels.
        """
        if self.model.conditioning is not None:
            raise UserError(
                "this model is conditional: say which label (--label, or model.given(label)); it knows "
                f"{choices(self)}"
            )

    def read(
        self, texts: Sequence[str], *, blanks: bool = False, given: bool = False
    ) -> list[list[int]]:
        """Token ids of texts, without start and end tokens; see `seqvae.tasks.texts.read`.

        Raises:
            UserError: the model is conditional and its label is not `given` elsewhere, or as there.
        """
        if not given:
            self.need_label()
        return read(self.tokenizer, texts, self.max_pieces, crop=self.crop, blanks=blanks)

    def encode(self, texts: Sequence[str], *, task: str = "encode") -> Posterior:
        """q(z | text) of any number of texts, in their order.

        Args:
            texts: strings, empty ones too.
            task: named in the error when there is no latent.

        Raises:
            UserError: the model has no latent, or a text is too long and `crop` is off.
        """
        self.need_latent(task)
        return self.posterior(self.read(texts))

    def posterior(self, ids: Sequence[Sequence[int]]) -> Posterior:
        """q(z | x) of sequences of token ids, in their order."""
        latent = self.need_latent("encode")
        with evaluating(self.model):
            # The posterior reads one summary a row: join these, and it need not be joined itself.
            summaries = torch.zeros(len(ids), latent.encoder.width, device=self.device)
            for group in groups(ids):
                batch = batch_of([ids[i] for i in group], self.device)
                summaries[group] = self.model.summarise(batch.values, batch.lengths).float()
            posterior: Posterior = latent.posterior(summaries)
            return posterior

    def latent_mean(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """Posterior means [N, D]: coordinates for search, clustering, plots or arithmetic."""
        return np.asarray(self.encode(texts, task="latent_mean").mean.cpu().numpy(), np.float32)

    def embed(
        self, texts: Sequence[str], seed: int | None = None
    ) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """Vectors [N, D]: `latent_mean`, or with `seed` a sample of each text's posterior.

        Of whole files, block by block: `seqvae.tasks.embed.embed_files`.
        """
        posterior = self.encode(texts, task="embed")
        if seed is None:
            z = posterior.mean
        else:
            z = sample_each(posterior, [seed] * len(texts), 1)[0]
        return np.asarray(z.cpu().numpy(), np.float32)

    def decode(
        self,
        z: "Tensor | np.ndarray[Any, Any] | None",
        decoding: Decoding | None = None,
        *,
        rows: Tensor | None = None,
    ) -> list[str]:
        """Texts written from vectors.

        Args:
            z: shape [N, D], e.g. from `latent_mean`; None for a language model.
            decoding: how tokens are chosen; greedy by default.
            rows: keys [N] of the texts' noise; by default all share one, so that a vector gives
                the same text in any company.
        """
        self.need_label()
        if z is not None:
            z = torch.as_tensor(z, dtype=torch.float32, device=self.device)
            rows = torch.zeros(len(z), dtype=torch.int64) if rows is None else rows
        written = generate(self.model, z, decoding, rows=rows)
        return [self.tokenizer.decode(ids) for ids in written.ids]

    def sample(
        self, n: int = 10, decoding: Decoding | None = None, seed: int | None = None
    ) -> list[str]:
        """New texts from the prior; see `seqvae.tasks.sample.sample`."""
        return sample(self, n, decoding, seed)

    def reconstruct(self, texts: Sequence[str], decoding: Decoding | None = None) -> list[str]:
        """Texts written again from their means; see `seqvae.tasks.reconstruct.reconstruct`."""
        return reconstruct(self, texts, decoding)

    def interpolate(
        self,
        a: str,
        b: str,
        steps: int = 7,
        *,
        spherical: bool = True,
        decoding: Decoding | None = None,
    ) -> list[str]:
        """Texts between two; see `seqvae.tasks.interpolate.interpolate`."""
        return interpolate(self, a, b, steps, spherical=spherical, decoding=decoding)

    def paraphrase(
        self,
        texts: Sequence[str],
        n: int = 5,
        *,
        noise_scale: float = 1.0,
        decoding: Decoding | None = None,
        distinct: bool = True,
        seed: int | None = None,
    ) -> list[Paraphrase]:
        """Other ways to say texts; see `seqvae.tasks.paraphrase.paraphrase`."""
        return paraphrase(
            self,
            texts,
            n,
            noise_scale=noise_scale,
            decoding=decoding,
            distinct=distinct,
            seed=seed,
        )

    def transfer(
        self,
        texts: Sequence[str],
        to: Said,
        source: Said | None = None,
        decoding: Decoding | None = None,
    ) -> list[str]:
        """Texts said again under another label; see `seqvae.tasks.transfer.transfer`."""
        return transfer(self, texts, to, source, decoding)

    def denoise(self, texts: Sequence[str], decoding: Decoding | None = None) -> list[str]:
        """Damaged texts written again; see `seqvae.tasks.denoise.denoise`."""
        return denoise(self, texts, decoding)

    def repair(self, texts: Sequence[str], channel: Channel | None = None) -> list[str]:
        """Damaged texts with few words changed; see `seqvae.tasks.repair.repair`."""
        return repair(self, texts, channel)

    def score(self, texts: Sequence[str], samples: int = 100, seed: int = 0) -> list[Score]:
        """How probable texts are, for anomaly detection; see `seqvae.tasks.score.score`."""
        return score(self, texts, samples, seed)

    def reference(self, known: Sequence[str], labels: Sequence[str] | None = None) -> Reference:
        """Known texts of the usual kind, from which others' distance is told; see `Reference`."""
        return Reference(self, known, labels)
