"""Molecules as strings: SMILES by atoms, SELFIES by symbols, and the tokenizer of each."""

import re
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Literal

from seqvae.data.text import Tokenizer, train_tokenizer
from seqvae.errors import UserError

Notation = Literal["smiles", "selfies"]

# Schwaller et al. 2018, arXiv 1711.04810, section 2.3: an atom, bond, branch or ring closure a token.
TOKEN = re.compile(
    r"\[[^\]]+\]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>|\*|\$|%\d\d|\d"
)
_SYMBOL = re.compile(r"\[[^\]]*\]|\.")
# A bracket atom that no training molecule has is spelled with these: any SMILES can be written.
CHARACTERS = "#%()*+-./0123456789:=@ABCDEFGHIKLMNOPRSTUVWXYZ[\\]abcdefghiklmnoprstuy~$"
# Both are in the alphabet of every SELFIES tokenizer and are no atom of SMILES.
_MARKS = ("[Branch1]", "[Ring1]")


def tokens(text: str, notation: Notation = "smiles") -> list[str]:
    """Split a molecule's string into tokens.

    Args:
        text: without white space.
        notation: how it is written.

    Raises:
        ValueError: something in it is no token.
    """
    found = (TOKEN if notation == "smiles" else _SYMBOL).findall(text)
    if "".join(found) != text:
        raise ValueError(f"{text!r} is not written in {notation}")
    return list(found)


def train_molecule_tokenizer(lines: Iterable[str], notation: Notation = "smiles") -> bytes:
    """A sentencepiece model whose pieces are the tokens of molecules, so that exported models read them too.

    Args:
        lines: training molecules, every one a string that `tokens` can split.
        notation: how they are written.

    Returns:
        The serialised model: one piece a token, and every character by itself for atoms never seen.

    Raises:
        UserError: no molecules, or the package `selfies` is missing.
    """
    whole = set(selfies().get_semantic_robust_alphabet()) if notation == "selfies" else set()
    seen: set[str] = set()
    for line in lines:
        seen.update(tokens(line, notation))
    if not seen:
        raise UserError("no molecules to make a tokenizer of")
    whole |= seen
    return train_tokenizer(
        list(CHARACTERS),
        vocab_size=len(whole) + 256,
        model_type="char",
        byte_fallback=False,
        character_coverage=1.0,
        whole=sorted(whole.difference(CHARACTERS)),
        mark_start=False,
    )


def notation_of(tokenizer: Tokenizer) -> Notation:
    """How the molecules of a corpus or a model are written."""
    pieces = set(tokenizer.pieces(range(tokenizer.vocab_size)))
    return "selfies" if pieces.issuperset(_MARKS) else "smiles"


def to_smiles(texts: Iterable[str], notation: Notation) -> list[str]:
    """What a model wrote as SMILES; a SELFIES that cannot be read becomes an empty string, which is no molecule.

    Raises:
        UserError: SELFIES without the package `selfies`.
    """
    if notation == "smiles":
        return list(texts)
    decoder: Callable[[str], str] = selfies().decoder
    return [_or_nothing(decoder, text) for text in texts]


def to_notation(smiles: str, notation: Notation) -> str | None:
    """A valid SMILES in a notation; None where the notation cannot write it.

    Raises:
        UserError: SELFIES without the package `selfies`.
    """
    if notation == "smiles":
        return smiles
    encoder: Callable[[str], str] = selfies().encoder
    return _or_nothing(encoder, smiles) or None


def _or_nothing(convert: Callable[[str], str], text: str) -> str:
    try:
        return convert(text)
    except Exception:  # noqa: BLE001 (its errors for a bad string share no other base)
        return ""


def selfies() -> ModuleType:
    """The package `selfies` (Krenn et al. 2020, arXiv 1905.13741).

    Raises:
        UserError: it is not installed.
    """
    try:
        import selfies as package
    except ImportError as error:
        raise UserError("SELFIES need an extra: pip install 'seqvae[molecules]'") from error
    module: ModuleType = package
    return module
