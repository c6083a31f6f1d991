"""The counts of bytes and launches, and what the fused operations may cost: no GPU, no clock."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import counting, traffic
from benchmarks.contender import Contender
from benchmarks.counting import Count, Counter

RECORDED = Path(__file__).parents[2] / "benchmarks" / "results" / "traffic.json"
LATENT = traffic.cases()[0]


def count(work: Any) -> Count:  # noqa: ANN401
    with Counter() as counter:
        work()
    found: Count = counter.count
    return found


def test_views_are_free_and_operators_read_and_write() -> None:
    a, b = torch.randn(8, 4), torch.randn(4)
    assert count(lambda: a.view(4, 8).t()[1:].unsqueeze(0).detach()) == Count()
    assert count(lambda: torch.empty_like(a)) == Count()
    assert count(lambda: a + b) == Count(1, 4 * (32 + 4 + 32), ["add"])
    assert count(lambda: a * a).nbytes == 4 * (32 + 32)
    assert count(lambda: torch.randn(8, 4)).nbytes == 4 * 32
    assert count(lambda: a.sum(-1)).nbytes == 4 * (32 + 8)
    # An expanded tensor has the bytes of what was expanded.
    assert count(lambda: a + b.expand(8, 4)).nbytes == 4 * (32 + 4 + 32)
    assert count(lambda: torch.cat([a, a[:2]])).nbytes == 4 * (32 + 8 + 40)


def test_a_row_written_into_a_cache_costs_a_row() -> None:
    cache, row, at = torch.zeros(100, 4), torch.ones(1, 4), torch.tensor([3])
    assert count(lambda: cache.index_copy_(0, at, row)).nbytes == 2 * 16
    assert count(lambda: cache.index_select(0, at)).nbytes == 2 * 16
    assert count(lambda: cache.add_(1)).nbytes == 2 * 1600


def test_compiled_latents_pass_four_and_six_times_and_keep_their_noise() -> None:
    operation, case = LATENT
    plain = Contender(operation, case, operation.provider("eager"), torch.device("cpu"))
    pair = counting.compiled(plain, schedule=False)
    line = traffic.entry(operation, case, "compile", pair)
    # Sums and gates of rows are 1/128 of a pass each.
    assert line["forward_passes"] == pytest.approx(4, abs=0.02)
    assert line["backward_passes"] == pytest.approx(6, abs=0.02)
    assert line["saved_tensors"] == 2
    assert line["saved_passes"] == pytest.approx(1, abs=0.01)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_fused_code_moves_starts_and_keeps_no_more_than_it_must() -> None:
    lines = traffic.fused(rows=16)
    assert [(line["op"], line["case"]) for line in lines] == [
        (operation.name, case.name) for operation, case in traffic.cases(16)
    ]
    assert traffic.faults(lines) == []


def test_what_is_more_than_needed_is_a_fault() -> None:
    operation, case = LATENT
    eager = Contender(operation, case, operation.provider("eager"), torch.device("cpu"))
    line = traffic.entry(operation, case, "seqvae", counting.eager(eager))
    found = "; ".join(traffic.faults([line]))
    assert "passes forward" in found
    assert "launches backward" in found
    assert "keeps 4 tensors" in found
    assert "| K1 rows fp32 512x128 | seqvae | 1" in traffic.table([line])


@pytest.mark.skipif(not RECORDED.is_file(), reason="nothing is recorded")
def test_eager_counts_are_those_recorded() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    if recorded["versions"]["torch"].split("+")[0] != torch.__version__.split("+")[0]:
        pytest.skip(f"recorded with torch {recorded['versions']['torch']}")
    known = {(e["op"], e["case"], e["provider"]): e for e in recorded["entries"]}
    for operation, case in traffic.cases():
        plain = Contender(operation, case, operation.provider("eager"), torch.device("cpu"))
        line = traffic.entry(operation, case, "eager", counting.eager(plain))
        assert line == known[operation.name, case.name, "eager"]
