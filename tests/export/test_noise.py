"""The noise in graphs is the noise of `seqvae.ops.philox`: bit-equal where it is integers."""

import pytest
import torch
from torch import Tensor, nn

from seqvae.export.noise import Normals, Uniforms, philox, quotient, to_uniform
from seqvae.ops.philox import normal, philox4x32, word_to_uniform
from seqvae.tasks.sampling import token_uniforms
from tests.export.running import OPSETS, Graph

SEEDS = [0, 1, 7, -1, -7, 2**31, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 0x123456789ABCDEF]
SAMPLES = [0, 1, 5, 2**16, 2**31 - 2]


def rows() -> tuple[Tensor, Tensor]:
    """Every seed with every sample, [B, 1] each."""
    pairs = [(seed, sample) for seed in SEEDS for sample in SAMPLES]
    both = torch.tensor(pairs)
    return both[:, :1].contiguous(), both[:, 1:].contiguous()


class Both(nn.Module):
    """Uniforms and normals: one export instead of two."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.uniforms, self.normals = Uniforms(), Normals(dimension)

    def forward(self, seed: Tensor, sample: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        return self.uniforms(seed, sample, steps), self.normals(seed, sample)


class Folded(nn.Module):
    """The float of a word."""

    def forward(self, word: Tensor) -> Tensor:
        return to_uniform(word)


@pytest.fixture(scope="module", params=OPSETS)
def graph(request: pytest.FixtureRequest) -> Graph:
    seed, sample = rows()
    inputs = {"seed": seed[:2], "sample": sample[:2], "steps": torch.tensor(6)}
    # Where four does not divide D, rows begin inside a block.
    dimension = 32 if request.param == 20 else 3
    dynamic = {"seed": {0: "B"}, "sample": {0: "B"}}
    return Graph(Both(dimension), inputs, ["u", "noise"], dynamic, request.param)


def true_noise(seed: Tensor, sample: Tensor, dimension: int) -> Tensor:
    """Elements sample * D to sample * D + D - 1 of the normals of each row's seed."""
    found = []
    for one, number in zip(seed[:, 0], sample[:, 0].tolist(), strict=True):
        first = number * dimension
        blocks = torch.arange(first // 4, (first + dimension + 3) // 4)
        u = [word_to_uniform(word) for word in philox4x32(one[None], blocks)]
        lanes = []
        for a, b in ((u[0], u[1]), (u[2], u[3])):
            radius = (-2 * a.clamp_min(1e-7).log()).sqrt()
            lanes += [radius * (2 * torch.pi * b).cos(), radius * (2 * torch.pi * b).sin()]
        found.append(torch.stack(lanes, -1).flatten()[first % 4 : first % 4 + dimension])
    return torch.stack(found)


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 5, 64, 255])
def test_uniforms_are_bit_equal(graph: Graph, steps: int) -> None:
    seed, sample = rows()
    u = graph(seed=seed, sample=sample, steps=torch.tensor(steps))[0]
    assert u.dtype == torch.float32
    wanted = token_uniforms(seed, sample[:, 0], 0, steps)
    assert torch.equal(u, wanted)
    assert torch.equal(Uniforms()(seed, sample, torch.tensor(steps)), wanted)


def test_normals_agree(graph: Graph) -> None:
    seed, sample = rows()
    found = graph(seed=seed, sample=sample, steps=torch.tensor(1))[1]
    wanted = true_noise(seed, sample, found.shape[1])
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 5, 31, 32])
def test_normals_of_any_size_agree_in_pytorch(dimension: int) -> None:
    seed, sample = rows()
    wanted = true_noise(seed, sample, dimension)
    torch.testing.assert_close(Normals(dimension)(seed, sample), wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("batch", [0, 1])
def test_any_batch_will_do(graph: Graph, batch: int) -> None:
    seed, sample = (part[7 : 7 + batch] for part in rows())
    found = graph(seed=seed, sample=sample, steps=torch.tensor(5))
    whole = graph(**dict(zip(("seed", "sample"), rows(), strict=True)), steps=torch.tensor(5))
    for alone, together in zip(found, whole, strict=True):
        assert torch.equal(alone, together[7 : 7 + batch])


def test_samples_of_z_are_those_of_the_prior(graph: Graph) -> None:
    sample = torch.arange(6)[:, None]
    found = graph(seed=torch.full((6, 1), -3), sample=sample, steps=torch.tensor(0))[1]
    wanted = normal(torch.tensor([-3]), (6, found.shape[1]))
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6)


def test_words_of_any_counter_are_bit_equal() -> None:
    counter = torch.tensor([0, 1, 2**32 - 1, 2**32, 2**40 + 3, 2**62])
    for seed in SEEDS:
        for stream in (0, 1, 2**31, 2**32 - 1):
            key = torch.tensor([[seed]])
            high = (counter >> 32)[None]
            found = philox(key, (counter & (2**32 - 1))[None], high, torch.full_like(high, stream))
            offset = torch.tensor(stream) << 32
            wanted = torch.stack(philox4x32(key, counter, offset), -1).flatten()
            assert torch.equal(found[0], wanted)


def test_no_product_is_negative_or_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every dividend is one of the sums of products, the largest numbers there are."""
    seen: list[Tensor] = []

    def watched(number: Tensor, divisor: int) -> Tensor:
        seen.append(number)
        return quotient(number, divisor)

    monkeypatch.setattr("seqvae.export.noise.quotient", watched)
    seed, sample = rows()
    Uniforms()(seed, sample, torch.tensor(64))
    exact, *products = seen
    assert int((exact % 2**32).abs().max()) == 0  # of the seed: exact, so its sign does not matter
    assert len(products) == 20
    assert min(int(p.min()) for p in products) >= 0
    assert 2**47 < max(int(p.max()) for p in products) < 2**50


def test_floats_of_words_round_alike_everywhere() -> None:
    edges = [0, 1, 2**24, 2**31, 2**32]
    near = torch.tensor([e + d for e in edges for d in range(-300, 300) if 0 <= e + d < 2**32])
    generator = torch.Generator().manual_seed(0)
    word = torch.cat([near, torch.randint(0, 2**32, (100_000,), generator=generator)])
    found = Graph(Folded(), {"word": word[:9]}, ["u"], {"word": {0: "N"}})(word=word)[0]
    assert torch.equal(found, word_to_uniform(word))
    assert torch.equal(to_uniform(word), word_to_uniform(word))


def test_the_graph_is_small(graph: Graph) -> None:
    """It runs once a text: each node costs half a microsecond or more."""
    assert sum(graph.nodes.values()) < 170 * len(graph.outputs)
    assert not {"Mod", "BitShift", "RandomNormal", "RandomUniform"} & set(graph.nodes)
