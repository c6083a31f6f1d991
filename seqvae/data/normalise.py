"""Unicode normalisation that travels inside the tokenizer, so that an exported model needs no other code."""

import tempfile
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

Normalisation = Literal["nfkc", "nfc", "none"]

_RULES = {("nfkc", False): "nmt_nfkc", ("nfkc", True): "nmt_nfkc_cf", ("none", False): "identity"}
_MOST_PASSES = 4


class Normaliser:
    """Text to normalised text with sentencepiece's own normaliser.

    `nfkc` is sentencepiece's default rule `nmt_nfkc`: NFKC, control characters removed, every kind of
    white space a plain space. `nfc` composes accents and keeps everything else. Both squeeze runs of
    white space and strip the ends; `none` keeps the text as it is. In all of them U+2581, which
    sentencepiece uses for a space, reads as a space.

    Args:
        form: which rule.
        lowercase: also fold case.
    """

    def __init__(self, form: Normalisation = "nfkc", lowercase: bool = False) -> None:
        self.form = form
        self.lowercase = lowercase
        self.squeezes = form != "none"
        import sentencepiece

        self._has_short_cut = self.squeezes and not lowercase
        self._rule = _RULES.get((form, lowercase))
        flags: dict[str, Any] = {
            "add_dummy_prefix": False,
            "escape_whitespaces": False,
            "remove_extra_whitespaces": self.squeezes,
        }
        if self._rule:
            self._call = sentencepiece.SentencePieceNormalizer(rule_name=self._rule, **flags)
        else:
            sentencepiece.SetMinLogLevel(2)
            with tempfile.TemporaryDirectory() as folder:
                rules = self.write_rules(Path(folder))
                self._call = sentencepiece.SentencePieceNormalizer(rule_tsv=str(rules), **flags)

    @classmethod
    def of_model(cls, model: bytes) -> "Normaliser":
        """Return the normaliser inside a sentencepiece model."""
        import sentencepiece

        normaliser = cls("none")
        normaliser._call = sentencepiece.SentencePieceNormalizer(
            model_proto=model, add_dummy_prefix=False, escape_whitespaces=False
        )
        return normaliser

    def __call__(self, text: str) -> str:
        """Normalise one text; unpaired surrogates are not text and must be removed before."""
        if self._has_short_cut and _is_plain(text):
            return text
        normalised: str = self._call.Normalize(text).replace("\u2581", " ")
        for _ in range(_MOST_PASSES if not text.isascii() else 0):
            # A few sequences of combining marks need another pass before they are their own normal form.
            again: str = self._call.Normalize(normalised)
            if again == normalised:
                break
            normalised = again
        return normalised

    def trainer_options(self, folder: Path) -> dict[str, Any]:
        """Return the options that make sentencepiece train with this rule; files it needs go to `folder`."""
        options: dict[str, Any] = {"remove_extra_whitespaces": self.squeezes}
        if self._rule:
            return options | {"normalization_rule_name": self._rule}
        return options | {"normalization_rule_tsv": str(self.write_rules(folder))}

    def write_rules(self, folder: Path) -> Path:
        """Write the rule as sentencepiece's table of code points and return its path."""
        path = folder / "normalisation.tsv"
        rows = (
            " ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target)
            for source, target in sorted(_table(self.form, self.lowercase).items())
        )
        path.write_text("\n".join(rows) + "\n", encoding="ascii")
        return path


def _is_plain(text: str) -> bool:
    """Printable ASCII with single inner spaces is its own normal form; most lines take this short cut."""
    return (
        text.isascii()
        and text.isprintable()
        and "  " not in text
        and not text.startswith(" ")
        and not text.endswith(" ")
    )


@lru_cache(maxsize=4)
def _table(form: Normalisation, lowercase: bool) -> dict[str, str]:
    """Map from every sequence that changes to what it becomes (sentencepiece takes the longest match)."""
    table = {"\u2581": " "}

    def fold(text: str) -> str:
        return text.lower() if lowercase else text

    for point in range(1, 0x110000):
        if 0xD800 <= point < 0xE000:
            continue
        char = chr(point)
        composed = unicodedata.normalize("NFC", char) if form == "nfc" else char
        if fold(composed) != char:
            table[char] = fold(composed)
        if form == "nfc":
            for spelling in _spellings(char):
                table[spelling] = fold(composed)
    return {source: target for source, target in table.items() if source != target}


def _spellings(char: str) -> set[str]:
    """Every partly decomposed spelling of a composed character, e.g. three of them for U+1EBF."""
    decomposition = unicodedata.decomposition(char)
    if 0xAC00 <= ord(char) <= 0xD7A3:
        full = unicodedata.normalize("NFD", char)
        return (
            {full} if len(full) == 2 else {full, unicodedata.normalize("NFC", full[:2]) + full[2]}
        )
    if not decomposition or decomposition.startswith("<") or " " not in decomposition:
        return set()
    base, *marks = (chr(int(code, 16)) for code in decomposition.split())
    tail = "".join(marks)
    return {base + tail} | {spelling + tail for spelling in _spellings(base)}
