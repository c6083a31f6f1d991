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
from seqvae.data.synthetic import sentences

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if line.startswith("seqvae ")
]


def test_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [text for text, _, _ in sentences(200)]
    (tmp_path / "my.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        if command.startswith("seqvae serve "):
            serve(shlex.split(command, comments=True)[1:], tmp_path)
            continue
        assert main(shlex.split(command, comments=True)[1:]) == 0, (command, capsys.readouterr())
    programs = [block for language, block in BLOCKS if language == "python"]
    assert len(programs) >= 2
    for code in programs:
        exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    assert (tmp_path / "runs/my/report.html").stat().st_size > 10_000


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
