"""Molecules drawn in a grid."""

import html
import math
from collections.abc import Sequence
from pathlib import Path

from seqvae.data.chemistry import chem, molecule, rdkit
from seqvae.data.smiles import to_smiles
from seqvae.errors import UserError
from seqvae.tasks.molecules.model import MoleculeModel


def draw(
    smiles: Sequence[str], path: Path, captions: Sequence[str] | None = None, columns: int = 4
) -> Path:
    """Draw molecules as an image, .svg or .png.

    Args:
        smiles: one cell each; what is no molecule is drawn as an empty cell with its text below.
        path: file to write.
        captions: below each; by default the SMILES.
        columns: of the grid.

    Raises:
        UserError: nothing to draw, another kind of file, or rdkit is missing.
    """
    chem()
    kind = path.suffix.lower()
    if kind not in (".svg", ".png"):
        raise UserError(f"{path}: molecules are drawn as .svg or .png")
    if not smiles:
        raise UserError("no molecules to draw")
    side = 240
    columns = min(columns, len(smiles))
    size = columns * side, math.ceil(len(smiles) / columns) * side
    module = rdkit("Chem.Draw.rdMolDraw2D")
    canvas = module.MolDraw2DSVG if kind == ".svg" else module.MolDraw2DCairo
    drawer = canvas(*size, side, side)
    drawer.drawOptions().legendFontSize = 14
    empty = chem().Mol()
    mols = [molecule(one) or empty for one in smiles]
    drawer.DrawMolecules(mols, legends=list(captions or smiles))
    drawer.FinishDrawing()
    image = drawer.GetDrawingText()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image.encode() if isinstance(image, str) else image)
    return path


def walk(model: MoleculeModel, start: str, end: str, steps: int = 8) -> list[str]:
    """Different molecules on the way from one to another, the reconstructions of both ends among them.

    What is no molecule is left out, and of several alike the first is kept.

    Raises:
        UserError: an end is no molecule, `steps` is below 2, or the model has no latent.
    """
    first, last = model.read([start, end])
    written = to_smiles(model.model.interpolate(first, last, steps=steps), model.notation)
    return list(dict.fromkeys(one for one in written if molecule(one) is not None))


def figure(path: Path, caption: str) -> str:
    """An SVG file as a part of a page."""
    svg = path.read_text(encoding="utf-8")
    return f"<figure>{svg[svg.index('<svg') :]}<figcaption>{html.escape(caption)}</figcaption></figure>"
