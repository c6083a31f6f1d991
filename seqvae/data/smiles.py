"""Molecules as strings: SMILES by atoms, SELFIES by symbols, and the tokenizer of each."""

import re
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Literal

from seqvae.data.text import SPECIAL, Tokenizer, train_tokenizer
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
# Pairs that a hundred thousand molecules have often are those that all have.
_MERGE_SAMPLE = 100_000


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


def train_molecule_tokenizer(
    lines: Iterable[str], notation: Notation = "smiles", vocab_size: int | None = None
) -> bytes:
    """A sentencepiece model whose pieces are the tokens of molecules, so that exported models read them too.

    Args:
        lines: training molecules, every one a string that `tokens` can split.
        notation: how they are written.
        vocab_size: merge tokens that often stand together until there are this many pieces, those for unseen atoms not
            counted (pair encoding of molecules: Li and Fourches 2021, doi 10.1021/acs.jcim.0c01127). None: a piece a
            token.

    Returns:
        The serialised model: pieces of one or more whole tokens, the longest that fits taken first, and every
        character by itself for atoms never seen.

    Raises:
        UserError: no molecules, too small a `vocab_size`, or the package `selfies` is missing.
    """
    whole = set(selfies().get_semantic_robust_alphabet()) if notation == "selfies" else set()
    seen: set[str] = set()
    sample: list[list[str]] = []
    for line in lines:
        parts = tokens(line, notation)
        seen.update(parts)
        if vocab_size is not None and len(sample) < _MERGE_SAMPLE:
            sample.append(parts)
    if not seen:
        raise UserError("no molecules to make a tokenizer of")
    whole |= seen
    if vocab_size is not None:
        whole |= merged(sample, vocab_size - len(whole))
    return train_tokenizer(
        list(CHARACTERS),
        vocab_size=len(whole) + 256,
        model_type="char",
        byte_fallback=False,
        character_coverage=1.0,
        whole=sorted(whole.difference(CHARACTERS)),
        mark_start=False,
    )


def merged(molecules: Sequence[Sequence[str]], wanted: int) -> set[str]:
    """Strings of tokens that often stand together, by byte pair encoding (Sennrich et al. 2016, arXiv 1508.07909).

    Args:
        molecules: tokens of each.
        wanted: how many strings of two tokens or more.

    Raises:
        UserError: `wanted` is below 1.
    """
    if wanted < 1:
        raise UserError(f"--vocab-size is {1 - wanted} too small to merge anything")
    names = sorted({part for parts in molecules for part in parts})
    # One letter a token, of a script that normalisation leaves alone: what is merged is whole tokens.
    letters = {name: chr(0x4E00 + i) for i, name in enumerate(names)}
    back = {letter: name for name, letter in letters.items()}
    model = train_tokenizer(
        ["".join(letters[part] for part in parts) for parts in molecules],
        vocab_size=wanted + len(names) + len(SPECIAL),
        model_type="bpe",
        byte_fallback=False,
        character_coverage=1.0,
        mark_start=False,
    )
    pieces = Tokenizer(model).pieces(range(Tokenizer(model).vocab_size))
    return {
        "".join(back[letter] for letter in piece)
        for piece in pieces
        if len(piece) > 1 and set(piece) <= back.keys()
    }


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
