"""`MoleculeModel`: a text model that reads and writes SMILES, whatever notation it was trained in."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from seqvae.data.chemistry import canonical
from seqvae.data.corpus import Corpus
from seqvae.data.smiles import notation_of, to_notation, to_smiles
from seqvae.errors import UserError
from seqvae.tasks.decode import Decoding
from seqvae.tasks.text_model import TextModel
from seqvae.training.load import Expected, load_text

_PART = 512
SAMPLING = Decoding(strategy="sample", temperature=0.7)
"""Of the tokens of new molecules: z has said what to write, and a rare token breaks a molecule."""


class MoleculeModel:
    """A text model between SMILES and vectors.

    Args:
        model: trained on what `seqvae prepare molecules` wrote.
    """

    def __init__(self, model: TextModel) -> None:
        self.model = model
        self.notation = notation_of(model.tokenizer)

    @staticmethod
    def load(
        run: str | Path,
        prior: Expected | None = None,
        device: str = "cpu",
        label: str | Sequence[str] | None = None,
    ) -> "MoleculeModel":
        """A trained run; of a conditional one, with `label` what is wanted, e.g. ("logp=2.5", "qed=0.9").

        Raises:
            UserError: it is none, or see `seqvae.training.load.load_text`.
        """
        return MoleculeModel(load_text(run, device=device, prior=prior, label=label))

    def sample(self, n: int, decoding: Decoding = SAMPLING) -> Iterator[str]:
        """`n` new molecules with z from the prior, one after another; not all need be molecules.

        Args:
            n: how many; the first of many are those of fewer.
            decoding: how tokens are chosen; its seed fixes z too.
        """
        model = self.model
        latent = model.model.latent
        z: Tensor | None = None
        if latent is not None:
            with torch.inference_mode():
                z = latent.prior.sample(torch.tensor([decoding.seed], device=model.device), n)
        with tqdm(total=n, desc="sample", unit="molecule", disable=None) as bar:
            for begin in range(0, n, _PART):
                rows = torch.arange(begin, min(begin + _PART, n))
                part = None if z is None else z[begin : begin + _PART]
                yield from to_smiles(model.decode(part, decoding, rows=rows), self.notation)
                bar.update(len(rows))

    def read(self, smiles: Sequence[str]) -> list[str]:
        """Molecules as the model was taught to read them: rdkit's one spelling, in its notation.

        Raises:
            UserError: a string is no molecule, or the notation cannot write it.
        """
        return [self._read(one) for one in smiles]

    def _read(self, smiles: str) -> str:
        spelled = canonical(smiles)
        if spelled is None:
            raise UserError(f"{smiles!r} is not a molecule that rdkit can read")
        written = to_notation(spelled, self.notation)
        if written is None:
            raise UserError(f"{smiles!r} cannot be written in {self.notation}")
        return written

    def encode(self, smiles: Sequence[str]) -> Tensor:
        """Posterior means [N, D].

        Raises:
            UserError: a string is no molecule, it is too long, or the model has no latent.
        """
        return self.model.encode(self.read(smiles), task="molecules").mean

    def decode(
        self, z: "Tensor | np.ndarray[Any, Any]", decoding: Decoding | None = None
    ) -> list[str]:
        """SMILES written from vectors [N, D], greedily by default; one that is no molecule is among them as it is."""
        return to_smiles(self.model.decode(z, decoding), self.notation)

    def reconstruct(self, smiles: Sequence[str]) -> list[str]:
        """Molecules encoded and written again."""
        written: list[str] = []
        for begin in tqdm(range(0, len(smiles), _PART), desc="reconstruct", disable=None):
            written += self.decode(self.encode(smiles[begin : begin + _PART]))
        return written

    def held_out(self, limit: int, split: str = "test", data: Path | None = None) -> list[str]:
        """Molecules of a split of the corpus, spread evenly over it."""
        corpus = Corpus.open(data or self.model.info["experiment"].data)
        store = corpus.split(split)
        chosen = np.linspace(0, len(store) - 1, min(limit, len(store))).round().astype(int)
        texts = [corpus.tokenizer.decode(store.tokens(int(i)).tolist()) for i in chosen]
        return to_smiles(texts, self.notation)
