"""Killed at any moment and run again, `prepare` gives the bytes of an uninterrupted run."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqvae.data import stages
from seqvae.data.workspace import Workspace
from seqvae.errors import UserError
from tests.data.conftest import Prepare

_SCRIPT = """
import sys
from pathlib import Path
from seqvae.data.prepare import PrepareText, prepare_text
config = PrepareText(inputs=(sys.argv[1],), out=Path(sys.argv[2]), vocab_size=600, shard_size=2000)
print("ready", flush=True)
prepare_text(config, say=lambda notice: None)
"""


def _start(lines: Path, out: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(lines), str(out)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def _finish(lines: Path, out: Path) -> float:
    with _start(lines, out) as process:
        start = time.perf_counter()
        assert process.wait() == 0
        return time.perf_counter() - start


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_kill_and_run_again(lines: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    seconds = _finish(lines, whole)
    out = tmp_path / "out"
    for share in (0.1, 0.5, 0.9):
        with _start(lines, out) as process:
            time.sleep(share * seconds)
            process.kill()
        if (out / "dataset.json").exists():
            break
        assert not out.exists()
    _finish(lines, out)
    assert _content(out) == _content(whole)
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("stage", ["_split", "_train", "_encode"])
def test_finished_stages_are_not_repeated(
    lines: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: str
) -> None:
    expected = _content(prepare(lines, out="whole").path)
    ran: list[str] = []

    def counted(name: str) -> None:
        real = getattr(stages.Stages, name)

        def run(self: stages.Stages) -> dict[str, object]:
            ran.append(name)
            result: dict[str, object] = real(self)
            if name == stage and ran.count(name) == 1:
                raise KeyboardInterrupt
            return result

        monkeypatch.setattr(stages.Stages, name, run)

    for name in ("_read", "_split", "_train", "_encode"):
        counted(name)
    with pytest.raises(KeyboardInterrupt):
        prepare(lines)
    assert not (tmp_path / "out").exists()
    assert _content(prepare(lines).path) == expected
    assert all(ran.count(name) == 1 + (name == stage) for name in set(ran))


def test_leftovers_of_a_finished_run_go(lines: Path, prepare: Prepare, tmp_path: Path) -> None:
    prepare(lines)
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "spool.text").write_text("killed between renaming and cleaning up")
    prepare(lines)
    assert not (tmp_path / "out.partial").exists()


def test_another_input_starts_clean(
    lines: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: stages.Stages) -> dict[str, object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages.Stages, "_encode", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(lines)
    lines.write_text(lines.read_text() + "one more line\n")
    assert prepare(lines).meta["counts"]["read"] == 301


def test_two_at_once_are_refused(lines: Path, prepare: Prepare, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "out")
    with workspace.hold(""), pytest.raises(UserError, match="another `prepare` is writing here"):
        prepare(lines)
