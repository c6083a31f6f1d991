"""What a model of frames computes, as the ONNX graphs of which all others are put together.

| part | inputs | outputs |
|---|---|---|
| encode | frames float32 [B, T, F], lengths int64 [B] | mean, log_variance float32 [B, D] |
| decode | z [B, D], lengths, real bool [B, T] | written [B, T, F]: a decoder that writes all frames at once |
| start | z | x [B, 1, H], cond_*, kv_* or h_0: of an autoregressive decoder |
| step | x, position int64 [], cond_*, kv_* or h_0 | frame [B, F], n_x, n_kv_* or n_h_0 |
| prior | seed, sample int64 [B, 1] | z [B, D]; only of a prior that is not the standard normal |

Of a conditional model encode, decode and start take `label`, int64 [B], too. What is written is what the likelihood
expects of a frame; both it and `frames` are in the corpus' own numbers.
"""

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seqvae.decoders.recurrent import GruDecoder
from seqvae.decoders.series import FILM_STRIDE, FilmSeries, StepSeries
from seqvae.decoders.transformer import TransformerDecoder
from seqvae.encoders.style import StyleEncoder
from seqvae.errors import UserError
from seqvae.export import parts_prior, parts_recurrent, parts_transformer
from seqvae.export.onnx_export import check_opset, export_module
from seqvae.export.parts import state_names, states_of, summary_of
from seqvae.export.readout import Bare
from seqvae.model_frames import FramesVAE
from seqvae.nn.conv import frame_mask
from seqvae.nn.rotary import Rotary
from seqvae.posteriors.gaussian import GaussianNetwork
from seqvae.priors.standard import StandardPrior

if TYPE_CHECKING:
    import onnx

    Graphs = dict[str, onnx.ModelProto]

_ROWS, _STEPS = 3, 5


def export_frames_parts(model: FramesVAE, *, opset: int = 20) -> "Graphs":
    """The parts, their weights inside.

    Args:
        model: with a latent.
        opset: version of ONNX's operators.

    Raises:
        UserError: the opset is not known, or the model has no latent or a part that no graph is written for.
    """
    check_opset(opset)
    if model.latent is None:
        raise UserError(
            "export: a run on frames without a latent (--latent none) has nothing to encode or decode; "
            "use it from Python, seqvae.load(RUN).sample"
        )
    prior = model.latent.prior
    model = _roomy(model)
    parts = {"encode": _encode(model, opset), **_decode(model, opset)}
    if not isinstance(prior, StandardPrior):
        parts["prior"] = parts_prior.export(prior, opset)["prior"]
    return parts


def _roomy(model: FramesVAE) -> FramesVAE:
    """The model, able to take the example: a size of 1 would be exported as a constant."""
    if model.decoder.longest >= _STEPS:
        return model
    made = copy.deepcopy(model)
    for module in list(made.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Rotary):
                setattr(module, name, Rotary(2 * child.cosine.shape[1], _STEPS))
    return made


def _label(model: FramesVAE) -> dict[str, Tensor]:
    """An example of the labels that a conditional model is told."""
    return {} if model.labels is None else {"label": torch.zeros(_ROWS, dtype=torch.int64)}


