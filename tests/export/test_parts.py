"""The parts of a model against the model, in ONNX Runtime."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from seqvae import decoders, encoders
from seqvae.batch import Batch
from seqvae.config import Model
from seqvae.data.text import BOS, EOS, PAD
from seqvae.export.parts import export_parts, step_state
from seqvae.model import SequenceVAE
from seqvae.ops import normal
from seqvae.posteriors import Gaussian

onnxruntime = pytest.importorskip("onnxruntime")

VOCABULARY = 50
SMALL = Model(
    encoder=encoders.Transformer(layers=2, width=16, heads=2),
    posterior=Gaussian(dimension=6),
    decoder=decoders.Transformer(layers=2, width=16, heads=2),
    max_length=24,
)
GRU = decoders.Gru(layers=2, width=16)
CHOICES = {
    "default": SMALL,
    "wide encoder, max pooling": replace(
        SMALL, encoder=encoders.Transformer(layers=1, width=32, heads=2, pooling="max")
    ),
    "own embedding, attention pooling, no prefix, added": replace(
        SMALL,
        share_embedding=False,
        encoder=encoders.Transformer(layers=1, width=16, heads=2, pooling="attention"),
        decoder=decoders.Transformer(layers=1, width=16, heads=2, prefix=0, embedding_add=True),
    ),
    "last state, no film, normalised means": replace(
        SMALL,
        encoder=encoders.Transformer(layers=1, width=16, heads=2, pooling="last"),
        posterior=Gaussian(dimension=6, batch_norm=0.6),
        decoder=decoders.Transformer(layers=1, width=16, heads=2, film=False),
    ),
    "two GRUs": replace(
        SMALL, encoder=encoders.Gru(layers=2, width=16, pooling="mean_max"), decoder=GRU
    ),
    "one-way GRU, one-layer Transformer": replace(
        SMALL,
        encoder=encoders.Gru(layers=1, width=16, bidirectional=False, pooling="last"),
        decoder=decoders.Transformer(layers=1, width=16, heads=2),
    ),
    "last states of a GRU": replace(
        SMALL, encoder=encoders.Gru(layers=1, width=16, pooling="last"), decoder=GRU
    ),
    **{
        f"z enters by {decoder.injection} alone": replace(SMALL, decoder=decoder)
        for decoder in (
            decoders.Transformer(layers=2, width=16, heads=2, injection="film"),
            decoders.Transformer(layers=2, width=16, heads=2, injection="prefix"),
            decoders.Transformer(layers=2, width=16, heads=2, injection="embedding"),
            decoders.Transformer(layers=2, width=16, heads=2, injection="softmax"),
            decoders.Transformer(layers=2, width=16, heads=2, injection="product"),
        )
    },
    "each level of z enters a block of its own": replace(
        SMALL, decoder=decoders.Transformer(layers=2, width=16, heads=2, levels=2)
    ),
    "z is added to a GRU's inputs": replace(SMALL, decoder=replace(GRU, injection="embedding")),
    "z is added to a GRU's states": replace(SMALL, decoder=replace(GRU, injection="softmax")),
    "z also skips a GRU": replace(SMALL, decoder=replace(GRU, injection="skip")),
}


def built(config: Model, *, latent: bool = True) -> SequenceVAE:
    torch.manual_seed(3)
    model = config.build(VOCABULARY, latent=latent)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # As built, biases are zero and the latent hardly matters.
            parameter.add_(torch.randn_like(parameter) * (0.3 if "film" in name else 0.05))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None
            module.running_mean.normal_()
    return model.eval()


def batch() -> Batch:
    """Rows of 10, 7 and 3 pieces and of none."""
    generator = torch.Generator().manual_seed(1)
    values = torch.full((4, 12), PAD)
    lengths = torch.tensor([12, 9, 5, 2])
    for row, length in enumerate(lengths.tolist()):
        values[row, :length] = torch.randint(5, VOCABULARY, (length,), generator=generator)
        values[row, 0], values[row, length - 1] = BOS, EOS
    return Batch(values, lengths)


def run(part: "onnx.ModelProto", feeds: Mapping[str, Tensor]) -> list[Tensor]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(part.SerializeToString(), options)
    outputs = session.run(None, {name: x.numpy() for name, x in feeds.items()})
    return [torch.from_numpy(np.asarray(x)) for x in outputs]


def close(found: Tensor, true: Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == true.shape
    assert float((found - true).norm()) <= tolerance * float(true.norm())


@torch.no_grad()
def check(model: SequenceVAE, opset: int = 20) -> None:
    parts = export_parts(model, opset=opset)
    for part in parts.values():
        assert {entry.domain: entry.version for entry in part.opset_import} == {"": opset}
        # Fused operators are for those who ask for them.
        assert not any(node.op_type == "Attention" for node in part.graph.node)
    given = batch()
    z = None
    ids = {"ids": given.values, "lengths": given.lengths}
    if model.latent is not None:
        posterior = model.encode(given)
        mean, log_variance = run(parts["encoder"], ids)
        close(mean, posterior.mean)
        close(log_variance, posterior.log_variance)  # type: ignore[attr-defined]
        # A row alone is the row in a batch, padding and all.
        alone = {"ids": given.values[2:3, :5], "lengths": given.lengths[2:3]}
        torch.testing.assert_close(run(parts["encoder"], alone)[0], mean[2:3], atol=2e-6, rtol=0)
        numbers = torch.tensor([[3], [0]])
        seeds = torch.tensor([[-7], [-7]])
        drawn = run(parts["prior"], {"seed": seeds, "sample": numbers})[0]
        noise = normal(torch.tensor([-7]), (4, model.latent.dimension))
        torch.testing.assert_close(drawn, noise[[3, 0]], atol=1e-6, rtol=0)
        z = noise
    states = model.decode(given.values, z)
    logits = model.likelihood.logits(states)  # type: ignore[operator]
    nll = -logits.log_softmax(2).gather(2, given.values[:, 1:, None])[..., 0]
    real = torch.arange(11)[None] < given.lengths[:, None] - 1
    feeds = ids if z is None else {**ids, "z": z}
    close(run(parts["scorer"], feeds)[0], torch.where(real, nll, 0.0))

    constants, caches = step_state(model)
    first = {"rows": torch.zeros(4, 1, dtype=torch.int64)} if z is None else {"z": z}
    made = run(parts["start"], first)
    state = dict(zip([*constants, *caches], made, strict=True))
    for position in range(11):
        token = given.values[:, position : position + 1]
        found, *new = run(
            parts["step"], {"token": token, "position": torch.tensor(position), **state}
        )
        close(found, logits[:, position])
        state |= dict(zip(caches, new, strict=True))


@pytest.mark.parametrize("name", CHOICES)
def test_parts_compute_what_the_model_computes(name: str) -> None:
    check(built(CHOICES[name]))


@pytest.mark.parametrize("decoder", [SMALL.decoder, GRU], ids=["transformer", "gru"])
def test_parts_of_a_language_model(decoder: decoders.DecoderChoice) -> None:
    check(built(replace(SMALL, decoder=decoder), latent=False))


@pytest.mark.parametrize("opset", [18, 21, 23])
def test_other_opsets(opset: int) -> None:
    check(built(SMALL), opset)
