"""`seqvae serve` on bundles that somebody changed: no server, a message, nothing read outside."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from seqvae.cli import main
from seqvae.export.bundle import Bundle
from tests.conformity.victim import ROOT
from tests.export.toy_bundle import edit, external, graph, make, replace

SECRET = b"what nobody but the owner should read " * 4
Change = Callable[[Path, Path], object]
"""Given the bundle and a secret file outside."""


def flip(toy: Path, _: Path) -> None:
    path = toy / "cpu-fp32" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(toy: Path, _: Path) -> None:
    for document in toy.glob("*.json"):
        document.unlink()


def weights_at(location: str) -> Change:
    """A graph, with the right digest, whose weights lie elsewhere."""

    def change(toy: Path, secret: Path) -> None:
        where = location.format(secret=secret, up=os.path.relpath(secret, toy / "cpu-fp32"))
        nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
        hostile = graph(nodes, [external(where)]).SerializeToString()
        replace(toy, "cpu-fp32/model.onnx", hostile)

    return change


def link(name: str) -> Change:
    def change(toy: Path, secret: Path) -> None:
        (toy / name).unlink()
        (toy / name).symlink_to(secret)

    return change


def listed(name: str) -> Change:
    """A listed file whose path leads out."""

    def change(toy: Path, secret: Path) -> None:
        path = name.format(secret=secret, up=os.path.relpath(secret, toy))
        edit(toy, lambda d: d["files"].update({path: {"sha256": "0" * 64, "bytes": 1}}))

    return change


def part(name: str) -> Change:
    return lambda toy, _: edit(toy, lambda d: d["variants"]["cpu-fp32"].update(parts=[name]))


CHANGES: dict[str, tuple[Change, str]] = {
    "a byte flipped": (flip, "model.onnx"),
    "a file missing": (lambda toy, _: (toy / "golden.json").unlink(), "golden.json"),
    "a file too many": (lambda toy, _: (toy / "run.sh").write_text("#!"), "run.sh"),
    "a file cut": (
        lambda toy, _: (toy / "cpu-fp32" / "parts.data").write_bytes(b"x"),
        "parts.data",
    ),
    "a link": (link("cpu-fp32/parts.data"), "parts.data"),
    "the manifest a link": (link("seqvae.json"), "seqvae.json"),
    "the tokenizer a link": (link("tokenizer/tokenizer.model"), "tokenizer.model"),
    "a listed path up": (listed("{up}"), ".."),
    "a listed path from the root": (listed("{secret}"), "secret"),
    "weights up": (weights_at("{up}"), "model.onnx"),
    "weights from the root": (weights_at("{secret}"), "model.onnx"),
    "weights by dots": (weights_at("./../../secret"), "model.onnx"),
    "weights of the system": (weights_at("/proc/self/environ"), "model.onnx"),
    "weights in the document": (weights_at("seqvae.json"), "model.onnx"),
    "a part up": (part("../../secret"), "secret"),
    "no JSON": (lambda toy, _: (toy / "seqvae.json").write_text("{"), "seqvae.json"),
    "deep JSON": (lambda toy, _: (toy / "seqvae.json").write_text("[" * 100_000), "seqvae.json"),
    "another format": (lambda toy, _: edit(toy, lambda d: d.update(format=99)), "99"),
    "no graph": (lambda toy, _: replace(toy, "cpu-fp32/model.onnx", b"\0\1\2"), "model.onnx"),
    "an empty folder": (empty, "seqvae.json"),
}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    make(tmp_path / "toy")
    return tmp_path / "toy"


@pytest.mark.parametrize("name", CHANGES)
def test_serve_says_what_is_wrong(
    toy: Path, name: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    change, names = CHANGES[name]
    change(toy, toy.parent / "secret")
    began = time.monotonic()
    assert main(["serve", str(toy), "--port=0", "--provider=cpu"]) == 2
    assert time.monotonic() - began < 10
    said = capsys.readouterr().err
    last = said.strip().splitlines()[-1]
    assert last.startswith("seqvae serve: ") and names in last, said
    assert "Traceback" not in said + caplog.text
    assert "nobody but the owner" not in said


OPEN_ALL = """
import json, sys
from pathlib import Path
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle

opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
for folder in sys.argv[1:]:
    opened.clear()
    try:
        Bundle.open(Path(folder))
    except UserError:
        print(json.dumps([folder, opened]))
"""


def test_nothing_outside_is_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    folders = []
    for number, (change, _) in enumerate(CHANGES.values()):
        folders.append(tmp_path / str(number) / "toy")
        folders[-1].parent.mkdir()
        (folders[-1].parent / "secret").write_bytes(SECRET)
        make(folders[-1])
        change(folders[-1], secret)
    done = subprocess.run(
        [sys.executable, "-c", OPEN_ALL, *map(str, folders)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert set(found) == set(map(str, folders))  # each was refused
    assert any(name.endswith("model.onnx") for opened in found.values() for name in opened)
    for folder, opened in found.items():
        mine = [name for name in opened if name.startswith(str(tmp_path))]
        assert not [name for name in mine if Path(name).name == "secret"]
        assert all(os.path.abspath(name).startswith(folder) for name in mine)
        assert not [name for name in opened if name.startswith("/proc")]


def test_a_changed_bundle_ends_the_process(toy: Path) -> None:
    flip(toy, toy)
    done = subprocess.run(
        [sys.executable, "-m", "seqvae.cli", "serve", str(toy), "--port=0"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "model.onnx" in done.stderr and "Traceback" not in done.stderr


def test_the_toy_itself_opens(toy: Path) -> None:
    assert Bundle.open(toy).variant("cpu-fp32")
    assert onnx.load(toy / "cpu-fp32" / "model.onnx")
