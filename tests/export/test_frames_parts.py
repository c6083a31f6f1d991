"""Every network of frames against its graphs in ONNX Runtime: alone, in a batch of many lengths, under another label."""

from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import onnx
import pytest
import torch

from seqvae import decoders, encoders
from seqvae.config_frames import Frames
from seqvae.decoders import DecoderChoice, FilmConv
from seqvae.encoders import EncoderChoice, StyleChoice, StyleConv
from seqvae.errors import UserError
from seqvae.export.bundle_frames import facts_of_frames
from seqvae.export.frames_golden import compared_cases
from seqvae.export.frames_parts import export_frames_parts
from seqvae.export.frames_verify import ERROR, ERRORS, frames_error, latent_error, verify_frames
from seqvae.export.frames_whole import FramesIngredients, build_frames_graphs
from seqvae.export.graphs import Graph
from seqvae.likelihoods import Bernoulli, Laplace, Normal, SeriesLikelihoodChoice
from seqvae.posteriors import LowRank
from seqvae.priors import Mixture
from seqvae.tasks.frames_model import FramesModel
from tests.export.framed import CONDITIONAL, LABELS, SMALL, frames_model

DECODERS: list[tuple[DecoderChoice | FilmConv, bool, bool]] = [
    (decoders.Gru(layers=2, width=8), False, True),
    (decoders.Gru(layers=1, width=8, injection="skip"), True, False),
    (decoders.Transformer(layers=2, width=8, heads=2), False, False),
    (decoders.Transformer(layers=1, width=8, heads=2), True, True),
    (FilmConv(width=8, layers=1, fine_width=6), False, True),
    (decoders.Transformer(layers=2, width=8, heads=2, injection="product", rank=3), True, False),
]
"""Each in the ways that there are: whether it reads the frames before, and whether the model is conditional."""
ENCODERS: list[EncoderChoice | StyleChoice] = [
    encoders.Gru(width=8, pooling="last"),
    encoders.Transformer(layers=1, width=8, heads=2),
    StyleConv(width=8, layers=1),
]
LIKELIHOODS: list[SeriesLikelihoodChoice] = [
    Bernoulli(),
    Laplace(),
    Normal(),
    Bernoulli(continuous=True),
    Normal(0.5),
]


def config(number: int) -> Frames:
    decoder, autoregressive, conditional = DECODERS[number]
    return replace(
        SMALL,
        encoder=ENCODERS[number % len(ENCODERS)],
        decoder=decoder,
        autoregressive=autoregressive,
        likelihood=LIKELIHOODS[number % len(LIKELIHOODS)],
        conditional=conditional,
    )


def test_every_choice_is_among_what_is_tried() -> None:
    choices = get_type_hints(Frames)
    for tried, name in (
        ([decoder for decoder, _, _ in DECODERS], "decoder"),
        (ENCODERS, "encoder"),
        (LIKELIHOODS, "likelihood"),
    ):
        assert {type(one) for one in tried} == {*get_args(choices[name])}


def write(model: FramesModel, folder: Path, opset: int = 20) -> Path:
    """Every graph of a model, in a folder."""
    made_of = FramesIngredients(
        export_frames_parts(model.model, opset=opset),
        facts_of_frames(model.features, model.longest, model.info),
        model.model.need_latent().dimension,
        LABELS if model.conditional else (),
        opset,
    )
    for name, graph in build_frames_graphs(made_of).items():
        onnx.checker.check_model(graph)
        onnx.save(graph, folder / f"{name}.onnx")
    return folder


@pytest.mark.parametrize("number", range(len(DECODERS)))
def test_graphs_write_what_pytorch_writes(number: int, tmp_path: Path) -> None:
    model = frames_model(config(number))
    cases = compared_cases(model)
    # Odd and even lengths, a single frame, noise around z, and another label.
    assert {len(case.frames) for case in cases} == {1, 2, 4, 6, 7}
    report = verify_frames(model, write(model, tmp_path), cases)
    assert report.failures == []
    assert max(report.figures[name] for name in ERRORS) < ERROR / 5
    assert {path.stem for path in tmp_path.iterdir()} == {"model", "encoder", "decoder", "generate"}


@pytest.mark.parametrize(
    ("opset", "wanted"),
    [
        (18, replace(SMALL, prior=Mixture(components=4))),
        (23, replace(SMALL, encoder=ENCODERS[1], decoder=DECODERS[3][0])),
    ],
    ids=["oldest, a learned prior", "with its own Attention"],
)
def test_other_opsets(opset: int, wanted: Frames, tmp_path: Path) -> None:
    model = frames_model(wanted)
    report = verify_frames(model, write(model, tmp_path, opset), compared_cases(model))
    assert report.failures == []


def test_sequences_of_one_frame(tmp_path: Path) -> None:
    """A plain vector: the exporter would take a size of 1 for a constant."""
    encoder = encoders.Transformer(layers=1, width=8, heads=2)
    decoder = decoders.Transformer(layers=1, width=8, heads=2)
    wanted = replace(SMALL, encoder=encoder, decoder=decoder, autoregressive=True)
    model = frames_model(wanted, longest=1)
    report = verify_frames(model, write(model, tmp_path), compared_cases(model))
    assert report.failures == []


def test_what_differs_is_seen_and_what_is_wrong_is_refused(tmp_path: Path) -> None:
    model = frames_model(CONDITIONAL)
    write(model, tmp_path)
    with torch.no_grad():
        model.model.likelihood.get_parameter("output.bias")[0] += 0.01
    said = " ".join(verify_frames(model, tmp_path, compared_cases(model)).failures)
    assert all(name in said for name in ("frames_error", "decoder_error", "generate_error"))
    graph = Graph(tmp_path / "model.onnx")
    frames = np.zeros((2, 3, 3), np.float32)
    for feed, said in (
        ({"label": np.array([0, 3])}, "out of data bounds"),
        ({"label": np.array([0, -1])}, "out of data bounds"),
        ({"label": np.array([0, 1]), "target": np.array([0, 1, 2])}, "target has 1 number or one"),
        (
            {"label": np.array([0, 1]), "frames": np.zeros((2, 8, 3), np.float32)},
            "at most 7 frames",
        ),
    ):
        with pytest.raises(Exception, match=said):
            graph.run({"frames": frames} | feed)


def test_what_has_no_graph_is_said() -> None:
    with pytest.raises(UserError, match="posterior LowRank; train with gaussian"):
        export_frames_parts(frames_model(replace(SMALL, posterior=LowRank(5))).model)
    plain = replace(SMALL, autoregressive=True).build(3, 4, latent=False)
    with pytest.raises(UserError, match="without a latent"):
        export_frames_parts(plain)
    with pytest.raises(UserError, match="opset is 7"):
        export_frames_parts(frames_model().model, opset=7)


def test_errors_are_relative_to_what_there_is_to_say() -> None:
    mean = np.array([1000.0, -5.0], np.float32)
    wanted = mean + np.random.default_rng(0).normal(0, 1, (50, 2)).astype(np.float32)
    # A thousandth of how far they are from the mean, though a millionth of the numbers.
    assert frames_error(wanted + np.float32(1e-3) * (wanted - mean), wanted, mean) > 2e-4
    # What float32 cannot say of them is no error.
    assert frames_error(np.nextafter(wanted, np.float32(np.inf)), wanted, mean) < 2e-5
    assert frames_error(wanted[:3], wanted, mean) == np.inf
    assert frames_error(wanted * np.nan, wanted, mean) == np.inf
    zeros = np.zeros(4, np.float32)
    assert latent_error(zeros + np.float32(1e-6), zeros) == pytest.approx(1e-6)
