"""Requests generated from the API document: every answer is one that the document names."""

import subprocess
import sys
from pathlib import Path

import pytest

from seqvae.serving.limits import Limits
from tests.serving.client import ask
from tests.serving.stub import Live, live
from tests.serving.stub_sound import live_sound

# What a schema cannot say: texts times candidates, tensors that fit their shape, names of options.
FREER = r"/(paraphrase|infer|generate|generate_stream)$"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        # What is for sound answers 404 with a text bundle, which is no fault.
        ("--exclude-path-regex", rf"{FREER}|^/v1/(convert|voices)$"),
        ("--include-path-regex", FREER, "--exclude-checks", "positive_data_acceptance"),
    ],
    ids=["all checks", "what a schema cannot say"],
)
def test_generated_requests(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with live(limits=Limits(max_batch=8)) as server:
        check(server, arguments, tmp_path)
        assert ask(server.port, "/v1/sample", {}).status == 200


@pytest.mark.slow
def test_generated_requests_of_a_speech_bundle(tmp_path: Path) -> None:
    # Generated sounds are none, and what is for texts answers 404: neither is a fault.
    checks = ("--exclude-checks", "positive_data_acceptance")
    with live_sound(limits=Limits(max_batch=8)) as server:
        check(server, checks, tmp_path)
        assert ask(server.port, "/v1/voices").status == 200


def check(server: Live, arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Send generated requests to every address of the document."""
    pytest.importorskip("schemathesis")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            f"http://127.0.0.1:{server.port}/openapi.json",
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "20"),
            *("--seed", "1", "--no-color", *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,  # it leaves a folder behind
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
