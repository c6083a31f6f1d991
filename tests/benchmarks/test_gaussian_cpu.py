"""The CPU comparison: nothing is timed that is wrong, and ratios are of times in one run."""

import pytest
import torch
from torch import Tensor

from benchmarks.gaussian_cpu import Inputs, Provider, bars, check, eager, native, race, ratios
from seqvae.kernels import native as library

built = pytest.mark.skipif(not library.available(), reason="the native library was not built")


@built
def test_right_providers_are_raced() -> None:
    contenders = [Provider("eager", eager), native(threads=1)]
    inputs = Inputs.draw(40, 33)
    errors = check(contenders, inputs)
    assert set(errors["native"]) == {"kl", "gradient of mean", "gradient of log-variance", "z"}
    times = race(contenders, inputs, rounds=2)
    both = times["native"]["both"]
    assert 0 < both["least_us"] <= both["median_us"]
    expected = times["eager"]["both"]["median_us"] / both["median_us"]
    assert ratios(times, "median_us") == {"native": {"eager": expected}}


@pytest.mark.parametrize("wrong", ["kl", "noise"])
def test_a_wrong_provider_stops_the_run(wrong: str) -> None:
    def broken(mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        z, kl = eager(mean, log_variance)
        if wrong == "kl":
            return z, kl * 1.0001
        return mean + 0.9 * (z - mean), kl

    with pytest.raises(SystemExit, match=f"broken: .*{wrong}"):
        check([Provider("broken", broken)], Inputs.draw(100, 33))
    assert torch.is_grad_enabled()


def test_the_ledger_takes_the_worst_large_shape() -> None:
    def case(rows: int, threads: int, ratio: float) -> dict[str, object]:
        sizes = {"rows": rows, "dim": 64, "threads": threads}
        by_median = {"native": {"eager": ratio, "compile": 9.0}}
        by_least = {"native": {"eager": ratio - 0.6, "compile": 9.5}}
        return {**sizes, "ratios": by_median, "ratios_of_least": by_least}

    cases = [case(2**14, 2, 4.0), case(2**16, 2, 3.5), case(2**10, 2, 1.0), case(2**14, 1, 2.0)]
    eager_row, compile_row = bars(cases, threads=2)
    assert (eager_row["figure"], eager_row["met"]) == (2.9, False)
    assert (compile_row["figure"], compile_row["met"]) == (9.0, True)
