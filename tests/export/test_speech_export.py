"""A speech run leaves as graphs that say what PyTorch says, from sound to sound in one call."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seqvae.data.speech.audio import Sound
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.graphs import Graph
from seqvae.export.speech_export import export_speech, export_speech_run
from seqvae.export.speech_golden import babble
from seqvae.export.speech_parts import center_of, voice_vector
from seqvae.export.speech_verify import FRAMES, ITERATED, decibels
from seqvae.tasks.convert import Conversion
from seqvae.tasks.f0 import f0_of
from seqvae.tasks.render import listen
from seqvae.tasks.speakers import Speakers
from seqvae.tasks.speech_model import SpeechModel
from tests.tasks.speech.conftest import PITCHES, tiny, write_run

RATE = 16_000
KINDS = ("encoder", "table", "both")


def made(kind: str) -> SpeechModel:
    model = tiny(kind)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(
                    0.5
                )  # as at the start of a training: rounding grows with the weights
    width = 32 if model.hears_voices else 0
    model.info["voices"] = Speakers(torch.randn(3, width), PITCHES.f0)
    return model


@pytest.fixture(scope="module", params=KINDS)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SpeechModel, Bundle]:
    model = made(request.param)
    return model, export_speech(model, tmp_path_factory.mktemp("bundle") / "speech")


def whole(bundle: Bundle) -> Graph:
    return Graph(bundle.path / "cpu-fp32" / "model.onnx")


def test_it_is_held_to_pytorch(exported: tuple[SpeechModel, Bundle]) -> None:
    _, bundle = exported
    figures = bundle.variants["cpu-fp32"].verify
    assert figures["frames_db"] >= FRAMES and figures["audio_db"] >= ITERATED
    assert {f"audio_db_{length}" for length in ("0.3", "1", "5", "20", "60")} <= figures.keys()
    assert bundle.kind == "speech" and list(bundle.labels) == ["anna", "ben", "cleo"]


def test_a_named_voice_is_that_of_convert(exported: tuple[SpeechModel, Bundle]) -> None:
    model, bundle = exported
    sound = babble(0.8, RATE, 3)
    wanted = model.convert(Sound(sound, RATE), "ben").samples
    found = whole(bundle).run({"audio": sound[None], "speaker": np.array([[1]])})
    assert decibels(found["converted"][0], wanted) > 40.0
    given = voice_vector(model, model.voice("ben")).numpy()
    np.testing.assert_array_equal(found["condition"][0], given)
    again = whole(bundle).run({"audio": sound[None], "voice": given[None]})
    np.testing.assert_array_equal(again["converted"], found["converted"])


def test_a_reference_is_heard_with_its_pitch(exported: tuple[SpeechModel, Bundle]) -> None:
    model, bundle = exported
    if not model.hears_voices:
        pytest.skip("knows its voices by name only")
    sound, reference = babble(0.8, RATE, 3), babble(2.0, RATE, 4)
    found = whole(bundle).run({"audio": sound[None], "reference": reference[None]})
    (window,) = listen(model, model.recording(Sound(reference, RATE)))
    known = f0_of(model, [window.mel])
    assert found["condition"][0, -1] == pytest.approx(known.center if known else 0.0, abs=1e-4)


def test_strength_moves_the_voice_and_its_pitch(exported: tuple[SpeechModel, Bundle]) -> None:
    model, bundle = exported
    if not model.hears_voices or model.model.labels is not None:
        pytest.skip("a table's own row is the likeliest, which graphs do not look for")
    sound = babble(0.8, RATE, 3)
    wanted = model.convert(Sound(sound, RATE), "cleo", Conversion(strength=0.5)).samples
    feed = {"audio": sound[None], "speaker": np.array([[2]])}
    found = whole(bundle).run({**feed, "strength": np.array([[0.5]], np.float32)})
    assert decibels(found["converted"][0], wanted) > 40.0


@pytest.mark.parametrize("voiced", [0, 15, 16, 17, 40])
def test_the_centre_is_the_median_of_what_is_voiced(voiced: int) -> None:
    log = 5.0 + 0.3 * torch.randn(1, 60)
    on = torch.zeros(1, 60)
    on[0, torch.randperm(60)[:voiced]] = 1.0
    contour = torch.stack([torch.zeros(1, 60), on, log * on], -1)
    wanted = log[on > 0].quantile(0.5) if voiced >= 16 else torch.tensor(0.0)
    torch.testing.assert_close(center_of(contour)[0, 0], wanted)


def test_a_run_is_exported_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from seqvae.cli import main

    run = write_run(tmp_path / "run", made("encoder"))
    assert main(["export", str(run), str(tmp_path / "bundle")]) == 0
    assert "sound 60 s" in capsys.readouterr().out
    # The corpus is gone: no voice can be named, and others are heard.
    assert list(Bundle.open(tmp_path / "bundle").labels) == ["average"]
    with pytest.raises(UserError, match="exists"):
        export_speech_run(run, tmp_path / "bundle")
