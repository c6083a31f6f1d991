"""The example of digits runs and says what it promises."""

import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.examples.test_python import load


def test_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    load("digits").main(str(tmp_path), "9", "10")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("AUROC of 9, never seen, by squared error: 0.")
    assert imread(tmp_path / "samples.png").shape[:2] == (5 * 50, 10 * 50)
