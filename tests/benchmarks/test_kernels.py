"""The kernel benchmark's run: order, budget, breakdowns, ratios, bars, files."""

import csv
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import kernels, plots, record
from benchmarks.bars import GPU, outcomes
from benchmarks.kernels import Run
from benchmarks.measure import Row, base_row, excused
from benchmarks.operation import Kind
from benchmarks.plan import Budget, Job, Plan, plan
from benchmarks.registry import REGISTRY
from benchmarks.supervisor import Supervisor
from benchmarks.tables import COLUMNS, is_red, lines, summary, with_ratios, write_csv

INFO = {
    "device": "NVIDIA Test 1",
    "copy": 4e12,
    "gemm": {"bf16": 8e14},
    "cache_bytes": 1 << 26,
    "threads": 1,
}


def timed(op: str, case: str, provider: str, mode: str, seconds: float, **changes: Any) -> Row:  # noqa: ANN401
    """A row as if measured on a GPU."""
    operation = REGISTRY[op]
    row = base_row(
        operation,
        operation.case("cuda", case),
        operation.provider(provider),
        mode,  # type: ignore[arg-type]
    )
    row |= {
        "seconds": {"y_50": seconds, "y_20": seconds * 0.9, "y_80": seconds * 1.1},
        "gigabytes_per_second": row["bytes"] / seconds / 1e9,
        "roofline_share": 0.5,
        "peak_bytes": 1_000_000,
        "saved_tensors": 0,
        "saved_bytes": 0,
    }
    return {**row, **changes}


def case_of(op: str, number: int = 0) -> str:
    return REGISTRY[op].cases("cuda")[number].name


def group(op: str, case: str, mode: str, seconds: dict[str, float]) -> list[Row]:
    return [timed(op, case, provider, mode, value) for provider, value in seconds.items()]


def test_on_a_gpu_what_the_bars_need_comes_first() -> None:
    planned = plan(REGISTRY.values(), "cuda")
    assert all(len(job.providers) == 1 for job in planned.jobs)
    early = [job for job in planned.jobs if job.rank == 0]
    assert {job.op for job in early} == {"gaussian_latent", "prefix_attention", "decode_attention"}
    assert early[0].providers == ("eager",)
    wanted = {"eager", "seqvae", "compile"}
    assert wanted <= {job.providers[0] for job in early if job.op == "gaussian_latent"}
    assert {"sdpa-flash", "sdpa-efficient", "sdpa-cudnn"} <= {job.providers[0] for job in early}


def test_on_a_cpu_the_providers_of_a_case_run_together() -> None:
    planned = plan([REGISTRY["kl_rows"]], "cpu", ["eager", "seqvae", "compile", "seqvae-triton"])
    (job,) = planned.jobs
    assert job.providers == ("eager", "seqvae", "compile")
    assert job.compiled
    assert [entry[2] for entry in planned.missing] == ["seqvae-triton"]


def test_a_budget_learns_what_jobs_cost() -> None:
    now = [0.0]
    budget = Budget(20.0, clock=lambda: now[0])
    plain, compiled = (Job("op", "case", ("p",), 0, flag) for flag in (False, True))
    assert budget.affords(plain)
    assert budget.affords(compiled)
    now[0] = 10.0
    assert not budget.affords(compiled)
    assert budget.affords(plain)
    for _ in range(8):
        budget.note(plain, 11.0)
    assert not budget.affords(plain)
    budget.note(compiled, 0.5)
    for _ in range(8):
        budget.note(compiled, 0.5)
    assert budget.affords(compiled)


class FakeWorker:
    """Answers what it is told to; None is a breakdown."""

    def __init__(self, answers: list[dict[str, Any] | None]) -> None:
        self.answers, self.stopped = answers, False

    def ask(self, message: dict[str, Any] | None, limit: float) -> dict[str, Any] | None:
        assert limit > 0
        if message is None:
            return {"info": INFO}
        return self.answers.pop(0)

    def stop(self) -> None:
        self.stopped = True


def answered(job: Job, healthy: bool = True) -> dict[str, Any]:
    rows = [
        timed(job.op, job.case, job.providers[0], mode, 1e-3)
        for mode in REGISTRY[job.op].case("cuda", job.case).modes
    ]
    return {"rows": rows, "healthy": healthy}