class _Encode(nn.Module):
    def __init__(self, model: FramesVAE) -> None:
        super().__init__()
        latent = model.need_latent()
        if not isinstance(latent.posterior, GaussianNetwork):
            name = type(latent.posterior).__name__.removesuffix("Network")
            raise UserError(
                f"export: no graph is written for the posterior {name}; train with gaussian"
            )
        self.likelihood, self.posterior = model.likelihood, latent.posterior
        self.labels, self.told = model.labels, model.told
        own = isinstance(latent.encoder, StyleEncoder)
        self.encoder = latent.encoder if own else summary_of(latent.encoder)

    def forward(
        self, frames: Tensor, lengths: Tensor, label: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        summary = self.encoder(self.likelihood.embed(frames), lengths)
        if self.told is not None:
            assert self.labels is not None and label is not None
            summary = summary + self.told(self.labels(label))
        posterior = self.posterior(summary)
        return posterior.mean, posterior.log_variance


def _encode(model: FramesVAE, opset: int) -> "onnx.ModelProto":
    frames = torch.randn(_ROWS, _STEPS, len(model.likelihood.mean_of_bins))
    inputs = {"frames": frames, "lengths": torch.tensor([5, 2, 4]), **_label(model)}
    dynamic = {"frames": {0: "B", 1: "T"}, "lengths": {0: "B"}, "label": {0: "B"}}
    outputs = ["mean", "log_variance"]
    return export_module(_Encode(model), inputs, outputs, dynamic, opset=opset)


class _Told(nn.Module):
    """z and the label's vector, side by side."""

    def __init__(self, model: FramesVAE) -> None:
        super().__init__()
        self.labels = model.labels

    def forward(self, z: Tensor, label: Tensor | None) -> Tensor:
        if self.labels is None:
            return z
        assert label is not None
        return torch.cat([z, self.labels(label)], -1)


class _Decode(nn.Module):
    """Frames of a decoder that follows from the vector and the places alone."""

    def __init__(self, model: FramesVAE) -> None:
        super().__init__()
        self.told, self.likelihood, self.series = _Told(model), model.likelihood, model.decoder
        if isinstance(model.decoder, StepSeries):
            self.states = states_of(model.decoder.decoder)

    def forward(
        self, z: Tensor, lengths: Tensor, real: Tensor, label: Tensor | None = None
    ) -> Tensor:
        vector, frames = self.told(z, label), real.shape[1]
        if isinstance(self.series, FilmSeries):
            states = self._film(self.series, vector, lengths, frames)
        else:
            assert isinstance(self.series, StepSeries)
            states = self.states(_places(self.series.places, frames, z), vector)
        return torch.where(real[..., None], self.likelihood.mean(states), 0.0)

    def _film(self, series: FilmSeries, vector: Tensor, lengths: Tensor, frames: int) -> Tensor:
        """`FilmSeries.forward`, sizes rounded up without negative numbers."""
        count = (frames + FILM_STRIDE - 1) // FILM_STRIDE
        mask = frame_mask((lengths + FILM_STRIDE - 1) // FILM_STRIDE, count)
        assert mask is not None
        places = _places(series.places, count, vector) * mask.transpose(1, 2)
        states: Tensor = series.decoder(places, vector, frames, None, lengths)
        return states


def _places(table: nn.Embedding, count: int, like: Tensor) -> Tensor:
    """The first vectors of a table for each row of `like`; by number, so that a runtime finds one too many."""
    found: Tensor = table(torch.arange(count, device=like.device))
    return found.expand(like.shape[0], -1, -1)


class _Start(nn.Module):
    """What stands before the first frame, and what the vector decides."""

    def __init__(self, model: FramesVAE, series: StepSeries) -> None:
        super().__init__()
        self.told, self.places = _Told(model), series.places
        self.start: nn.Module
        if isinstance(series.decoder, TransformerDecoder):
            self.start = parts_transformer.Start(series.decoder)
        else:
            assert isinstance(series.decoder, GruDecoder)
            self.start = parts_recurrent.Start(series.decoder)

    def forward(self, z: Tensor, label: Tensor | None = None) -> tuple[Tensor, ...]:
        first = self.places.weight[None].expand(z.shape[0], -1, -1)
        return (first + 0.0, *self.start(self.told(z, label)))


class _Step(nn.Module):
    """The next frame, and what is read of it for the one after."""

    def __init__(self, model: FramesVAE, series: StepSeries) -> None:
        super().__init__()
        assert series.input is not None
        self.likelihood, self.input = model.likelihood, series.input
        self.step: nn.Module
        if isinstance(series.decoder, TransformerDecoder):
            self.step = parts_transformer.Step(series.decoder, Bare(), latent=True)
        else:
            assert isinstance(series.decoder, GruDecoder)
            self.step = parts_recurrent.Step(series.decoder, Bare())

    def forward(self, x: Tensor, position: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        hidden, *after = self.step(x, position, *state)
        frame = self.likelihood.mean(hidden[:, None])
        return (frame[:, 0], self.input(self.likelihood.embed(frame)), *after)


def _decode(model: FramesVAE, opset: int) -> "Graphs":
    series, dimension = model.decoder, model.need_latent().dimension
    z = {"z": torch.randn(_ROWS, dimension)}
    rows = {"z": {0: "B"}, "label": {0: "B"}}
    if not (isinstance(series, StepSeries) and series.autoregressive):
        lengths = torch.tensor([5, 2, 4])
        real = torch.arange(_STEPS) < lengths[:, None]
        inputs = {**z, "lengths": lengths, "real": real, **_label(model)}
        axes = {**rows, "lengths": {0: "B"}, "real": {0: "B", 1: "T"}}
        return {"decode": export_module(_Decode(model), inputs, ["written"], axes, opset=opset)}
    start, step = _Start(model, series), _Step(model, series)
    constants, caches = state_names(series.decoder, latent=True)
    names = ["x", *constants, *caches]
    given = {**z, **_label(model)}
    first = export_module(start, given, names, rows, opset=opset)
    with torch.no_grad():
        state = dict(zip(names, start.eval()(*given.values()), strict=True))
    dynamic = {name: {0: "B"} for name in state}
    if isinstance(series.decoder, TransformerDecoder):
        for name in caches:
            batch, heads, _, width = state[name].shape
            state[name] = torch.randn(batch, heads, _STEPS, width)
            dynamic[name] = {0: "B", 2: "S"}
    inputs = {"x": state.pop("x"), "position": torch.tensor(1), **state}
    outputs = ["frame", "n_x", *(f"n_{name}" for name in caches)]
    return {"start": first, "step": export_module(step, inputs, outputs, dynamic, opset=opset)}
