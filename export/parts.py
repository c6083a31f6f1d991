"""The parts of a text model as ONNX graphs: encoder, prior, start, step and scorer.

| part | inputs | outputs |
|---|---|---|
| encoder | ids int64 [B, T], lengths int64 [B] | mean, log_variance float32 [B, D] |
| prior | seed, sample int64 [B, 1] | z [B, D] |
| density | z [N, D] | log_prob [N] of the prior in nats; only where that is not the standard normal |
| start | z [B, D] (a language model: rows int64 [B, 1], of which only the number counts) | cond_*, kv_* or h_0 |
| step | token int64 [B, 1], position int64 [], cond_*, kv_* or h_0 | logits [B, V], n_kv_* or n_h_0 |
| scorer | ids [B, T], lengths [B], z [B, D] | surprisal [B, T - 1] in nats, 0 on padding |

A language model has no encoder and no prior, and its scorer no z.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seqvae.data.text import BOS
from seqvae.decoders.recurrent import GruDecoder
from seqvae.decoders.transformer import TransformerDecoder
from seqvae.encoders.recurrent import GruEncoder
from seqvae.encoders.transformer import TransformerEncoder
from seqvae.errors import UserError
from seqvae.export import parts_attention, parts_prior, parts_recurrent, parts_transformer
from seqvae.export.onnx_export import check_opset, export_module
from seqvae.likelihoods.categorical import CategoricalLikelihood
from seqvae.model import SequenceVAE
from seqvae.posteriors.gaussian import GaussianNetwork

if TYPE_CHECKING:
    import onnx

_ROWS, _STEPS = 3, 5
_ATTENTION = 23
"""First opset with Attention."""


def export_parts(
    model: SequenceVAE, *, opset: int = 20, fused_attention: bool = False
) -> "dict[str, onnx.ModelProto]":
    """All parts of a model, their weights inside.

    Args:
        model: over tokens.
        opset: version of ONNX's operators.
        fused_attention: let the step of a Transformer attend by ONNX's own Attention operator. It is
            younger than the operators it replaces, and runtimes differ in it: off unless asked for.

    Raises:
        UserError: the opset is not known or has no Attention, or the model has a part that no graph
            is written for.
    """
    check_opset(opset)
    if fused_attention and opset < _ATTENTION:
        raise UserError(
            f"fused_attention needs opset {_ATTENTION} or more, for ONNX's Attention; opset is {opset}"
        )
    parts = {}
    if model.latent is not None:
        parts["encoder"] = _encoder(model, opset)
        parts |= parts_prior.export(model.latent.prior, opset)
    parts["start"], parts["step"] = _start_and_step(model, opset, fused_attention)
    parts["scorer"] = _scorer(model, opset)
    return parts


def step_state(model: SequenceVAE) -> tuple[list[str], list[str]]:
    """Names of the constants and of the caches that `start` makes and `step` takes."""
    return state_names(model.decoder, model.latent is not None)


def state_names(decoder: nn.Module, latent: bool) -> tuple[list[str], list[str]]:
    """`step_state` of a decoder of steps that is told a vector, or not."""
    if isinstance(decoder, TransformerDecoder):
        return parts_transformer.names(decoder, latent)
    return (["cond_0"] if latent else []), ["h_0"]


class _Encoder(nn.Module):
    def __init__(self, model: SequenceVAE) -> None:
        super().__init__()
        latent = model.need_latent()
        self.embed = model.likelihood.embed if latent.embedding is None else latent.embedding
        self.kept = nn.ModuleList([model.likelihood])
        if not isinstance(latent.posterior, GaussianNetwork):
            name = type(latent.posterior).__name__.removesuffix("Network")
            raise UserError(
                f"export: no graph is written for the posterior {name}; train with gaussian"
            )
        self.posterior = latent.posterior
        self.encoder = summary_of(latent.encoder)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        posterior = self.posterior(self.encoder(self.embed(ids), lengths))
        return posterior.mean, posterior.log_variance


def _encoder(model: SequenceVAE, opset: int) -> "onnx.ModelProto":
    inputs = {"ids": torch.full((_ROWS, _STEPS), BOS), "lengths": torch.tensor([5, 2, 4])}
    dynamic = {"ids": {0: "B", 1: "T"}, "lengths": {0: "B"}}
    outputs = ["mean", "log_variance"]
    return export_module(_Encoder(model), inputs, outputs, dynamic, opset=opset)


class _Begin(nn.Module):
    """The start of a language model: empty caches, or states of zeros, for each row."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        decoder = self.decoder
        if isinstance(decoder, TransformerDecoder):
            caches = [parts_transformer.empty_cache(rows, decoder) for _ in range(decoder.layers)]
            return tuple(tensor for cache in caches for tensor in cache)
        assert isinstance(decoder, GruDecoder)
        return (torch.zeros(rows.shape[0], decoder.layers, decoder.width),)


