"""A bundle of speech in an app: files of any rate in, the wanted voice out, mistakes said."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from seqvae.data.speech.audio import Sound, write_audio
from seqvae.data.speech.wav import decode_wav, encode_wav
from seqvae.errors import UserError
from seqvae.export import speech_golden, speech_verify
from seqvae.export.bundle import Bundle
from seqvae.export.graphs import Graph
from seqvae.export.speech_export import export_speech
from seqvae.export.speech_golden import babble
from seqvae.export.triton_repo import write_triton_repository
from seqvae.serving import Converter
from seqvae.serving.golden_sound import decibels
from seqvae.serving.open_model import open_model
from seqvae.serving.sounds import Outputs, SoundRow
from seqvae.tasks.speakers import Speakers
from tests.serving.client import ask
from tests.serving.stub import live
from tests.tasks.speech.conftest import PITCHES, tiny

RATE = 16_000


def exported(kind: str, folder: Path) -> Bundle:
    model = tiny(kind)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(
                    0.5
                )  # as at the start of a training: rounding grows with the weights
    width = 32 if model.hears_voices else 0
    model.info["voices"] = Speakers(torch.randn(3, width), PITCHES.f0)
    with pytest.MonkeyPatch.context() as patch:
        # The long sounds are compared in tests/export.
        for module in (speech_golden, speech_verify):
            patch.setattr(module, "LENGTHS", (0.3, 5.0))
        return export_speech(model, folder / "speech")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return exported("table", tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return exported("encoder", tmp_path_factory.mktemp("bundle"))


def test_files_of_any_rate_are_as_long_in_the_other_voice(bundle: Bundle, tmp_path: Path) -> None:
    converter = Converter(bundle)
    assert converter.voices == ("anna", "ben", "cleo") and converter.rate == RATE
    write_audio(tmp_path / "talk.wav", babble(1.0, 48_000), 48_000)
    ben = converter.convert(tmp_path / "talk.wav", "ben")
    assert ben.rate == RATE and ben.samples.shape == (RATE,)
    anna = converter.convert(str(tmp_path / "talk.wav"))
    assert np.abs(ben.samples - anna.samples).max() > 1e-3
    again = converter.convert(tmp_path / "talk.wav", "ben", noise_scale=1.0, seed=3)
    assert np.abs(again.samples - ben.samples).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voice": "dora"}, "neither a file nor a voice .anna, ben, cleo"),
        ({"voice": Sound(babble(1.0, RATE), RATE)}, "by name only; it has anna, ben, cleo"),
        ({"strength": 0.5}, "by name only: 1 is all"),
        ({"noise_scale": float("nan")}, "noise_scale is nan"),
        ({"seed": 2**70}, "seed is"),
    ],
)
def test_mistakes_are_said(bundle: Bundle, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Converter(bundle).convert(Sound(babble(0.5, RATE), RATE), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "0 ms long"),
        (np.full(100, np.inf, np.float32), "NaN or infinity"),
    ],
)
def test_sounds_that_cannot_be_are_refused(
    bundle: Bundle, samples: np.ndarray, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Converter(bundle).convert(Sound(samples, RATE))


def graph_of(bundle: Bundle) -> Graph:
    return Graph(bundle.path / "cpu-fp32" / "model.onnx")


def test_a_short_sound_is_what_one_call_of_the_graph_makes_of_it(bundle: Bundle) -> None:
    sound = babble(2.0, RATE, 3)
    found = Converter(bundle).convert(Sound(sound, RATE), "ben", noise_scale=1.0, seed=4)
    options = {"noise_scale": np.array([[1.0]], np.float32), "seed": np.array([[4]])}
    whole = graph_of(bundle).run({"audio": sound[None], "speaker": np.array([[1]]), **options})
    assert decibels(found.samples, whole["converted"][0]) > 40.0


def test_a_long_sound_in_pieces_is_what_pytorch_makes_of_it(bundle: Bundle) -> None:
    sound = Sound(babble(70.0, RATE, 3), RATE)
    model = tiny("table")
    with torch.no_grad():
        for parameter in model.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(0.5)
    model.info["voices"] = PITCHES
    converter = Converter(bundle)
    assert (
        decibels(converter.convert(sound, "ben").samples, model.convert(sound, "ben").samples)
        > 40.0
    )


def test_a_voice_is_heard_as_the_graph_hears_it(hearing: Bundle) -> None:
    sound, reference = babble(1.0, RATE, 3), babble(2.0, RATE, 4)
    converter, graph = Converter(hearing), graph_of(hearing)
    for strength in (1.0, 0.5):
        found = converter.convert(Sound(sound, RATE), Sound(reference, RATE), strength=strength)
        feeds = {"audio": sound[None], "reference": reference[None]}
        whole = graph.run({**feeds, "strength": np.array([[strength]], np.float32)})
        assert decibels(found.samples, whole["converted"][0]) > 30.0


def test_rows_of_one_kind_are_computed_together(bundle: Bundle) -> None:
    converter = Converter(bundle)
    rows = [SoundRow(babble(0.5 if k % 2 else 0.7, RATE, k)) for k in range(6)]
    together = converter.run(rows)
    for row, found in zip(rows, together, strict=True):
        (alone,) = converter.run([row])
        assert decibels(found["converted"], alone["converted"]) > 30.0


def test_the_golden_sounds_are_compared(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with Converter(bundle) as converter:
        converter.warm_up()
        converter.check_golden()
        run = converter.run

        def quieter(rows: Sequence[SoundRow]) -> list[Outputs]:
            return [{"converted": 0.9 * one["converted"]} for one in run(rows)]

        monkeypatch.setattr(converter, "run", quieter)
        with pytest.raises(
            UserError, match=r"golden check: \d+ of \d+ sounds .* agrees within 20 dB"
        ):
            converter.check_golden()


def test_a_bundle_of_speech_is_served(bundle: Bundle) -> None:
    model = open_model(bundle.path, provider="cpu", threads=1)
    with live(model=model) as server:
        assert ask(server.port, "/v1/voices").json["voices"] == ["anna", "ben", "cleo"]
        sound = babble(1.0, 48_000)
        answer = ask(server.port, "/v1/convert?voice=ben&seed=3", encode_wav(sound, 48_000))
        assert answer.status == 200, answer.body
        wanted = Converter(bundle).convert(Sound(sound, 48_000), "ben", seed=3).samples
        assert decibels(decode_wav(answer.body)[0][:, 0], wanted) > 30.0
        names = [one["name"] for one in ask(server.port, "/v2/repository/index", b"").json]
        assert names == ["model", "score"]
        audio = {"name": "audio", "datatype": "FP32", "shape": [1, 800], "data": [0.01] * 800}
        for name in names:
            answer = ask(server.port, f"/v2/models/{name}/infer", {"inputs": [audio]})
            assert answer.status == 200, answer.body


def test_silence_stays_silent(bundle: Bundle) -> None:
    sound = Converter(bundle).convert(Sound(np.zeros(RATE, np.float32), RATE), "ben")
    assert not sound.samples.any()


def test_a_triton_repository_computes_rows_of_its_own(hearing: Bundle, tmp_path: Path) -> None:
    place = write_triton_repository(hearing, tmp_path, name="voices")
    graph, sound = Graph(place / "1" / "model.onnx"), babble(0.5, RATE, 3)
    column = {"noise_scale": np.zeros((2, 1), np.float32), "strength": np.ones((2, 1), np.float32)}
    column["seed"] = np.array([[0], [0]])
    feeds = {"audio": np.stack([sound, sound]), **column}
    found = graph.run({**feeds, "speaker": np.array([[0], [1]])})["converted"]
    for row, voice in zip(found, ("anna", "ben"), strict=True):
        wanted = Converter(hearing).convert(Sound(sound, RATE), voice).samples
        assert decibels(row, wanted) > 30.0
    config = (place / "config.pbtxt").read_text()
    assert 'name: "speaker", data_type: TYPE_INT64, dims: [1]' in config
    assert 'name: "audio", data_type: TYPE_FP32, dims: [-1]' in config
    assert "| 1 | ben |" in (place / "README.md").read_text()
    heard = Graph(tmp_path / "voices_heard" / "1" / "model.onnx")
    reference = babble(1.0, RATE, 4)
    found = heard.run({**feeds, "reference": np.stack([reference, reference])})["converted"]
    wanted = Converter(hearing).convert(Sound(sound, RATE), Sound(reference, RATE)).samples
    assert decibels(found[1], wanted) > 30.0


def test_a_triton_repository_of_voices_with_names_is_one_model(
    bundle: Bundle, tmp_path: Path
) -> None:
    write_triton_repository(bundle, tmp_path / "models")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["seqvae"]


def test_it_needs_no_torch(bundle: Bundle, tmp_path: Path) -> None:
    write_audio(tmp_path / "talk.wav", babble(0.5, 22_050), 22_050)
    # A None in sys.modules makes `import torch` raise ImportError.
    program = (
        "import sys\n"
        "sys.modules.update(torch=None, torchaudio=None)\n"
        "from pathlib import Path\n"
        "from seqvae.serving.open_model import open_model\n"
        "engine = open_model(Path(sys.argv[1])).engine\n"
        "engine.warm_up(), engine.check_golden()\n"
        "print(len(engine.convert(sys.argv[2], 'ben').samples))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle.path), str(tmp_path / "talk.wav")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "8000"), done.stderr
