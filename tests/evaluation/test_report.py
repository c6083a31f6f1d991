"""The report of whole runs: what must be in it, and what must never be."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from seqvae.config import Experiment, preset
from seqvae.data.corpus import Corpus
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.decoders import Transformer as Decoder
from seqvae.encoders import Transformer as Encoder
from seqvae.errors import UserError
from seqvae.evaluation.report import write_report
from seqvae.posteriors import Gaussian
from seqvae.training import train

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """What is in a page; complains about tags that do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data


def is_harmless(page: Page) -> None:
    assert "script" not in page.tags
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "action", "data"):
            assert value is not None and value.startswith(("#", "data:image/png;base64,"))
    # Whatever is left of addresses must be words, not something a browser fetches.
    assert "@import" not in page.source
    assert not re.search(r"url\((?!#)", page.source)


def experiment(data: Path, run: Path, *, latent: bool = True) -> Experiment:
    base = preset("tiny")
    return dataclasses.replace(
        base,
        data=str(data),
        run=str(run),
        latent="vae" if latent else "none",
        model=dataclasses.replace(
            base.text,
            encoder=Encoder(layers=1, width=16, heads=2),
            posterior=Gaussian(dimension=4),
            decoder=Decoder(layers=1, width=16, heads=2, prefix=2),
            max_length=64,
        ),
        training=dataclasses.replace(
            base.training, steps=4, tokens_per_batch=512, validate_every=2, threads=1
        ),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    things = ["cat", "dog", EVIL, "日本", "\N{SMILING FACE WITH OPEN MOUTH}", "$x_1$ & <b>"]
    rows = ["text\tkind"] + [
        f"the {thing} has {number} of them\t{kind}"
        for number in range(40)
        for thing, kind in zip(things, ["a", "<i>b</i>", "$c$"] * 2, strict=True)
    ]
    (folder / "lines.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    config = PrepareText(
        inputs=(str(folder / "lines.tsv"),),
        out=folder / "corpus",
        columns=("text",),
        label="kind",
        vocab_size=330,
        valid=0.15,
    )
    return prepare_text(config, say=lambda _: None).path


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "vae"
    train(experiment(data, run))
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "vae"))


def test_a_finished_run_has_everything(run: Path) -> None:
    path = write_report(run, samples=4)
    page = Page(path)
    is_harmless(page)
    assert path == run / "report.html"
    assert {
        "verdict", "training", "map", "reconstructions", "paraphrases", "interpolations",
        "neighbours", "samples", "guard", "making",
    } <= set(page.ids)  # fmt: skip
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("h1") == 1
    assert page.tags.count("svg") == 6
    assert page.tags.count("table") == page.tags.count("caption")
    command = json.loads((run / "config.json").read_text(encoding="utf-8"))["command"]
    for words in (command, "torch", "model.max_length", "Fingerprint", "prefers-color-scheme"):
        assert words in page.text + page.source
    assert "not come to its last step" not in page.text


def test_drawings_follow_the_page_and_speak(run: Path) -> None:
    source = write_report(run, samples=2).read_text(encoding="utf-8")
    drawings = re.findall(r"<svg.*?</svg>", source, flags=re.DOTALL)
    for drawing in drawings:
        assert re.search(r'role="img" aria-label="[^"]{20,}"', drawing)
        assert "#fe01" not in drawing
        assert "var(--" in drawing
    # Nothing in a drawing may refer to something outside it.
    for drawing in drawings:
        known = set(re.findall(r' id="([^"]+)"', drawing))
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawing))
        assert used <= known


def test_text_of_users_is_only_text(run: Path) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config["command"] = f"train {EVIL} \x00 \udc80"
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    row = {"step": 2, "event": EVIL, "words": f"<img src=x onerror=alert(1)> {EVIL}"}
    (run / "guard.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (run / "evaluation-test.json").write_text(
        json.dumps({"nll_iw": EVIL, "kl": 3.0, "sequences": EVIL}), encoding="utf-8"
    )
    page = Page(write_report(run))
    is_harmless(page)
    assert EVIL not in page.source
    assert page.text.count(EVIL) >= 3
    assert "img" not in page.tags
    assert "\x00" not in page.source
    assert "default-src 'none'" in dict(page.attributes).values() or "default-src" in page.source


