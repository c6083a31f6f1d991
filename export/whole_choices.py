"""The graphs that choose tokens and make noise, for one vocabulary, latent and beam."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.export import beam as beams
from seqvae.export.beam import BeamStep
from seqvae.export.choose import Greedy, Sampled, SampledAll
from seqvae.export.noise import Normals, Uniforms
from seqvae.export.onnx_export import export_module
from seqvae.export.stitch import NEXT

if TYPE_CHECKING:
    import onnx

# Examples for the exporter: each size differs from the others, and from those that are fixed.
_ROWS, _WRITTEN = 3, 5


def export_choices(
    vocabulary: int, latent: int, beam_size: int, *, opset: int = 20
) -> "dict[str, onnx.ModelProto]":
    """The graphs of `seqvae.export.choose`, `.beam` and `.noise` by name.

    Args:
        vocabulary: V.
        latent: D; 0 for a language model, which has no `normals`.
        beam_size: sequences kept by beam search.
        opset: version of ONNX's operators.

    Returns:
        `greedy`, `sampled_all`, `sampled`, `beam`, `uniforms` and `normals`; inputs and outputs are
        named after the arguments and results of the modules.

    Raises:
        UserError: the beam is wider than the vocabulary.
    """
    if not 1 <= beam_size <= vocabulary - 4:
        raise UserError(
            f"beam_size is {beam_size}; it must be 1 to {vocabulary - 4}, as many tokens may come"
        )
    rows = {0: "rows"}

    def export(
        module: nn.Module,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        fixed: Sequence[str] = (),
    ) -> "onnx.ModelProto":
        dynamic = {name: rows for name in inputs if name not in fixed}
        return export_module(module, inputs, outputs, dynamic, opset=opset)

    logits = torch.randn(_ROWS, vocabulary)
    column, whole = torch.rand(_ROWS, 1), torch.ones(_ROWS, 1, dtype=torch.int64)
    all_rows = {"logits": logits, "u": column, "temperature": column}
    filtered = all_rows | {"top_k": 2 * whole, "top_p": column}
    chosen = ("token", "log_prob")
    seeds = {"seed": whole, "sample": whole}
    made = {
        "greedy": export(Greedy(vocabulary), {"logits": logits}, chosen),
        "sampled_all": export(SampledAll(vocabulary), all_rows, chosen),
        "sampled": export(Sampled(vocabulary), filtered, chosen),
        "uniforms": export(
            Uniforms(), seeds | {"steps": torch.tensor(_WRITTEN)}, ("u",), ("steps",)
        ),
        "beam": _beam(vocabulary, beam_size, opset),
    }
    if latent:
        made["normals"] = export(Normals(latent), seeds, ("eps",))
    return made


def _beam(vocabulary: int, beam_size: int, opset: int) -> "onnx.ModelProto":
    module = BeamStep(vocabulary, beam_size)
    state = dict(zip(beams.STATE, module.start(_ROWS), strict=True))
    for name in ("history", "best_ids"):  # a size of 0 would be taken for a constant
        state[name] = torch.zeros(*state[name].shape[:-1], _WRITTEN, dtype=torch.int64)
    inputs = {
        "logits": torch.randn(_ROWS * beam_size, vocabulary),
        "position": torch.tensor(_WRITTEN),
        "length_penalty": torch.rand(_ROWS, 1),
        "max_length": torch.full((_ROWS, 1), 2 * _WRITTEN),
        **state,
    }
    dynamic = {name: {0: "rows"} for name in inputs if name not in ("logits", "position")}
    dynamic["logits"] = {0: "hypotheses"}
    dynamic["history"][2] = dynamic["best_ids"][1] = "written"
    outputs = ["token", "parent", *(NEXT + name for name in beams.STATE)]
    return export_module(module, inputs, outputs, dynamic, opset=opset)
