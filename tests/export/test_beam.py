"""Beam search by a graph's step finds what `seqvae.tasks.beam` finds."""

import functools
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from seqvae.data.text import BOS, EOS, PAD
from seqvae.export.beam import STATE, BeamStep
from seqvae.model import SequenceVAE
from seqvae.ops import normal
from seqvae.tasks.beam import beam_search
from seqvae.tasks.decode import token_likelihood
from seqvae.tasks.sampling import NEVER
from tests.export.running import OPSETS, Graph
from tests.tiny import LATENT, VOCABULARY, tiny_model

BEAM = 4
OPTIONS = ("logits", "position", "length_penalty", "max_length")
Step = Callable[..., Sequence[Tensor]]
Answers = list[tuple[list[int], float, bool]]


def inputs(count: int, steps: int, step: BeamStep, seed: int = 0) -> dict[str, Tensor]:
    """A first state as if `steps` tokens had been written."""
    generator = torch.Generator().manual_seed(seed)
    vocabulary = step.get_buffer("mask").shape[1]
    state = dict(zip(STATE, step.start(count), strict=True))
    for name in ("history", "best_ids"):
        state[name] = torch.zeros(*state[name].shape[:-1], steps, dtype=torch.int64)
    return {
        "logits": 3 * torch.randn(count * step.beam, vocabulary, generator=generator),
        "position": torch.tensor(steps),
        "length_penalty": torch.rand(count, 1, generator=generator),
        "max_length": 5 + torch.arange(count)[:, None] % 7,
        **state,
    }


@functools.cache
def export(opset: int) -> Graph:
    dynamic = {name: {0: "B"} for name in (*OPTIONS, *STATE) if name != "position"}
    dynamic |= {"logits": {0: "N"}, "history": {0: "B", 2: "T"}, "best_ids": {0: "B", 1: "T"}}
    step = BeamStep(VOCABULARY, BEAM)
    outputs = ["token", "parent", *(f"n_{name}" for name in STATE)]
    return Graph(step, inputs(3, 5, step), outputs, dynamic, opset)


@torch.inference_mode()
def search(
    model: SequenceVAE, z: Tensor, step: Step, beam: int, alpha: Tensor, max_length: Tensor
) -> tuple[Answers, int]:
    """The loop of a graph in Python: tokens, nats and completeness of each row, and the steps made."""
    count, likelihood = len(z), token_likelihood(model)
    limit = int(max_length.max())
    cache = model.need_token_decoder().start(z.repeat_interleave(beam, 0), count * beam, limit)
    token = torch.full((count * beam, 1), BOS)
    state = dict(zip(STATE, BeamStep(VOCABULARY, beam).start(count), strict=True))
    steps = 0
    while steps < limit and not bool(state["done"].all()):
        logits = likelihood.logits(
            model.need_token_decoder().step(likelihood.embed(token[:, 0]), cache)
        )
        token, parent, *new = step(
            logits=logits.contiguous(),
            position=torch.tensor(steps),
            length_penalty=alpha,
            max_length=max_length,
            **state,
        )
        state = dict(zip(STATE, new, strict=True))
        model.need_token_decoder().select(cache, parent)
        steps += 1
    found = [
        ([t for t in ids if t != PAD], log_prob, score > float("-inf"))
        for ids, log_prob, score in zip(
            state["best_ids"].tolist(),
            state["best_log_prob"][:, 0].tolist(),
            state["best_score"][:, 0].tolist(),
            strict=True,
        )
    ]
    return found, steps


def by_task(model: SequenceVAE, z: Tensor, beam: int, alpha: float, limit: int) -> Answers:
    with torch.inference_mode():
        ids, log_prob = beam_search(
            model.need_token_decoder(),
            token_likelihood(model),
            z,
            len(z),
            beam=beam,
            length_penalty=alpha,
            limit=limit,
        )
    return [(row, nats, row[-1] == EOS) for row, nats in zip(ids, log_prob.tolist(), strict=True)]


def same(found: Answers, wanted: Answers) -> None:
    assert [one[0] for one in found] == [one[0] for one in wanted]
    assert [one[2] for one in found] == [one[2] for one in wanted]
    assert [one[1] for one in found] == pytest.approx([one[1] for one in wanted], abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 3.0])
