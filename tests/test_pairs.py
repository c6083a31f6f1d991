"""Paraphrase pairs and noise, end to end on the command line: the encoder reads what is not written."""

import json
from pathlib import Path

import pytest

from seqvae.cli import main
from seqvae.data.synthetic import write_synthetic

SMALL = ["--steps", "12", "--tokens-per-batch", "512", "--threads", "1", "--validate-every", "6"]


def run(*arguments: str) -> None:
    assert main(list(arguments)) == 0


def test_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_synthetic(Path("pairs.tsv"), lines=300, pairs=True)
    columns = ["--columns", "text", "paraphrase"]
    run("prepare", "text", "pairs.tsv", "data", *columns, "--vocab-size", "300")
    run("train", "data", "run", *SMALL)
    run("evaluate", "run", "--samples", "3")
    report = json.loads(Path("run/evaluation-test.json").read_text())
    assert report["kl"] > 0
    assert report["nll_iw"] > 0
    assert "bits_per_byte" not in report
    capsys.readouterr()
    run("paraphrase", "run", "the cat sleeps", "--n", "2")
    assert capsys.readouterr().out.startswith("the cat sleeps\n")


def test_denoiser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_synthetic(Path("text.txt"), lines=300)
    run("prepare", "text", "text.txt", "data", "--vocab-size", "300")
    noise = ["--noise.drop", "0.1", "--noise.blank", "0.1", "--noise.shuffle", "2"]
    run("train", "data", "run", *SMALL, *noise)
    capsys.readouterr()
    run("denoise", "run", "cat the sleeps", "<blank> dog")
    assert len(capsys.readouterr().out.splitlines()) == 2