def test_a_job_that_breaks_its_process_does_not_break_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    jobs = plan([REGISTRY["kl_rows"]], "cuda", ["eager", "seqvae", "seqvae-triton", "seqvae-aot"])
    eager, _, triton, aot = jobs.jobs[:4]
    workers = [
        FakeWorker([answered(eager), None]),
        FakeWorker([answered(triton, healthy=False)]),
        FakeWorker([answered(aot)]),
    ]
    started: list[dict[str, Any] | None] = []

    def start(kind: Kind, info: dict[str, Any] | None) -> FakeWorker:
        started.append(info)
        return workers[len(started) - 1]

    run = Run("cuda", Plan(jobs.jobs[:4], ()), Budget(1e9, clock=lambda: 0.0), store=True)
    assert run(Supervisor("cuda", start)) == 1
    # The ceilings of the first worker hold for the whole run.
    assert started == [None, INFO, INFO]
    assert all(worker.stopped for worker in workers)
    said = {row["provider"]: row["status"] for row in run.rows}
    assert said == {"eager": "ok", "seqvae": "failed", "seqvae-triton": "ok", "seqvae-aot": "ok"}
    stored = json.loads((tmp_path / "nvidia-test-1" / "kernels.json").read_text())
    assert len(stored["rows"]) == 4
    assert stored["rows"][2]["ratios"]["eager"] == 1.0
    assert stored["device"] == INFO
    printed = capsys.readouterr()
    assert "its process died" in printed.err
    assert "FAILED" in printed.out


def test_what_there_is_no_time_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = plan([REGISTRY["kl_rows"]], "cuda", ["eager", "seqvae"]).jobs[:2]
    ticks = itertools.count(0.0, 4.0)
    run = Run("cuda", Plan(jobs, ()), Budget(6.0, clock=lambda: next(ticks)), store=False)
    assert run(Supervisor("cuda", lambda kind, info: FakeWorker([answered(jobs[0])]))) == 0
    assert [row["status"] for row in run.rows] == ["ok", "left out"]
    left = f"left out for lack of time:\n  kl_rows {jobs[1].case}: seqvae\n"
    assert left in capsys.readouterr().out


def test_ratios_leave_out_what_is_wrong_or_easier() -> None:
    op, case = "prefix_attention", case_of("prefix_attention")
    rows = group(
        op,
        case,
        "forward",
        {"eager": 8.0, "seqvae": 1.0, "sdpa-flash": 2.0, "sdpa-flash, no prefix": 0.5},
    )
    rows += [timed(op, case, "sdpa-cudnn", "forward", 0.123, status="wrong", reason="off by 2")]
    found = {row["provider"]: row["ratios"] for row in with_ratios(rows)}
    assert found["seqvae"] == {"eager": 8.0, "best_rival": 2.0, "best_rival_name": "sdpa-flash"}
    assert found["sdpa-cudnn"] == {}
    text = "\n".join(lines(rows))
    assert "2.00 sdpa-flash" in text
    assert "WRONG: off by 2: sdpa-cudnn" in text
    assert "123,000.0" not in text
    assert len(summary(rows)) == 2


def test_a_rival_may_lack_a_case_but_nobody_may_be_wrong() -> None:
    row = timed("kl_rows", case_of("kl_rows"), "eager", "forward", 1.0)
    assert not is_red(row)
    assert not is_red({**row, "status": "unavailable"})
    assert not is_red({**row, "status": "failed"})
    assert is_red({**row, "status": "wrong"})
    assert is_red({**row, "status": "impossible"})
    assert is_red({**row, "status": "failed", "ours": True})


