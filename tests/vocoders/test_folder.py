import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.vocoders import GriffinLim, load_vocoder, save_vocoder

SETTINGS = MelSettings()
CONFIG = GriffinLim(iterations=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_vocoder(CONFIG.build(SETTINGS), CONFIG, tmp_path / "v", steps=0)
    return tmp_path / "v"


def altered(folder: Path, **changes: object) -> Path:
    path = folder / "vocoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_what_is_saved_sounds_the_same(folder: Path) -> None:
    mel = torch.linspace(-8, 0, 10 * 80).reshape(1, 10, 80)
    assert torch.equal(load_vocoder(folder)(mel), CONFIG.build(SETTINGS)(mel))


def test_other_mel_settings_are_named_with_both_values(folder: Path) -> None:
    with pytest.raises(UserError, match=r"floor 1e-05.*floor 0\.001"):
        load_vocoder(folder, replace(SETTINGS, floor=1e-3))
    load_vocoder(folder, SETTINGS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "something"}, "does not describe a vocoder"),
        ({"version": 99}, "version 99, this seqvae reads 1"),
        ({"type": "Wavenet"}, "type 'Wavenet' is not one of GriffinLim"),
        ({"vocoder": {"iterations": "many"}}, "iterations is 'many', expected int"),
        ({"vocoder": {"iterations": True}}, "iterations is True, expected int"),
        ({"vocoder": {"iterations": 10**9}}, "iterations must lie between"),
        ({"vocoder": {"inverse": "fast"}}, "expected 'nnls' or 'pseudo'"),
        ({"vocoder": {"depth": 3}}, "expected the fields"),
        ({"vocoder": None}, "expected the fields"),
        ({"mel": {"mels": 10**9}}, "mels"),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_vocoder(altered(folder, **changes))


def test_a_missing_or_damaged_vocoder_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent is not a vocoder.*seqvae vocoder"):
        load_vocoder(tmp_path / "absent")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="missing, damaged"):
        load_vocoder(folder)
    (folder / "vocoder.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        load_vocoder(folder)