def test_the_same_run_gives_the_same_page(run: Path, tmp_path: Path) -> None:
    first = write_report(run, samples=2, out=tmp_path / "a.html").read_bytes()
    assert write_report(run, samples=2, out=tmp_path / "b.html").read_bytes() == first


def test_an_evaluation_is_shown(run: Path) -> None:
    found = {
        "split": "test", "sequences": 1234, "skipped": 5, "samples": 500, "nll_iw": 41.5,
        "nll_iw_se": 0.25, "exact_match": 0.125, "mi": float("nan"),
    }  # fmt: skip
    (run / "evaluation-test.json").write_text(json.dumps(found), encoding="utf-8")
    page = Page(write_report(run, samples=2))
    for words in ("1,234 sentences", "K = 500", "41.50 nats ± 0.25", "12.5 %", "5 too long"):
        assert words in page.text


def test_without_its_corpus_it_says_so(run: Path, data: Path, tmp_path: Path) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config["experiment"]["data"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    page = Page(write_report(run, samples=2))
    assert "cannot be opened" in page.text
    assert {"samples", "guard", "training"} <= set(page.ids)
    assert not {"map", "reconstructions"} & set(page.ids)
    # Named, it is used again.
    for given in (data, Corpus.open(data)):
        assert "reconstructions" in Page(write_report(run, samples=2, corpus=given)).ids


def test_a_corpus_prepared_anew_is_not_used(run: Path) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config["data_fingerprint"] = "other"
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    page = Page(write_report(run, samples=2))
    assert "prepared anew" in page.text
    assert "map" not in page.ids


def test_another_corpus_is_refused(run: Path, tmp_path: Path) -> None:
    lines = tmp_path / "other.txt"
    lines.write_text("".join(f"quite other words {i}\n" for i in range(60)), encoding="utf-8")
    other = PrepareText(inputs=(str(lines),), out=tmp_path / "other", vocab_size=300)
    prepare_text(other, say=lambda _: None)
    with pytest.raises(UserError, match="tokenizer is not that of"):
        write_report(run, corpus=tmp_path / "other")


def test_a_run_that_is_training(run: Path) -> None:
    shutil.rmtree(run / "last")
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "split": "va')
    page = Page(write_report(run, samples=2))
    assert "not come to its last step" in page.text
    assert "could not be read" not in page.text
    assert "reconstructions" in page.ids


def test_a_run_that_has_only_begun(run: Path) -> None:
    for name in ("best", "last", "checkpoints"):
        shutil.rmtree(run / name)
    for name in ("metrics.jsonl", "guard.jsonl", "timing.jsonl"):
        (run / name).unlink()
    page = Page(write_report(run))
    assert "cannot be judged yet" in page.text
    assert "no weights yet" in page.text
    assert "Nothing has been logged yet" in page.text


def test_damaged_lines_are_counted(run: Path) -> None:
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('not json\n{"no": "step"}\n{"step": 5, "split": "train", "kl": NaN}\n')
    assert "2 lines of the logs could not be read" in Page(write_report(run, samples=2)).text


def test_a_language_model(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "lm"
    train(experiment(data, run, latent=False))
    page = Page(write_report(run, samples=3))
    is_harmless(page)
    assert "language model" in page.text
    assert {"samples", "training", "making"} <= set(page.ids)
    assert not {"map", "reconstructions", "paraphrases"} & set(page.ids)
    assert "How much the latent carries" not in page.text


def test_mistakes_are_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run"):
        write_report(tmp_path)
    with pytest.raises(UserError, match="samples is 0"):
        write_report(run, samples=0)
    with pytest.raises(UserError, match="cannot write the report"):
        write_report(run, out=tmp_path / "no" / "such" / "folder.html")
    (run / "evaluation-test.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"evaluation-test\.json"):
        write_report(run)
    assert not list(run.glob(".*partial"))