def test_the_csv_has_ligers_columns(tmp_path: Path) -> None:
    op, case = "gaussian_latent", case_of("gaussian_latent")
    rows = group(op, case, "both", {"eager": 8e-3, "seqvae": 1e-3})
    operation = REGISTRY[op]
    rows += excused(
        operation, operation.case("cuda", case), operation.providers[1], "left out", "no time"
    )
    write_csv(tmp_path / "a" / "kernels.csv", rows, "H200", "2026-01-01 00:00:00", "2.11")
    with (tmp_path / "a" / "kernels.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0]) == COLUMNS
    assert [(r["provider"], r["mode"], r["metric"], r["unit"]) for r in found] == [
        ("eager", "full", "speed", "ms"),
        ("eager", "full", "memory", "MB"),
        ("seqvae", "full", "speed", "ms"),
        ("seqvae", "full", "memory", "MB"),
    ]
    assert [float(found[0][name]) for name in ("y_50", "y_20", "y_80")] == [8.0, 7.2, 8.8]
    assert json.loads(found[0]["extra_config_json"])["reduce"] == "rows"
    assert (found[0]["x_name"], int(found[0]["x_value"])) == ("N*D", 1 << 25)


def bar(found: Sequence[dict[str, Any]], what: str) -> dict[str, Any] | None:
    return next((row for row in found if row["what"] == what), None)


def test_a_bar_is_met_only_where_every_case_meets_it() -> None:
    op = "gaussian_latent"
    large, small = (case_of(op, number) for number in (0, 1))
    rows = group(op, large, "forward", {"eager": 9.0, "compile": 3.0, "seqvae": 1.0})
    found = outcomes(GPU, rows)
    eager = bar(found, "K1 forward bf16 against eager")
    assert eager is not None
    assert eager["met"]
    assert "9.00 x" in eager["figure"]
    share = bar(found, "K1 forward bf16, share of copy bandwidth")
    assert share is not None
    assert not share["met"]
    assert "50%" in share["figure"]
    # The smaller case is slower against eager.
    rows += group(op, small, "forward", {"eager": 7.0, "seqvae": 1.0})
    eager = bar(outcomes(GPU, rows), "K1 forward bf16 against eager")
    assert eager is not None
    assert not eager["met"]
    assert "7.00 x" in eager["figure"]
    compiled = bar(outcomes(GPU, rows), "K1 forward bf16 against torch.compile")
    assert compiled is not None
    assert compiled["met"]


def test_a_bar_without_figures_is_absent_and_a_wrong_one_not_met() -> None:
    assert outcomes(GPU, []) == []
    op, case = "prefix_attention", case_of("prefix_attention")
    rows = group(op, case, "forward", {"seqvae": 1.0, "eager": 9.0})
    assert bar(outcomes(GPU, rows), "K2 forward, 32 steps, against the best SDPA") is None
    rows = [timed(op, case, "seqvae", "forward", 1.0, status="wrong", reason="off")]
    found = bar(outcomes(GPU, rows), "K2 forward, 32 steps, against the best SDPA")
    assert found is not None
    assert not found["met"]
    assert "wrong" in found["figure"]


def test_every_bar_speaks_of_a_case_that_exists() -> None:
    for part in GPU:
        operation = REGISTRY[part.op]
        chosen = [
            case
            for case in operation.cases("cuda")
            for mode in case.modes
            if part.chosen(base_row(operation, case, operation.provider("seqvae"), mode))
        ]
        assert chosen, part.what
        assert any(case.rank == 0 for case in chosen), part.what


def test_curves_need_two_points(tmp_path: Path) -> None:
    op = "gaussian_latent"
    rows = group(op, case_of(op), "both", {"eager": 8e-3, "seqvae": 1e-3})
    assert plots.curves(rows, "speed") == {}
    rows += group(op, case_of(op, 1), "both", {"eager": 2e-3, "seqvae": 5e-4})
    (panel,) = plots.curves(rows, "speed").values()
    assert panel["seqvae"] == [(1 << 22, 500.0), (1 << 25, 1000.0)]
    if plots.available():
        written = plots.write_plots(tmp_path, rows, "H200")
        assert [path.name for path in written] == [
            "kernels_gaussian_latent_speed.png",
            "kernels_gaussian_latent_memory.png",
        ]
        assert all(path.stat().st_size > 5_000 for path in written)


def test_it_runs_in_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--smoke", "--only", "prefix_attention", "--providers", "eager", "seqvae", "sdpa"]
    assert kernels.main(arguments) == 0
    printed = capfd.readouterr().out
    assert printed.count("9 of 9 timed") == 2
    assert "x best rival" in printed


@pytest.mark.parametrize(
    "arguments", [["--providers", "nobody"], ["--only", "nothing"], ["--gpu", "--cpu"]]
)
def test_mistakes_are_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        kernels.main(arguments)
    assert stopped.value.code == 2
    assert "error" in capsys.readouterr().err
