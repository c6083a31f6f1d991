"""Molecules with a trained run: new ones, those near a given one, a better one, and how improbable one is.

    python examples/molecules.py RUN SMILES...

RUN was trained on what `seqvae prepare molecules` wrote (`seqvae demo molecules` makes one in minutes). Needs the extra
molecules: pip install 'seqvae[molecules]'.
"""

import sys
from pathlib import Path

from seqvae.data.chemistry import canonical
from seqvae.errors import UserError
from seqvae.tasks.molecules.draw import draw
from seqvae.tasks.molecules.model import MoleculeModel
from seqvae.tasks.molecules.optimize import Search, optimize


def main(run: str, *smiles: str) -> None:
    """Use the run in five ways."""
    model = MoleculeModel.load(run)

    print("new:")
    for text in model.sample(5):
        print("  ", canonical(text) or f"{text} (no molecule)")

    # Coordinates for clustering, regression or search of your own; decode() goes back.
    z = model.encode(smiles)
    print(f"vectors: {tuple(z.shape)}; written again: {model.decode(z)}")

    # -log p in nats, importance-weighted: high for what is unlike the training set.
    for score in model.model.score(model.read(smiles), samples=50):
        print(f"{score.nll_iw:6.1f} nats  {score.text}")

    search = Search(property="qed", similarity=0.4)
    found = optimize(model, smiles, search)
    for one in found:
        print(
            f"QED {one.before:.2f} -> {one.after:.2f}, similarity {one.similarity:.2f}: {one.best}"
        )

    cells = [pair for one in found for pair in ((one.start, one.before), (one.best, one.after))]
    captions = [f"QED {value:.2f}" for _, value in cells]
    print(draw([text for text, _ in cells], Path("molecules.svg"), captions, columns=2))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
