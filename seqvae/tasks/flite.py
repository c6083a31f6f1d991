"""Four voices to learn from where nobody recorded any: Debian's speech synthesiser flite."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seqvae.errors import UserError

# Three men and a woman, at 16 kHz; kal (8 kHz) and awb_time (a clock) are left out.
VOICES = ("kal16", "awb", "rms", "slt")
# A sentence takes 0.1 s.
PATIENCE = 60.0


def find_flite(install: bool = True) -> str:
    """Path of flite; installed first where this is Debian, or like it, and we may.

    Raises:
        UserError: not there and cannot be installed; says how a person can.
    """
    found = shutil.which("flite")
    if found is None and install and shutil.which("apt-get") and os.geteuid() == 0:
        # A fresh machine's list of packages may be empty, but the update takes time where it is not.
        for command in (["install"], ["update"], ["install"]):
            packages = ["-y", "--no-install-recommends", "flite"] if command == ["install"] else []
            done = subprocess.run(
                ["apt-get", "-qq", *command, *packages],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            if command == ["install"] and done.returncode == 0:
                break
        found = shutil.which("flite")
    if found is None:
        raise UserError(
            "flite is not installed, and its voices are what this demonstration learns from: "
            "`sudo apt-get install flite` on Debian and Ubuntu, `brew install flite` on a Mac; "
            "or learn from recordings of your own, a folder for each speaker: "
            "seqvae demo speech --voices FOLDER"
        )
    return found


def record(
    folder: Path,
    texts: Sequence[str],
    voices: Sequence[str] = VOICES,
    *,
    program: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Have every voice say every text: VOICE/0001.wav and so on; what is there stays.

    Args:
        folder: where to.
        texts: sentences.
        voices: of flite.
        program: path of flite; by default found, or installed.
        progress: told how many sounds are there.

    Returns:
        A manifest, one JSON object a line with audio_filepath, speaker and text.

    Raises:
        UserError: no flite, or it did not speak.
    """
    flite = program or find_flite()
    manifest = folder / "manifest.jsonl"
    rows = [
        {
            "audio_filepath": f"{voice}/{number:04}.wav",
            "speaker": voice,
            "text": text,
        }
        for number, text in enumerate(texts, 1)
        for voice in voices
    ]
    for voice in voices:
        (folder / voice).mkdir(parents=True, exist_ok=True)

    def say(row: dict[str, str]) -> None:
        path = folder / row["audio_filepath"]
        if not path.exists():
            _say(flite, row["speaker"], row["text"], path)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, _ in enumerate(pool.map(say, rows), 1):
            if progress is not None:
                progress(number)
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return manifest


def _say(flite: str, voice: str, text: str, path: Path) -> None:
    partial = path.with_suffix(".partial")
    command = [flite, "-voice", voice, "-t", text, "-o", str(partial)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"flite: {error}") from error
    if done.returncode or not partial.exists():
        said = done.stderr.strip() or f"status {done.returncode}"
        raise UserError(f"flite: voice {voice} did not say {text!r}: {said}")
    partial.replace(path)