@pytest.mark.parametrize("beam", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_it_finds_what_the_task_finds(kind: str, beam: int, alpha: float) -> None:
    model, count, limit = tiny_model(kind), 25, 12
    z = normal(torch.tensor([1]), (count, LATENT))
    step = BeamStep(VOCABULARY, beam)
    alphas, limits = torch.full((count, 1), alpha), torch.full((count, 1), limit)
    found, _ = search(model, z, step, beam, alphas, limits)
    same(found, by_task(model, z, beam, alpha, limit))
    assert len({tuple(ids) for ids, _, _ in found}) > 3
    # The greedy texts of this GRU go on without end.
    assert len({len(ids) for ids, _, _ in found}) > 1 or (kind, beam) == ("gru", 1)


def test_rows_have_a_penalty_and_a_limit_of_their_own() -> None:
    model, count = tiny_model(), 24
    z = normal(torch.tensor([2]), (count, LATENT))
    alphas = torch.tensor([0.0, 0.6, 2.0, 1.0]).repeat(6)[:, None]
    limits = torch.tensor([1, 2, 5, 9, 12, 20]).repeat_interleave(4)[:, None]
    found, _ = search(model, z, BeamStep(VOCABULARY, BEAM), BEAM, alphas, limits)
    for row in range(count):
        alone = z[row : row + 1]
        wanted = by_task(model, alone, BEAM, float(alphas[row]), int(limits[row]))
        same(found[row : row + 1], wanted)
    complete = [one[2] for one in found]
    assert any(complete) and not all(complete)


@pytest.mark.parametrize("opset", OPSETS)
def test_the_graph_does_what_the_module_does(opset: int) -> None:
    model = tiny_model()
    for count in (1, 7):
        z = normal(torch.tensor([4]), (count, LATENT))
        alphas = torch.linspace(0, 1, count)[:, None]
        limits = 3 + torch.arange(count)[:, None] * 2
        found, steps = search(model, z, export(opset), BEAM, alphas, limits)
        module = BeamStep(VOCABULARY, BEAM)
        wanted, wanted_steps = search(model, z, module, BEAM, alphas, limits)
        same(found, wanted)
        assert steps == wanted_steps


@pytest.mark.parametrize("opset", OPSETS)
def test_every_result_of_the_graph_is_that_of_the_module(opset: int) -> None:
    graph, step = export(opset), BeamStep(VOCABULARY, BEAM)
    for count in (1, 6):
        given = inputs(count, 0, step)
        for number in range(9):
            given["logits"] = inputs(count, 0, step, seed=number)["logits"]
            given["position"] = torch.tensor(number)
            wanted = step(**given)
            for name, one, other in zip(graph.outputs, graph(**given), wanted, strict=True):
                assert one.dtype == other.dtype, name
                torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, msg=name)
            given |= dict(zip(STATE, wanted[2:], strict=True))


def test_it_stops_as_soon_as_nothing_can_change() -> None:
    model, count = tiny_model(), 40
    z = normal(torch.tensor([5]), (count, LATENT))
    alphas, limits = torch.full((1, 1), 0.6), torch.full((1, 1), 40)
    step = BeamStep(VOCABULARY, BEAM)
    wanted = by_task(model, z, BEAM, 0.6, 40)
    lengths = []
    for row in range(count):
        found, steps = search(model, z[row : row + 1], step, BEAM, alphas, limits)
        same(found, wanted[row : row + 1])
        lengths.append((steps, len(found[0][0])))
    assert all(steps >= length for steps, length in lengths)
    assert any(steps < 40 for steps, _ in lengths)


def test_a_row_that_is_done_stays_as_it_is() -> None:
    step = BeamStep(VOCABULARY, BEAM)
    given = inputs(1, 0, step)
    given["max_length"] = torch.tensor([[2]])
    answers = []
    for number in range(6):
        given["logits"] = inputs(1, 0, step, seed=number + 20)["logits"]
        given["position"] = torch.tensor(number)
        given |= dict(zip(STATE, step(**given)[2:], strict=True))
        answers.append((given["best_ids"][0].tolist(), float(given["best_log_prob"])))
        assert bool(given["done"]) == (number >= 1)
    for ids, log_prob in answers[2:]:
        assert ids[:2] == answers[1][0] and set(ids[2:]) == {PAD}
        assert log_prob == answers[1][1]


def test_tokens_that_never_come_do_not() -> None:
    step = BeamStep(VOCABULARY, BEAM)
    given = inputs(2, 0, step)
    given["logits"][:, list(NEVER)] = 50.0
    token = step(**given)[0]
    assert not torch.isin(token, torch.tensor(NEVER)).any()


def test_a_beam_wider_than_the_vocabulary_is_refused() -> None:
    BeamStep(VOCABULARY, VOCABULARY - len(NEVER))
    for beam in (0, VOCABULARY - len(NEVER) + 1):
        with pytest.raises(ValueError, match="beam must be 1 to"):
            BeamStep(VOCABULARY, beam)


def test_it_sorts_no_more_than_it_must() -> None:
    nodes = export(20).nodes
    assert nodes["TopK"] == 2 and nodes["LogSoftmax"] == 1
    assert sum(nodes.values()) < 90
