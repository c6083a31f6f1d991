"""The page about a speech run: what is in it, that it loads nothing, and what it says without its corpus."""

import json
import re
from pathlib import Path

import pytest

from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.errors import UserError
from seqvae.evaluation.report import write_report
from tests.evaluation.speech_corpus import make_corpus
from tests.evaluation.test_report import Page
from tests.tasks.speech.conftest import tiny, write_run

pytest.importorskip("soundfile")
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SpeechCorpus:
    return make_corpus(tmp_path_factory.mktemp("speech"))


@pytest.fixture
def run(corpus: SpeechCorpus, tmp_path: Path) -> Path:
    path = write_run(tmp_path / "run", tiny(), corpus.path)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    config["data_fingerprint"] = corpus.fingerprint
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def is_harmless(page: Page) -> None:
    """Nothing runs and nothing is fetched: sounds and pictures are in the page."""
    assert "script" not in page.tags
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href"):
            assert re.match(r"#|data:(image/png|audio/flac);base64,", str(value))


def test_there_is_something_to_hear_and_to_see(run: Path) -> None:
    page = Page(write_report(run, samples=6))
    is_harmless(page)
    assert {"verdict", "listen", "training", "making"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    # Two conversions: source, converted, the target's own recording.
    assert page.tags.count("audio") == 6
    assert "anna → ben" in page.text and "“made up sentence" in page.text
    assert "Nothing has been measured yet" in page.text
    assert "media-src data:" in page.source
    assert "nats a sequence" not in page.text


def test_an_evaluation_is_judged_and_drawn_over_the_rate(run: Path) -> None:
    row = {
        "items": 2,
        "errors": {},
        "wer": 0.1,
        "similarity": 0.82,
        "gap_closed": 0.8,
        "as_target": 1.0,
    }
    evaluation = {
        "kind": "speech", "recordings": 6, "bit_rate": 690.0, "style": 12.0, "leak": 0.4,
        "leak_chance": 0.33, "groups": {"conversion": row, EVIL: row}, "pairs": {},
    }  # fmt: skip
    (run / "evaluation-test.json").write_text(json.dumps(evaluation), encoding="utf-8")
    page = Page(write_report(run, samples=1))
    is_harmless(page)
    assert {"evaluation", "rates"} <= set(page.ids)
    assert "This run converts voices" in page.text
    assert EVIL not in page.source and EVIL in page.text
    assert "690 bit/s" in page.text


def test_without_its_corpus_it_says_so(run: Path, corpus: SpeechCorpus, tmp_path: Path) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config["experiment"]["data"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    page = Page(write_report(run, samples=1))
    assert "cannot be opened" in page.text and "audio" not in page.tags
    with pytest.raises(UserError, match="not the corpus that"):
        write_report(run, corpus=make_corpus(tmp_path / "other", voices=2).path)


def test_the_same_run_gives_the_same_page(run: Path, tmp_path: Path) -> None:
    first = write_report(run, samples=3, out=tmp_path / "a.html").read_bytes()
    assert write_report(run, samples=3, out=tmp_path / "b.html").read_bytes() == first
