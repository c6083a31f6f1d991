"""The example scripts run, on tiny models, and print what their docstrings promise."""

import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

import pytest

import seqvae
from seqvae.tasks.text_model import TextModel
from tests.tasks.conftest import WORDS

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def loaded(text_model: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = TextModel(text_model.model, text_model.tokenizer)
    monkeypatch.setattr(seqvae, "load", lambda _: model, raising=False)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert 30 <= len(source.splitlines()) <= 60
    assert f"python examples/{path.name} " in source


@pytest.mark.usefixtures("loaded")
def test_paraphrase(capsys: pytest.CaptureFixture[str]) -> None:
    example("paraphrase").main("run", "the red cat")
    out = capsys.readouterr().out
    assert out.count("noise scale") == out.count("  the red cat\n") == 3


@pytest.mark.usefixtures("loaded")
def test_interpolate(capsys: pytest.CaptureFixture[str]) -> None:
    example("interpolate").main("run", "the red cat", "the old fox", "cat", "dog", "fox")
    out = capsys.readouterr().out
    assert "along the arc" in out and "along the line" in out and "cat : dog = fox :" in out


@pytest.mark.usefixtures("loaded")
def test_embed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("the red cat\n\nthe old fox\nthe big dog\n", encoding="utf-8")
    for _ in range(2):
        example("embed").main("run", str(lines), "the old fox")
    out = capsys.readouterr().out
    assert out.startswith("lines.parquet: 3 vectors") and "skipped {'empty': 1}" in out
    assert out.count("1.00  the old fox") == 2 and out.count("lines.parquet") == 1


@pytest.mark.usefixtures("loaded")
def test_score_anomalies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("the red cat\n\n日本 🦊\n" + "cat " * 90 + "\n", encoding="utf-8")
    example("score_anomalies").main("run", str(lines), "2")
    out = capsys.readouterr().out
    assert out.startswith("3 lines") and out.count("nats a piece, KL") == 2


def test_training_and_its_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines.txt"
    words = itertools.product(*WORDS, range(8))
    lines.write_text("".join(f"the {a} {b} sat on {c} {n}\n" for a, b, c, n in words), "utf-8")
    run = str(tmp_path / "run")
    example("train_text").main(str(lines), run, "4", "0.2")
    out = capsys.readouterr().out
    assert "from the prior" in out and out.count("  -> ") == 3
    example("language_model_baseline").main(run, "2", "5")
    out = capsys.readouterr().out
    assert "language model:" in out and "VAE:" in out and "nats in z" in out


def test_denoise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines.txt"
    words = itertools.product(*WORDS, range(4))
    lines.write_text("".join(f"the {a} {b} sat on {c} {n}\n" for a, b, c, n in words), "utf-8")
    example("denoise").main(str(lines), str(tmp_path / "run"), "8", "4")
    out = capsys.readouterr().out
    assert out.count("  -> ") == 5 and "word errors of 20 lines:" in out


def test_transfer_style(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "styles.tsv"
    styles = (("old", "thou seest the"), ("new", "you see the"))
    rows = [
        f"{words} {a} {b} {n}\t{style}\n"
        for a, b, n in itertools.product(WORDS[0], WORDS[1], range(9))
        for style, words in styles
    ]
    table.write_text("".join(rows), "utf-8")
    example("transfer_style").main(str(table), str(tmp_path / "run"), "8", "4")
    out = capsys.readouterr().out
    assert out.count("\nold: thou") + out.count("\nnew: you") == 5
    assert out.count("\n  old: ") + out.count("\n  new: ") == 5


def test_attributes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "lines.tsv"
    rows = [
        f"{words} {a} {b}{' again' * n}\t{n}\t{style}\n"
        for a, b, n in itertools.product(WORDS[0], WORDS[1], range(9))
        for style, words in (("old", "thou seest the"), ("new", "you see the"))
    ]
    table.write_text("text\tnumber\tlabel\n" + "".join(rows), "utf-8")
    example("attributes").main(str(table), str(tmp_path / "run"), "4")
    out = capsys.readouterr().out
    for label in ("old", "new"):
        assert f"\n{label}, 0: " in out and f"\n{label}, 8: " in out


def test_hierarchy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines.txt"
    words = itertools.product(*WORDS, range(8))
    lines.write_text("".join(f"the {a} {b} sat on {c} {n}\n" for a, b, c, n in words), "utf-8")
    example("hierarchy").main(str(lines), str(tmp_path / "run"), "4", "0.2")
    out = capsys.readouterr().out
    assert out.count("KL of the upper level") == 1 and out.count("  -> ") == 9
