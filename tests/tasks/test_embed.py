import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import seqvae.tasks.embed
from seqvae.errors import UserError
from seqvae.tasks.embed import embed_files
from seqvae.tasks.text_model import TextModel

TEXTS = ["the red cat sat", "old dog", "日本", "the big fox sat on the roof"]


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(seqvae.tasks.embed, "BLOCK", 3)  # more than one block
    path = tmp_path / "in.txt"
    bad = [b"", b"\xff\xfe no text", b"cat " * 90]
    path.write_bytes(b"\n".join([TEXTS[0].encode(), *bad, *(t.encode() for t in TEXTS[1:])]))
    return path


@pytest.mark.parametrize("ending", [".parquet", ".npy", ".jsonl"])
def test_a_file_becomes_its_texts_vectors(
    lines: Path, text_model: TextModel, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"out{ending}"
    done = embed_files(text_model, [str(lines)], out)
    assert (done.texts, done.dimension) == (4, text_model.need_latent("embed").dimension)
    longest = f"longer than {text_model.max_pieces} pieces"
    assert done.skipped == {"empty": 1, "invalid UTF-8": 1, longest: 1}
    assert sorted(entry["line"] for entry in done.entries) == [2, 3, 4]
    wanted = text_model.latent_mean(TEXTS)
    np.testing.assert_array_equal(text_model.embed(TEXTS), wanted)
    if ending == ".npy":
        found = np.load(out)
    elif ending == ".jsonl":
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert [row["text"] for row in rows] == TEXTS
        found = np.array([row["vector"] for row in rows])
    else:
        table = pq.read_table(out)
        assert table["text"].to_pylist() == TEXTS
        assert table["id"].to_pylist() == [f"in.txt:{n}" for n in (1, 5, 6, 7)]
        found = np.array(table["vector"].to_pylist())
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not list(tmp_path.glob("*.partial"))


def test_samples_and_log_variances(text_model: TextModel, tmp_path: Path) -> None:
    table = tmp_path / "in.tsv"
    table.write_text(
        "name\twords\n" + "".join(f"t{i}\t{t}\n" for i, t in enumerate(TEXTS)), "utf-8"
    )
    out = tmp_path / "out.parquet"
    embed_files(text_model, [str(table)], out, field="words", key="name", seed=3, log_variance=True)
    found = pq.read_table(out)
    assert found["id"].to_pylist() == ["t0", "t1", "t2", "t3"]
    sampled = np.array(found["vector"].to_pylist())
    np.testing.assert_allclose(sampled, text_model.embed(TEXTS, seed=3), atol=1e-5)
    deviation = np.exp(np.array(found["log_variance"].to_pylist()) / 2)
    noise = (sampled - text_model.latent_mean(TEXTS)) / deviation
    # One seed is one noise: every text moves by the same, in its own deviations.
    np.testing.assert_allclose(noise, noise[:1].repeat(4, 0), atol=1e-3)


def test_crop_reads_the_beginning(lines: Path, text_model: TextModel, tmp_path: Path) -> None:
    model = TextModel(text_model.model, text_model.tokenizer, crop=True)
    done = embed_files(model, [str(lines)], tmp_path / "out.parquet")
    assert done.texts == 5 and set(done.skipped) == {"empty", "invalid UTF-8"}


def test_mistakes_are_named(
    lines: Path, text_model: TextModel, language_model: TextModel, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(UserError, match="needs a latent"):
        embed_files(language_model, [str(lines)], out)
    with pytest.raises(UserError, match=r"name it \.parquet"):
        embed_files(text_model, [str(lines)], tmp_path / "out.csv")
    with pytest.raises(UserError, match=r"holds vectors alone"):
        embed_files(text_model, [str(lines)], tmp_path / "out.npy", log_variance=True)
    with pytest.raises(UserError, match="no column 'name'"):
        embed_files(text_model, [str(lines)], out, key="name")
    (tmp_path / "blank.txt").write_text("\n\n", encoding="utf-8")
    with pytest.raises(UserError, match="no text to embed"):
        embed_files(text_model, [str(tmp_path / "blank.txt")], out)
    assert not out.exists()
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="exists"):
        embed_files(text_model, [str(lines)], out)
    assert out.read_text(encoding="utf-8") == "mine"
