import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.serving import runtime
from seqvae.serving.captured import CapturedStepper
from seqvae.serving.session import Array, Sessions
from seqvae.serving.stepper import BoundStepper, FeedStepper, Stepper
from seqvae.serving.steppers import Steppers
from tests.serving import toy_graphs

X = np.arange(3, dtype=np.float32)


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    paths = {
        "model": toy_graphs.adder(tmp_path / "model.onnx"),
        "start": toy_graphs.start(tmp_path / "start.onnx"),
        "step": toy_graphs.step(tmp_path / "step.onnx"),
    }
    return Sessions(paths, threads=1)


def test_a_graph_runs_with_and_without_its_defaults(sessions: Sessions) -> None:
    assert "model" in sessions and "scorer" not in sessions
    assert sessions.inputs("model") == {"x", "bias"} and sessions.outputs("model") == ("y",)
    np.testing.assert_array_equal(sessions.run("model", {"x": X})["y"], X + 1)
    bias = np.full(1, 5, np.float32)
    np.testing.assert_array_equal(sessions.run("model", {"x": X, "bias": bias})["y"], X + 5)


def test_loading_says_nothing(sessions: Sessions, capfd: pytest.CaptureFixture[str]) -> None:
    sessions.run("model", {"x": X})
    assert capfd.readouterr() == ("", "")


def test_threads_open_a_graph_once(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    whole = Sessions.open

    def slow(self: Sessions, part: str, **settings: bool) -> Any:  # noqa: ANN401
        opened.append(part)
        threading.Event().wait(0.05)
        return whole(self, part, **settings)

    monkeypatch.setattr(Sessions, "open", slow)
    answers: list[Any] = []
    workers = [
        threading.Thread(target=lambda: answers.append(sessions.run("model", {"x": X})["y"]))
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert opened == ["model"] and len(answers) == 8
    assert all((answer == X + 1).all() for answer in answers)


def test_a_closed_engine_opens_again(sessions: Sessions) -> None:
    sessions.run("model", {"x": X})
    sessions.close()
    np.testing.assert_array_equal(sessions.run("model", {"x": X})["y"], X + 1)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"cannot load .*model\.onnx"):
        Sessions({"model": broken}).run("model", {})
    with pytest.raises(UserError, match="no graph 'step'; it has model"):
        Sessions({"model": broken}).session("step")
    for threads in (0, -1, True):
        with pytest.raises(UserError, match="threads"):
            Sessions({}, threads=threads)


def walk(stepper: Stepper, z: float) -> Array:
    """Logits of five steps, shape [5, V]."""
    stepper.start(np.full((1, toy_graphs.LATENT), z, np.float32), 5)
    tokens = [2, 5, 3, 6, 1]
    return np.concatenate([stepper.step(np.array([[t]]), i) for i, t in enumerate(tokens)])


def test_every_stepper_takes_the_same_steps(sessions: Sessions) -> None:
    start, step = sessions.session("start"), sessions.session("step")
    feed = FeedStepper(sessions)
    others: list[Stepper] = [
        BoundStepper(start, step, "cpu"),
        CapturedStepper(start, step, "cpu", latent=toy_graphs.LATENT, limit=5),
    ]
    # Twice, and with other latents between: nothing is left of the stream before.
    for z in (0.5, -1.0, 0.5):
        wanted = walk(feed, z)
        assert len({tuple(row) for row in wanted.tolist()}) == 5
        for stepper in others:
            np.testing.assert_allclose(walk(stepper, z), wanted, rtol=1e-6)


def test_the_buffers_of_captured_steps_hold_so_many(sessions: Sessions) -> None:
    stepper = CapturedStepper(
        sessions.session("start"), sessions.session("step"), "cpu", latent=3, limit=4
    )
    with pytest.raises(ValueError, match="5 steps asked for, buffers hold 4"):
        walk(stepper, 0.0)


def test_captured_steps_are_lent_to_one_stream(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = CapturedStepper(
        sessions.session("start"), sessions.session("step"), "cpu", latent=3, limit=5
    )
    monkeypatch.setattr(sessions, "provider", "cuda")
    steppers = Steppers(sessions, latent=3, limit=5, captured=True)
    steppers._captured = captured
    with steppers.lend() as first, steppers.lend() as second:
        assert first is captured and isinstance(second, BoundStepper)
    with steppers.lend() as third:
        assert third is captured


def test_a_gpu_that_captures_nothing_steps_all_the_same(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions.session("start"), sessions.session("step")

    def refuse(part: str, *, graphs: bool) -> None:
        raise UserError(f"{part} has nodes on the CPU: {graphs}")

    monkeypatch.setattr(sessions, "provider", "cuda")
    monkeypatch.setattr(sessions, "open", refuse)
    steppers = Steppers(sessions, latent=3, limit=5, captured=True)
    message = "steps without CUDA graphs: step has nodes on the CPU"
    with pytest.warns(runtime.FallbackWarning, match=message), steppers.lend() as stepper:
        assert isinstance(stepper, BoundStepper)
    with steppers.lend() as stepper:  # and does not try again
        assert isinstance(stepper, BoundStepper)
