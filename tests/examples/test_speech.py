"""The examples of speech: Python and JavaScript with the graph alone, and a shell with a server."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seqvae.data.speech.audio import read_audio, write_audio
from tests.examples.test_javascript import FOLDER, needs_node, needs_packages
from tests.examples.test_python import EXAMPLES
from tests.examples.upside_down import RATE, write_bundle
from tests.serving.stub_sound import live_sound, lopsided


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "speech")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    write_audio(tmp_path / "talk.wav", lopsided(0.5).samples, RATE)
    return tmp_path / "talk.wav"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program."""
    return subprocess.run(
        [*map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


def assert_turned(result: Path, sign: float = -1.0) -> None:
    found = read_audio(result)
    assert found.rate == RATE
    np.testing.assert_allclose(found.samples, sign * lopsided(0.5).samples, atol=1e-3)


def test_python_alone(bundle: Path, sound: Path, tmp_path: Path) -> None:
    # In a process of its own that cannot import what an app would not have.
    program = (
        "import runpy, sys;"
        "sys.modules['torch'] = sys.modules['seqvae'] = sys.modules['soundfile'] = None;"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    start = (sys.executable, "-c", program, EXAMPLES / "python_speech.py", bundle, sound)
    done = run(*start, tmp_path / "b.wav", "ben")
    assert done.returncode == 0, done.stderr
    assert "0.5 s in the voice of ben" in done.stdout and done.stderr == ""
    assert_turned(tmp_path / "b.wav")
    assert run(*start, tmp_path / "a.wav").returncode == 0
    assert_turned(tmp_path / "a.wav", 1.0)
    done = run(*start, tmp_path / "c.wav", "dora")
    assert done.returncode == 1 and "no voice dora; there are anna, ben" in done.stderr


@needs_packages
@needs_node
def test_node(bundle: Path, sound: Path, tmp_path: Path) -> None:
    done = run("node", FOLDER / "convert.mjs", bundle, sound, tmp_path / "b.wav", "ben")
    assert done.returncode == 0, done.stderr
    assert "0.5 s in the voice of ben" in done.stdout
    assert_turned(tmp_path / "b.wav")
    done = run("node", FOLDER / "convert.mjs", bundle, sound, tmp_path / "c.wav", "dora")
    assert done.returncode != 0 and "no voice dora" in done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl(sound: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "target.wav", lopsided(1.0, sign=-1.0).samples, RATE)
    with live_sound() as server:
        script, address = EXAMPLES / "curl_speech.sh", f"http://{server.address}"
        for voice, sign in (("ben", -1.0), (str(tmp_path / "target.wav"), -1.0), ("", 1.0)):
            done = run("sh", script, sound, tmp_path / "b.wav", voice, address)
            assert done.returncode == 0, done.stderr
            assert '"voices":["anna","ben"]' in done.stdout
            assert_turned(tmp_path / "b.wav", sign)
        done = run("sh", script, sound, tmp_path / "b.wav", "dora", address)
        assert done.returncode == 1 and "no voice 'dora'; it has anna, ben" in done.stderr
