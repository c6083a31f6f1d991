"""Opening an engine: which variant, where it computes, what is refused."""

from pathlib import Path
from typing import Any, Literal

import pytest

from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_manifest import VARIANTS, Variant
from seqvae.serving import engine as module
from seqvae.serving import runtime
from seqvae.serving.engine import Engine
from seqvae.serving.options import Row
from seqvae.tasks.text_model import TextModel
from tests.serving.torch_graphs import PARTS, TorchGraphs, bundle_of


def open_with(
    model: TextModel,
    folder: Path,
    variants: tuple[str, ...],
    provider: Literal["cpu", "cuda"],
    variant: str | None = None,
) -> tuple[Engine, dict[str, Any]]:
    """An engine on a bundle of several variants, and what its sessions were asked for."""
    bundle = bundle_of(model, folder)
    made = {name: Variant(*VARIANTS[name][:2], tuple(PARTS), 1, {}) for name in variants}
    facts = vars(bundle) | {"variants": made, "default_variant": variants[0]}
    pieces = facts.pop("pieces")
    bundle = Bundle(**facts)
    vars(bundle)["pieces"] = pieces
    asked: dict[str, Any] = {}

    def sessions(paths: dict[str, Path], **settings: object) -> TorchGraphs:
        asked.update(settings, paths=paths)
        return TorchGraphs(model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Sessions", sessions)
        patch.setattr(runtime, "resolve", lambda _: provider)
        return Engine(bundle, variant=variant, threads=2), asked


@pytest.mark.parametrize(
    ("variants", "provider", "chosen"),
    [
        (("cpu-fp32",), "cpu", "cpu-fp32"),
        (("cpu-int8", "cpu-fp32", "cuda-fp16"), "cpu", "cpu-int8"),
        (("cpu-fp32", "cpu-int8", "cuda-fp16"), "cuda", "cuda-fp16"),
        (("cuda-fp16", "cpu-fp32"), "cpu", "cpu-fp32"),
        (("cpu-fp32", "cpu-int8"), "cuda", "cpu-fp32"),  # none is made for it: the default runs
        (("cuda-fp16",), "cpu", "cuda-fp16"),
    ],
)
def test_the_variant_made_for_the_machine(
    text_model: TextModel,
    tmp_path: Path,
    variants: tuple[str, ...],
    provider: Literal["cpu", "cuda"],
    chosen: str,
) -> None:
    engine, asked = open_with(text_model, tmp_path, variants, provider)
    assert (engine.variant, engine.provider) == (chosen, provider)
    assert (asked["provider"], asked["threads"], asked["extensions"]) == (provider, 2, True)
    assert asked["paths"]["model"] == tmp_path / chosen / "model.onnx"


def test_the_variant_asked_for(text_model: TextModel, tmp_path: Path) -> None:
    both = ("cpu-fp32", "cpu-int8")
    engine, _ = open_with(text_model, tmp_path, both, "cpu", "cpu-int8")
    assert engine.variant == "cpu-int8"
    with pytest.raises(UserError, match="no variant 'gpu'; it has cpu-fp32, cpu-int8"):
        open_with(text_model, tmp_path, both, "cpu", "gpu")


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Engine(tmp_path / "absent")
    with pytest.raises(UserError, match=r"seqvae\.json"):
        Engine(tmp_path)


def test_a_closed_engine_works_again(text_model: TextModel, tmp_path: Path) -> None:
    engine, _ = open_with(text_model, tmp_path, ("cpu-fp32",), "cpu")
    with engine as same:
        assert same is engine
        wanted = engine.generate([Row("the cat")])
    assert engine.generate([Row("the cat")]) == wanted
