"""A bundle appears whole or not at all, and never in the place of something else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.export import bundle_writer
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_writer import BundleWriter
from tests.export.toy_bundle import fill, make

ROOT = Path(__file__).parents[2]


def shift_of(bundle: Path) -> float:
    """Which of the toys it is."""
    data = (Bundle.open(bundle).path / "cpu-fp32" / "parts.data").read_bytes()
    return float(np.frombuffer(data, np.float32)[0])


def test_nothing_is_left_beside_it(tmp_path: Path) -> None:
    make(tmp_path / "a" / "toy")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["toy"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), BundleWriter(tmp_path / "toy") as writer:
        fill(writer)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_only_a_bundle_is_replaced_and_only_when_asked(tmp_path: Path) -> None:
    out = make(tmp_path / "toy", shift=1.0).path
    with pytest.raises(
        UserError, match="exists; name another folder, or replace it with --overwrite"
    ):
        make(out, shift=2.0)
    assert shift_of(out) == 1.0
    make(out, overwrite=True, shift=2.0)
    assert shift_of(out) == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_other_folders_are_never_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years")
    for path in (home, home / "thesis.tex"):
        with pytest.raises(UserError, match="exists and is not a bundle"):
            make(path, overwrite=True)
    link = tmp_path / "link"
    link.symlink_to(home)
    with pytest.raises(UserError, match="a link"):
        make(link, overwrite=True)
    assert (home / "thesis.tex").read_text() == "years"
    assert not list(tmp_path.glob(".*"))


def test_a_link_at_the_temporary_place_is_not_followed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years")
    (tmp_path / ".toy.partial").symlink_to(home)
    with pytest.raises(UserError, match="a link where the bundle is to be built"):
        make(tmp_path / "toy")
    assert (home / "thesis.tex").exists()


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    make(tmp_path / "toy")


def test_a_folder_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a bundle"), BundleWriter(tmp_path / "toy") as writer:
        facts = fill(writer)
        (tmp_path / "toy").mkdir()
        (tmp_path / "toy" / "thesis.tex").write_text("years")
        writer.publish(facts)
    assert (tmp_path / "toy" / "thesis.tex").read_text() == "years"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "toy") as writer:
        facts = fill(writer)
        with pytest.raises(UserError, match="another export writes here"):
            make(tmp_path / "toy")
        writer.publish(facts)
    assert shift_of(tmp_path / "toy") == 1.0


def test_a_bundle_that_does_not_open_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="parts"), BundleWriter(tmp_path / "toy") as writer:
        facts = fill(writer)
        (writer.path / "cpu-fp32" / "parts.data").unlink()
        writer.publish(facts)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("swap", [True, False])
def test_systems_without_an_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: bool
) -> None:
    out = make(tmp_path / "toy").path
    if not swap:
        monkeypatch.setattr(bundle_writer, "_exchange", lambda a, b: False)
    make(out, overwrite=True, shift=3.0)
    assert shift_of(out) == 3.0
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_what_a_writer_killed_between_two_moves_left_is_put_back(tmp_path: Path) -> None:
    out = make(tmp_path / "toy").path
    out.rename(tmp_path / ".toy.old")
    with pytest.raises(UserError, match="exists"):
        make(out)
    assert shift_of(out) == 1.0


LIMITED = """
import resource, signal, sys
from pathlib import Path
from tests.export.toy_bundle import make
from seqvae.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    make(Path(sys.argv[1]), overwrite=True, shift=5.0)
except UserError as error:
    print(error)
"""


def test_a_full_disk_keeps_the_old_bundle(tmp_path: Path) -> None:
    """The limit makes the kernel refuse what passes it, as a full disk does."""
    out = make(tmp_path / "toy").path
    for limit in (0, 100, 1000):
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(out), str(limit)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "the disk is full" in done.stdout, done.stderr
        assert shift_of(out) == 1.0
        assert [path.name for path in tmp_path.iterdir()] == ["toy"]


ENDLESS = """
import sys
from pathlib import Path
from tests.export.toy_bundle import make
print("ready", flush=True)
while True:
    make(Path(sys.argv[1]), overwrite=True, shift=7.0)
"""


def test_a_killed_writer_leaves_a_whole_bundle(tmp_path: Path) -> None:
    out = make(tmp_path / "toy").path
    random = np.random.default_rng(0)
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(out)], cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None and process.stdout.readline()
            time.sleep(float(random.uniform(0, 0.05)))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert shift_of(out) in (1.0, 7.0)
    make(out, overwrite=True, shift=2.0)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
