"""The README's commands and code run as they are written, in the order they are written."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from seqvae.cli import main
from seqvae.data.speech.audio import write_audio
from seqvae.data.synthetic import sentences
from tests.tasks.speech.sounds import RATE, babble

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if line.startswith("seqvae ")
]
# Beside what the README says: a run of speech takes two hours, and Whisper a minute.
SHORTER = {
    "seqvae train data/voices ": "--steps 4",
    "seqvae vocoder ": "--steps 2",
    "seqvae evaluate runs/voices ": f"--limit 1 --pairs 1 --referees {shlex.quote(sys.executable)}",
}


def test_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [text for text, _, _ in sentences(200)]
    (tmp_path / "my.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    record(tmp_path)
    assert len(COMMANDS) >= 18
    for said in COMMANDS:
        shorter = [words for start, words in SHORTER.items() if said.startswith(start)]
        command = " ".join([said.split(" #")[0], *shorter])
        if command.startswith("seqvae serve "):
            serve(shlex.split(command)[1:], tmp_path)
            continue
        assert main(shlex.split(command)[1:]) == 0, (command, capsys.readouterr())
    programs = [block for language, block in BLOCKS if language == "python"]
    assert len(programs) >= 3
    for code in programs:
        exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    for made in ("runs/my/report.html", "runs/voices/report.html", "converted-mary/talk.wav"):
        assert (tmp_path / made).stat().st_size > 10_000


def record(folder: Path) -> None:
    """Two made-up voices and somebody who talks, where the README has the reader's own recordings."""
    for name, pitch in (("mary", 210.0), ("tom", 110.0)):
        (folder / "voices" / name).mkdir(parents=True)
        for number in range(1, 13):
            path = folder / "voices" / name / f"{name}_{number}.wav"
            write_audio(path, babble(1.5, pitch, seed=number), RATE)
    write_audio(folder / "talk.wav", babble(2.5, 140.0, seed=99), RATE)


def serve(arguments: list[str], folder: Path) -> None:
    """Start the server on a free port, wait until it is ready, and stop it as an operator would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "seqvae.cli", *arguments, f"--port={port}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, cwd=folder, env=environment) as server:
        try:
            for _ in range(600):
                assert server.poll() is None, "the server ended"
                address = f"http://127.0.0.1:{port}/v2/health/ready"
                with contextlib.suppress(OSError), urllib.request.urlopen(address) as got:
                    assert got.status == 200
                    break
                time.sleep(0.1)
            else:
                pytest.fail("the server was not ready within a minute")
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_every_verb_is_in_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    from seqvae.cli import VERBS

    assert main(["--help"]) == 0
    usage = capsys.readouterr().out
    assert all(f"seqvae {verb} " in usage for verb in VERBS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tran"], "did you mean train?"),
        (["prepare", "pictures"], "known: text"),
        (["prepare", "text", "only-one"], "name inputs too"),
        (["train", "d", "r", "--rate", "-1"], "above 0 nats"),
        (["train", "d", "r", "--accumulate", "0"], "--accumulate must be above 0"),
        (["train", "d", "r", "--tighten", "2"], "from 0 to 1"),
        (["train", "d", "r", "--preset", "huge"], "tiny, small, base"),
        (["train", "no-corpus", "r"], "no-corpus"),
        (["sample", "no-run"], "no-run"),
        (["demo"], "known: text"),
    ],
)
def test_mistakes_are_explained(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
