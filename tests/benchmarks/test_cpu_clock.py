"""CPU time over several processes' worth of work."""

import json
import time
from pathlib import Path

import pytest

from benchmarks import cpu_clock


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_seconds_add_up_and_survive_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_clock, "EVERY", 0.01)
    path = tmp_path / "folder" / "cpu.json"
    assert cpu_clock.cpu_seconds(path) is None
    with cpu_clock.counted(path):
        burn(0.2)
        # As a kill would leave it: noted while the work goes on.
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert json.loads(path.read_text())["cpu_seconds"] > 0
    first = cpu_clock.cpu_seconds(path)
    assert first is not None and first >= 0.2
    with pytest.raises(KeyError), cpu_clock.counted(path):
        burn(0.1)
        raise KeyError
    second = cpu_clock.cpu_seconds(path)
    assert second is not None and second >= first + 0.1