def _start_and_step(
    model: SequenceVAE, opset: int, fused: bool
) -> "tuple[onnx.ModelProto, onnx.ModelProto]":
    decoder, likelihood, latent = model.decoder, _likelihood(model), model.latent
    start: nn.Module
    step: nn.Module
    if isinstance(decoder, TransformerDecoder):
        step = parts_transformer.Step(decoder, likelihood, latent is not None, fused)
        start = parts_transformer.Start(decoder) if latent else _Begin(decoder)
    elif isinstance(decoder, GruDecoder):
        step = parts_recurrent.Step(decoder, likelihood)
        start = parts_recurrent.Start(decoder) if latent else _Begin(decoder)
    else:
        raise UserError(f"export: no graph is written for the decoder {type(decoder).__name__}")
    constants, caches = step_state(model)
    z = (
        {"rows": torch.zeros(_ROWS, 1, dtype=torch.int64)}
        if latent is None
        else {"z": torch.randn(_ROWS, latent.dimension)}
    )
    rows = {name: {0: "B"} for name in z}
    first = export_module(start, z, [*constants, *caches], rows, opset=opset)
    with torch.no_grad():
        made = start(*z.values())
    state = dict(zip([*constants, *caches], made, strict=True))
    dynamic = {"token": {0: "B"}, **{name: {0: "B"} for name in state}}
    if isinstance(decoder, TransformerDecoder):
        for name in caches:
            batch, heads, _, width = state[name].shape
            state[name] = torch.randn(batch, heads, _STEPS, width)
            dynamic[name] = {0: "B", 2: "S"}
    inputs = {"token": torch.full((_ROWS, 1), BOS), "position": torch.tensor(1), **state}
    outputs = ["logits", *(f"n_{name}" for name in caches)]
    return first, export_module(step, inputs, outputs, dynamic, opset=opset)


class _Scorer(nn.Module):
    """Surprisals of the steps of given texts."""

    def __init__(self, model: SequenceVAE) -> None:
        super().__init__()
        self.likelihood = _likelihood(model)
        self.decoder = states_of(model.decoder)

    def forward(self, ids: Tensor, lengths: Tensor, *z: Tensor) -> Tensor:
        states = self.decoder(self.likelihood.embed(ids[:, :-1]), z[0] if z else None)
        logits = self.likelihood.logits(states)
        chosen = logits.gather(2, ids[:, 1:, None])
        nll = (logits.logsumexp(2, keepdim=True) - chosen).squeeze(2)
        real = torch.arange(ids.shape[1] - 1, device=ids.device)[None] < lengths[:, None] - 1
        return torch.where(real, nll, 0.0)


def _scorer(model: SequenceVAE, opset: int) -> "onnx.ModelProto":
    inputs = {"ids": torch.full((_ROWS, _STEPS), BOS), "lengths": torch.tensor([5, 2, 4])}
    dynamic = {"ids": {0: "B", 1: "T"}, "lengths": {0: "B"}}
    if model.latent is not None:
        inputs["z"] = torch.randn(_ROWS, model.latent.dimension)
        dynamic["z"] = {0: "B"}
    return export_module(_Scorer(model), inputs, ["surprisal"], dynamic, opset=opset)


def summary_of(encoder: nn.Module) -> nn.Module:
    """An encoder over embedded steps for the exporter: x [B, T, E], lengths [B] -> [B, H].

    Raises:
        UserError: no graph is written for it.
    """
    if isinstance(encoder, TransformerEncoder):
        return parts_attention.Summary(encoder)
    if isinstance(encoder, GruEncoder):
        return parts_recurrent.Summary(encoder)
    raise UserError(f"export: no graph is written for the encoder {type(encoder).__name__}")


def states_of(decoder: nn.Module) -> nn.Module:
    """A decoder over all steps at once for the exporter: x [B, T, H], z [B, D] or None -> [B, T, H].

    Raises:
        UserError: no graph is written for it.
    """
    if isinstance(decoder, TransformerDecoder):
        return parts_attention.States(decoder)
    if isinstance(decoder, GruDecoder):
        return parts_recurrent.States(decoder)
    raise UserError(f"export: no graph is written for the decoder {type(decoder).__name__}")


def _likelihood(model: SequenceVAE) -> CategoricalLikelihood:
    if not isinstance(model.likelihood, CategoricalLikelihood):
        raise UserError(
            f"export: no graph is written for the likelihood {type(model.likelihood).__name__}"
        )
    return model.likelihood
