"""Parts of the page about a speech run: players, spectrograms, the curve over rates."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.evaluation.report.listening import player, spectrograms
from seqvae.evaluation.report.rate_curve import points_beside, rate_curve

soundfile = pytest.importorskip("soundfile")


def test_a_player_holds_the_sound_without_loss() -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 4000).astype(np.float32)
    markup = player(samples, 16_000, 'the "target"')
    assert 'aria-label="the &quot;target&quot;"' in markup
    found = re.search(r'src="data:audio/flac;base64,([^"]+)"', markup)
    assert found is not None
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(found[1])), dtype="float32")
    assert rate == 16_000
    assert np.abs(heard - samples).max() <= 2 / 2**16
    assert player(samples, 16_000, 'the "target"') == markup


def test_spectrograms_share_a_scale_and_load_nothing() -> None:
    random = np.random.default_rng(0)
    settings = MelSettings()
    rows = [(f"row {i}", random.normal(size=(30 + i, 80)).astype(np.float32)) for i in range(3)]
    markup = spectrograms(rows, settings, "s1", "three rows")
    assert all(f">{title}<" in markup for title, _ in rows)
    assert markup.count("data:image/png;base64,") == 3
    assert 'id="s1-' in markup and 'aria-label="three rows"' in markup
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", markup)


def write_run(folder: Path, fingerprint: str, evaluation: dict[str, Any] | str) -> None:
    folder.mkdir()
    config = {"data_fingerprint": fingerprint}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    text = evaluation if isinstance(evaluation, str) else json.dumps(evaluation)
    (folder / "evaluation-test.json").write_text(text, encoding="utf-8")


def evaluation(rate: float, similarity: float = 0.8, wer: float = 0.1) -> dict[str, Any]:
    return {
        "bit_rate": rate,
        "groups": {"conversion": {"similarity": similarity, "wer": wer}},
    }


def test_the_curve_takes_evaluated_runs_of_the_same_corpus(tmp_path: Path) -> None:
    write_run(tmp_path / "b", "data", evaluation(300, 0.8))
    write_run(tmp_path / "a", "data", evaluation(600, 0.7))
    write_run(tmp_path / "other", "other data", evaluation(100))
    write_run(tmp_path / "text", "data", {"nll_iw": 3.0})
    write_run(tmp_path / "damaged", "data", "{")
    write_run(tmp_path / "strange", "data", {"bit_rate": "x", "groups": {"conversion": [1]}})
    (tmp_path / "empty").mkdir()
    points = points_beside(tmp_path / "b", "data", "test")
    assert [(p.name, p.rate) for p in points] == [("b", 300), ("a", 600)]
    groups = {"natural": {"similarity": 0.92, "wer": 0.04}, "unconverted": {"similarity": 0.55}}
    markup = rate_curve(points, groups, "b")
    assert markup is not None
    assert "b: 300 bit/s, similarity 0.80, word errors 10%" in markup
    assert rate_curve([], groups, "b") is None
    assert rate_curve(points, {}, "nobody") is not None
