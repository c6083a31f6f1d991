"""The examples of serving from Python and from a shell."""

import asyncio
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from seqvae.serving.options import Row
from seqvae.serving.results import Written
from tests.examples.echo_model import echo
from tests.page.stub import Refusal, Stub

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    """Import an example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_onnxruntime_alone(bundle: Path) -> None:
    script = EXAMPLES / "python_onnxruntime.py"
    # In a process of its own that cannot import what an app would not have.
    program = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['seqvae'] = None;"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(script), str(bundle), "où 日本 🦊", "7"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = [echo("où 日本 🦊", seed=7, sample=k, temperature=0.7) for k in range(5)]
    assert done.stdout.splitlines() == expected
    assert done.stderr == ""


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the shell example."""
    return subprocess.run(
        ["sh", str(EXAMPLES / "curl.sh"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl() -> None:
    with Stub() as stub:
        stub.behaviour.routes["/v2/models/model/infer"] = lambda body: {"asked": body["inputs"]}
        done = curl(stub.address.rstrip("/"))
        assert done.returncode == 0, done.stderr
        answers = [line for line in done.stdout.splitlines() if not line.startswith("#")]
        info, paraphrases, walk, scores, samples, inferred = map(json.loads, answers)
        assert info["kind"] == "text"
        assert len(paraphrases["results"][0]["candidates"]) == 3
        assert len(walk["texts"]) == 5
        assert scores["scores"][0]["pieces"]
        assert len(samples["texts"]) == 3
        assert [one["name"] for one in inferred["asked"]] == ["text", "seed", "temperature"]

        stub.behaviour.refusals["/v1/paraphrase"] = [Refusal(400, "n is 3; it must be 1")]
        refused = curl(stub.address.rstrip("/"))
        assert refused.returncode != 0
        assert "n is 3; it must be 1" in refused.stdout


def stand_in() -> SimpleNamespace:
    """As much of Ray Serve as the example uses: batches of one event loop."""

    def batch(**settings: float) -> Callable[[Any], Any]:
        assert settings["max_batch_size"] > 1

        def decorate(
            write: Callable[[Any, list[Row]], Coroutine[Any, Any, list[Written]]],
        ) -> object:
            waiting: list[tuple[Row, asyncio.Future[Written]]] = []

            async def one(self: object, row: Row) -> Written:
                future: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
                waiting.append((row, future))
                await asyncio.sleep(settings["batch_wait_timeout_s"])
                if taken := list(waiting):
                    waiting.clear()
                    for written, (_, other) in zip(
                        await write(self, [row for row, _ in taken]), taken, strict=True
                    ):
                        other.set_result(written)
                return await future

            return one

        return decorate

    return SimpleNamespace(
        batch=batch, deployment=lambda **_: lambda cls: cls, Application=object, run=None
    )


def test_ray_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = ModuleType("ray")
    ray.serve = stand_in()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    example = load("ray_serve")

    class Engine:
        calls: list[int] = []  # noqa: RUF012

        def __init__(self, bundle: str) -> None:
            assert bundle == "BUNDLE"

        def warm_up(self) -> None:
            self.calls.append(0)

        def generate(self, rows: list[Row]) -> list[Written]:
            self.calls.append(len(rows))
            return [Written(f"{row.text} {row.options.seed}", [5], -1.0, True) for row in rows]

    monkeypatch.setattr(example, "Engine", Engine)

    def request(body: object) -> SimpleNamespace:
        async def read() -> object:
            return body

        return SimpleNamespace(json=read)

    async def ask(*bodies: object) -> list[Any]:
        replica = example.Paraphraser("BUNDLE")
        return await asyncio.gather(*(replica(request(body)) for body in bodies))

    good = [{"text": "a", "seed": 1}, {"text": "b", "temperature": 0.5}]
    bad: list[object] = [{"seed": 1}, {"text": "a", "sead": 1}, {"text": "a", "top_p": 7}, []]
    answers = asyncio.run(ask(*good, *bad))
    assert [answer.status_code for answer in answers] == [200, 200, 400, 400, 400, 400]
    assert [json.loads(answer.body)["text"] for answer in answers[:2]] == ["a 1", "b 0"]
    assert "top_p" in json.loads(answers[4].body)["error"]
    assert Engine.calls == [0, 2]  # both in one run of the model
