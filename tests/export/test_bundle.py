"""A bundle opens when every byte is as it was written, and otherwise says what is wrong."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqvae.errors import UserError
from seqvae.export import bundle_manifest
from seqvae.export.bundle import Bundle
from tests.export.toy_bundle import PIECES, edit, make, replace


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return make(tmp_path / "toy").path


def test_what_was_written_is_read(toy: Path) -> None:
    bundle = Bundle.open(toy)
    assert bundle.pieces == PIECES and bundle.vocabulary == 7 and bundle.latent == 2
    assert bundle.part(None) == toy / "cpu-fp32" / "model.onnx"
    assert bundle.part("cpu-int8", "encoder") == toy / "cpu-int8" / "encoder.onnx"
    assert bundle.variant().precision == "fp32"
    (row,) = bundle.golden
    assert row.options == {"seed": 1} and row.written["cpu-fp32"].ids == (5, 6, 3)
    assert bundle.options["seed"].high == 2**63 - 1
    with pytest.raises(UserError, match="no variant 'cuda-fp16'; it has cpu-fp32, cpu-int8"):
        bundle.variant("cuda-fp16")
    with pytest.raises(UserError, match="no part 'scorer'"):
        bundle.part("cpu-fp32", "scorer")


def test_a_link_to_the_folder_itself_is_followed(toy: Path) -> None:
    link = toy.with_name("current")
    link.symlink_to(toy)
    assert Bundle.open(link).path == toy


def test_it_is_an_onnx_runtime_model_package(toy: Path) -> None:
    context = onnxruntime.ModelPackageContext(str(toy))
    assert context.get_component_names() == ["model"]
    assert sorted(context.get_variant_names("model")) == ["cpu-fp32", "cpu-int8"]
    options = onnxruntime.ModelPackageOptions(onnxruntime.SessionOptions())
    chosen = context.select_component("model", options)
    assert chosen.get_selected_variant_name() == "cpu-fp32"
    session = chosen.create_session(None)
    assert [value.name for value in session.get_inputs()] == ["x"]


@pytest.mark.parametrize(
    "name",
    [
        "seqvae.json",
        "manifest.json",
        "README.md",
        "golden.json",
        "tokenizer/pieces.json",
        "tokenizer/tokenizer.model",
        "cpu-fp32/model.onnx",
        "cpu-int8/parts.data",
    ],
)
def test_every_flipped_byte_is_found(toy: Path, name: str) -> None:
    path = toy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="toy"):
        Bundle.open(toy)


def test_without_verify_bytes_are_trusted_but_sizes_are_not(toy: Path) -> None:
    path = toy / "cpu-fp32" / "parts.data"
    path.write_bytes(bytes(8))
    Bundle.open(toy, verify=False)
    path.write_bytes(bytes(9))
    with pytest.raises(UserError, match=r"parts\.data: 9 bytes instead of 8"):
        Bundle.open(toy, verify=False)


def test_a_missing_file(toy: Path) -> None:
    (toy / "cpu-fp32" / "parts.data").unlink()
    with pytest.raises(UserError, match=r"parts\.data: missing"):
        Bundle.open(toy)


def test_an_extra_file_or_folder(toy: Path) -> None:
    (toy / "cpu-fp32" / "extra").mkdir()
    with pytest.raises(UserError, match="empty folder"):
        Bundle.open(toy)
    (toy / "cpu-fp32" / "extra" / "libevil.so").write_bytes(b"x")
    with pytest.raises(UserError, match=r"extra/libevil\.so: not listed"):
        Bundle.open(toy)


def test_links_and_pipes(toy: Path, tmp_path: Path) -> None:
    target = toy / "README.md"
    outside = tmp_path / "outside"
    outside.write_bytes(target.read_bytes())
    target.unlink()
    target.symlink_to(outside)
    with pytest.raises(UserError, match=r"README\.md: a link"):
        Bundle.open(toy)
    target.unlink()
    os.mkfifo(target)
    with pytest.raises(UserError, match=r"README\.md: a link or a special file"):
        Bundle.open(toy)


@pytest.mark.parametrize("make_other", [os.mkfifo, lambda p: p.symlink_to("/dev/zero")])
def test_the_document_itself_may_be_no_link_nor_pipe(
    toy: Path, make_other: Callable[[Path], None]
) -> None:
    (toy / "seqvae.json").unlink()
    make_other(toy / "seqvae.json")
    with pytest.raises(UserError, match="not a plain file"):
        Bundle.open(toy)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/passwd",
        "cpu-fp32/../../outside",
        "cpu-fp32\\..\\..\\outside",
        "C:/outside",
        "a\0b",
        "NUL",
        "cpu-fp32/con.txt",
        "./README.md",
        "a//b",
        ".hidden",
        "trailing.",
        "",
        "a" * 200,
        "a/b/c/d/e",
        "seqvae.json",
        "readme.md",
        "e\u0301",
    ],
)
def test_no_listed_path_leaves_the_folder_or_means_two_things(toy: Path, name: str) -> None:
    record = {"sha256": "0" * 64, "bytes": 1}
    edit(toy, lambda d: d["files"].update({name: record}))
    with pytest.raises(UserError, match=r"seqvae\.json: files"):
        Bundle.open(toy)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["components"]["model"]["variants"]["cpu-fp32"]["executor_info"]["ort"].update(
            model_file="../../outside.onnx"
        ),
        lambda d: d["components"].update(other={}),
        lambda d: d.update(schema_version="2.0"),
    ],
)
def test_the_package_manifest_describes_this_bundle(
    toy: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    document = json.loads((toy / "manifest.json").read_text())
    change(document)
    replace(toy, "manifest.json", json.dumps(document).encode())
    with pytest.raises(UserError, match=r"manifest\.json: it does not describe this bundle"):
        Bundle.open(toy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=2), "format is 2"),
        (lambda d: d.update(format=True), "format is True"),
        (lambda d: d.pop("format"), "format is 'absent'"),
        (lambda d: d.pop("opset"), "opset is 'absent'"),
        (lambda d: d.update(code="rm"), "code is 'unknown'"),
        (lambda d: d.update(kind="video"), "kind is 'video'"),
        (lambda d: d.update(vocabulary=10**30), "vocabulary is 1000"),
        (lambda d: d.update(vocabulary=-1), "vocabulary is -1"),
        (lambda d: d.update(latent=1e9), "latent is 1000000000.0"),
        (lambda d: d.update(labels="abc"), "labels is 'abc'"),
        (lambda d: d.update(tasks=[1]), "tasks is 1"),
        (lambda d: d.update(default_variant="x"), "default_variant is 'x'"),
        (lambda d: d["variants"].update(evil=d["variants"]["cpu-fp32"]), "known variants"),
        (lambda d: d["variants"]["cpu-fp32"].update(parts=["../x"]), "parts is"),
        (lambda d: d["variants"]["cpu-fp32"].update(parts=["model", "step"]), "step.onnx"),
        (lambda d: d["variants"]["cpu-fp32"].update(provider="cuda"), "provider is 'cuda'"),
        (lambda d: d["variants"]["cpu-fp32"].update(bytes=1 << 80), "bytes is"),
        (lambda d: d["files"]["README.md"].update(bytes=10**30), "bytes is 1000"),
        (lambda d: d["files"]["README.md"].update(bytes=-1), "bytes is -1"),
        (lambda d: d["files"]["README.md"].update(sha256="AB"), "sha256 is 'AB'"),
        (lambda d: d["files"].update({f"f{i}": {} for i in range(1001)}), "more than 1000"),
        (lambda d: d["options"].update(shell=d["options"]["seed"]), "not an option"),
        (lambda d: d["options"]["seed"].update(low="0"), "low is '0'"),
        (lambda d: d["options"]["seed"].update(high=10**400), "high is"),
        (lambda d: d["special"].update(pad=None), "pad"),
        (lambda d: d.update(source=[]), "source is"),
    ],
)
def test_every_field_is_checked(
    toy: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    edit(toy, change)
    with pytest.raises(UserError, match=message) as caught:
        Bundle.open(toy)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"format": 1, "format": 2}',
        b'{"format": NaN, "seqvae": "0"}',
        b'{"format": ' + b"9" * 5000 + b"}",
    ],
)
def test_odd_documents(toy: Path, content: bytes) -> None:
    (toy / "seqvae.json").write_bytes(content)
    with pytest.raises(UserError, match=r"seqvae\.json"):
        Bundle.open(toy)


def test_a_truncated_document(toy: Path) -> None:
    path = toy / "seqvae.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="not JSON of a bundle"):
        Bundle.open(toy)


def test_a_huge_document_is_not_read(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (toy / "seqvae.json").open("r+b") as stream:
        stream.truncate(1 << 40)  # sparse: a terabyte that takes no space
    monkeypatch.setattr(bundle_manifest, "MAX_DOCUMENT", 1 << 20)
    with pytest.raises(UserError, match="larger than 1,048,576 bytes"):
        Bundle.open(toy)


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("tokenizer/pieces.json", b"[1, 2]", lambda b: b.pieces),
        ("tokenizer/pieces.json", b'["a"]', lambda b: b.pieces),
        ("golden.json", b"[]", lambda b: b.golden),
        ("golden.json", b'{"rows": [{"name": 1}]}', lambda b: b.golden),
        ("golden.json", b'{"rows": [[]]}', lambda b: b.golden),
    ],
)
def test_odd_contents(
    toy: Path, name: str, content: bytes, read: Callable[[Bundle], object]
) -> None:
    replace(toy, name, content)
    with pytest.raises(UserError, match="export again"):
        read(Bundle.open(toy))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_change_of_a_document_causes_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A value somewhere in a JSON file becomes another one: it opens, or `UserError` says why not."""
    root = tmp_path_factory.getbasetemp() / "changed"
    if not root.exists():
        make(root)
        (root.parent / "originals").mkdir()
        for name in ("seqvae.json", "manifest.json", "golden.json"):
            shutil.copy(root / name, root.parent / "originals")
    for path in (root.parent / "originals").iterdir():
        shutil.copy(path, root)
    name = data.draw(st.sampled_from(["seqvae.json", "manifest.json", "golden.json"]))
    document = json.loads((root / name).read_text())
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(VALUES)
    content = json.dumps(document).encode()
    if name == "seqvae.json":
        (root / name).write_bytes(content)
    else:
        replace(root, name, content)
    try:
        bundle = Bundle.open(root)
        assert bundle.variant() and bundle.pieces and bundle.golden is not None
    except UserError as error:
        assert len(str(error)) < 2000


@pytest.mark.parametrize("where", ["nothing", "file", "empty"])
def test_not_a_bundle(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="seqvae export"):
        Bundle.open(tmp_path / where)
