"""Tokens chosen by graphs are those that the tasks choose, and cost little."""

import functools

import pytest
import torch
from torch import Tensor, nn

from seqvae.data.text import BOS, EOS, PAD
from seqvae.export.choose import Greedy, Sampled, SampledAll
from seqvae.export.noise import Uniforms
from seqvae.model import SequenceVAE
from seqvae.ops import normal
from seqvae.tasks import sampling
from seqvae.tasks.decode import Decoding, generate, token_likelihood
from tests.export.running import OPSETS, Graph
from tests.tiny import LATENT, VOCABULARY, tiny_model

NAMES = ("logits", "u", "temperature", "top_k", "top_p")
WAYS = {"greedy": 1, "all": 3, "filtered": 5}  # how many of these each choice takes
Inputs = dict[str, Tensor]


class Everything(nn.Module):
    """The three choices: one export instead of three."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.ways = nn.ModuleList([Greedy(vocabulary), SampledAll(vocabulary), Sampled(vocabulary)])

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        pairs = zip(self.ways, WAYS.values(), strict=True)
        return tuple(part for way, count in pairs for part in way(*tensors[:count]))


def inputs(count: int, vocabulary: int = VOCABULARY, seed: int = 0) -> Inputs:
    """Rows with options of every kind, neighbours different."""
    generator = torch.Generator().manual_seed(seed)

    def one_of(values: list[float], stride: int) -> Tensor:
        return torch.tensor(values)[torch.arange(count) // stride % len(values)][:, None]

    logits = 3 * torch.randn(count, vocabulary, generator=generator)
    logits[::3] = logits[::3].round()  # ties, at the borders of the filters too
    return {
        "logits": logits,
        "u": torch.rand(count, 1, generator=generator),
        "temperature": one_of([1.0, 0.3, 0.0, 2.5, 1e-7, 1e-6, 1.0], 1),
        "top_k": one_of([0, 1, 5, vocabulary, vocabulary + 9, 3, 0], 2),
        "top_p": one_of([1.0, 0.9, 0.5, 1e-9, 0.999], 3),
    }


@functools.cache
def export(opset: int) -> Graph:
    outputs = [f"{way}_{part}" for way in WAYS for part in ("token", "log_prob")]
    dynamic = {name: {0: "B"} for name in NAMES}
    return Graph(Everything(VOCABULARY), inputs(3), outputs, dynamic, opset)


@pytest.fixture(scope="module", params=OPSETS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return export(request.param)


@pytest.fixture(scope="module")
def everything() -> Everything:
    return Everything(VOCABULARY)


@pytest.mark.parametrize("count", [1, 2, 400])
def test_graphs_choose_what_pytorch_chooses(
    graph: Graph, everything: Everything, count: int
) -> None:
    given = inputs(count)
    wanted = everything(*given.values())
    for name, one, other in zip(graph.outputs, graph(**given), wanted, strict=True):
        assert one.dtype == other.dtype and one.shape == (count, 1)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5, msg=name)


def test_a_row_alone_is_the_row_in_a_batch(graph: Graph) -> None:
    given = inputs(60)
    together = graph(**given)
    for row in range(60):
        alone = graph(**{name: value[row : row + 1] for name, value in given.items()})
        for one, many in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], many[row], rtol=0, atol=1e-6)


def test_each_row_is_drawn_as_the_task_draws_it(everything: Everything) -> None:
    given = inputs(300)
    allowed = sampling.forbid(given["logits"], torch.zeros(300, 0).long(), 0)
    log_prob = given["logits"].log_softmax(1)
    found = everything(*given.values())
    best = allowed.argmax(1)
    assert torch.equal(found[0][:, 0], best)
    for row in range(300):
        some = slice(row, row + 1)
        temperature = float(given["temperature"][row])
        for k, token in ((0, found[2]), (int(given["top_k"][row]), found[4])):
            p = float(given["top_p"][row]) if token is found[4] else 1.0
            settings = sampling.settings(allowed[some], temperature, k, p)
            drawn = sampling.pick(allowed[some], given["u"][some], *settings)
            cold = temperature < sampling.COLDEST
            assert int(token[row]) == (int(best[row]) if cold else int(drawn)), row
    for token, value in zip(found[::2], found[1::2], strict=True):
        torch.testing.assert_close(value, log_prob.gather(1, token), rtol=0, atol=1e-5)


def test_the_ends_of_the_unit_interval(graph: Graph) -> None:
    highest = float(2**31 - 1) * 4.6566127342e-10
    given = inputs(70)
    given["logits"][:, -2:] = -1e4  # hopeless tokens at the end
    for u in (0.0, highest):
        given["u"] = torch.full((70, 1), u, dtype=torch.float32)
        found = graph(**given)
        for token in found[::2]:
            assert not torch.isin(token, torch.tensor(sampling.NEVER)).any()
            assert (token < VOCABULARY - 2).all()


@pytest.mark.parametrize("kind", ["transformer", "gru"])
@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(),
        Decoding(strategy="sample", seed=-4),
        Decoding(strategy="sample", temperature=0.6, top_k=7, top_p=0.9, seed=2**40),
        Decoding(strategy="sample", top_p=0.7),
    ],
    ids=["greedy", "all", "both", "top_p"],
)
def test_a_model_writes_the_same_texts_by_graph(kind: str, decoding: Decoding) -> None:
    model, count, limit = tiny_model(kind), 20, 24
    z = normal(torch.tensor([3]), (count, LATENT))
    keys = torch.arange(count)[:, None]
    wanted = generate(model, z, Decoding(**{**decoding.__dict__, "max_length": limit}))
    u = Uniforms()(torch.full_like(keys, decoding.seed), keys, torch.tensor(limit))
    options = {
        "temperature": torch.full((count, 1), float(decoding.temperature)),
        "top_k": torch.full((count, 1), decoding.top_k),
        "top_p": torch.full((count, 1), decoding.top_p),
    }
    way = "filtered" if decoding.top_k or decoding.top_p < 1 else "all"
    way = "greedy" if decoding.strategy == "greedy" else way
    ids, log_prob = write(model, z, export(20), way, u, options)
    assert ids == [
        [*row, EOS] if done else row
        for row, done in zip(wanted.ids, wanted.complete.tolist(), strict=True)
    ]
    assert len({tuple(row) for row in ids}) > 3 and len(set(map(len, ids))) > 1
    torch.testing.assert_close(log_prob, wanted.log_prob, rtol=1e-5, atol=1e-4)


@torch.inference_mode()
def write(
    model: SequenceVAE, z: Tensor, graph: Graph, way: str, u: Tensor, options: Inputs
) -> tuple[list[list[int]], Tensor]:
    """The loop of a graph in Python: tokens, the end token included, and their log-probabilities."""
    count, limit = u.shape
    likelihood, place = token_likelihood(model), graph.outputs.index(f"{way}_token")
    state = model.need_token_decoder().start(z, count, limit)
    token, log_prob = torch.full((count, 1), BOS), torch.zeros(count)
    going, columns = torch.ones(count, dtype=torch.bool), []
    for step in range(limit):
        logits = likelihood.logits(
            model.need_token_decoder().step(likelihood.embed(token[:, 0]), state)
        )
        found = graph(logits=logits.contiguous(), u=u[:, step : step + 1].contiguous(), **options)
        token, change = found[place : place + 2]
        columns.append(torch.where(going, token[:, 0], PAD))
        log_prob += torch.where(going, change[:, 0], 0.0)
        going &= token[:, 0] != EOS
    rows = torch.stack(columns, 1).tolist()
    return [[token for token in row if token != PAD] for row in rows], log_prob


def test_choices_cost_no_more_than_they_must() -> None:
    dynamic = {"logits": {0: "B"}}
    given = {"logits": inputs(2)["logits"]}
    greedy = Graph(Greedy(VOCABULARY), given, ["token", "log_prob"], dynamic)
    assert greedy.nodes == {"Add": 1, "ArgMax": 1, "LogSoftmax": 1, "GatherElements": 1}
    nodes = export(20).nodes
    assert nodes["TopK"] == 1, "only filters sort, and once"
    assert nodes["CumSum"] == 5, "two short sums for a draw, one more for a nucleus"
    assert sum(nodes.values()) < 170
