"""`seqvae vocoder`."""

import pytest

from seqvae.cli_vocoder import vocoder
from seqvae.errors import UserError


def test_help_shows_the_options_of_the_kind_and_no_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = {}
    for kind in ("linear-head", "istft"):
        with pytest.raises(SystemExit):
            vocoder(["--help", "--kind", kind])
        shown[kind] = capsys.readouterr().out
        assert "type: ignore" not in shown[kind]
    assert "iterations" in shown["linear-head"]
    assert "--vocoder.parts" not in shown["linear-head"]
    assert "--vocoder.parts" in shown["istft"]


def test_the_kind_measured_best_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        vocoder(["--help"])
    assert "(default: linear-head)" in capsys.readouterr().out


def test_griffin_lim_is_not_trained() -> None:
    with pytest.raises(UserError, match="learns nothing"):
        vocoder(["data", "out", "--kind", "griffin-lim"])
