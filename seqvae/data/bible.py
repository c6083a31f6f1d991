"""Real text that a package registry ships: the verses of two public-domain Bibles, aligned.

The King James Version (1769 text) and the American Standard Version (1901) say the same verse by verse in
different words: 31,000 sentences, and as many paraphrase pairs.
"""

import re
from importlib import import_module
from pathlib import Path

from seqvae.errors import UserError

_MODULE = "pythonbible_{}.plain_text_readers_bible"


def verses(version: str) -> dict[int, str]:
    """Return the verses of a version by number (book, chapter and verse: 1001003 is Genesis 1:3).

    Args:
        version: "kjv" or "asv".

    Raises:
        UserError: the package that ships the text is not installed.
    """
    try:
        bible = import_module(_MODULE.format(version)).bible
    except ImportError as error:
        raise UserError(
            f"the {version.upper()} text needs the extra `demo`: pip install 'seqvae[demo]' ({error})"
        ) from error
    text = bible.scripture_content
    ends = bible.verse_end_indices
    return {
        number: _plain(text[start : ends[number]])
        for number, start in bible.verse_start_indices.items()
    }


def verse_pairs() -> list[tuple[str, str]]:
    """Return the verses that both versions have, in order, as (King James, American Standard).

    Raises:
        UserError: a package that ships a text is not installed.
    """
    king_james, american = verses("kjv"), verses("asv")
    pairs = (
        (king_james[number], american[number]) for number in sorted(king_james.keys() & american)
    )
    return [pair for pair in pairs if all(pair)]


def write_verses(path: Path) -> int:
    """Write the verses to a `.tsv` with the columns `kjv` and `asv`.

    Prepared with both columns it is a corpus of pairs; with `explode` one of sentences, in which the two versions
    of a verse stay in the same split (as separate lines one of them would give the other away).

    Args:
        path: where to.

    Returns:
        Verses written.

    Raises:
        UserError: a package that ships a text is not installed.
    """
    pairs = verse_pairs()
    lines = ["kjv\tasv", *("\t".join(pair) for pair in pairs)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(pairs)


def _plain(verse: str) -> str:
    """Without the brackets that mark words the translators added, the paragraph signs and line breaks."""
    return re.sub(r"\s+", " ", re.sub(r"[\[\]¶]", "", verse)).strip()
