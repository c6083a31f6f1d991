"""Our server beside a real Triton Inference Server: the same requests, the same answers.

    python -m benchmarks.conformity.triton [--folder build/conformity] [--record-answers]

Downloads Triton's binary from the package registry into the folder (once, 230 MB). Both servers
have the same model, an echo. What may differ, and why, is in tests/conformity/comparison.py.
"""

import base64
import contextlib
import json
import logging
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from typing import Any

import tyro

from benchmarks.conformity import clients, overload
from benchmarks.conformity.tritonserver import Ports, install, running
from benchmarks.record import ROOT, ledger, write_result
from seqvae.serving.limits import Limits
from tests.conformity.cases import ANSWERS, MORE
from tests.conformity.comparison import MALFORMED, Exchange, differences, reason
from tests.serving.client import ask
from tests.serving.stub import Live, live
from tests.serving.triton_requests import ANSWERS as PLAIN_ANSWERS
from tests.serving.triton_requests import CASES, MAX_BATCH, Case

GONE = Exchange(0, "", None, b"")
"""For a server that ended instead of answering."""


class Triton:
    """A real one, started again when a request ended it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, contextlib.ExitStack()
        self.ports = self._start()

    def _start(self) -> Ports:
        return self._stack.enter_context(running(self._folder, max_batch=MAX_BATCH))

    def ask(self, case: Case) -> Exchange:
        """Its answer."""
        try:
            return put(self.ports.http, case)
        except (OSError, HTTPException):
            self._stack.close()
            self.ports = self._start()
            return GONE

    def close(self) -> None:
        """End it."""
        self._stack.close()


def put(port: int, case: Case) -> Exchange:
    """The answer to a request."""
    answer = ask(port, case.path, case.body, method=case.method, headers=case.headers)
    return Exchange.of(answer)


def compare(triton: Triton, ours: Live) -> tuple[dict[str, Exchange], list[dict[str, Any]]]:
    """Triton's answers by case, and a row for each case."""
    answers, rows = {}, []
    for name, case in {**CASES, **MORE}.items():
        theirs = answers[name] = triton.ask(case)
        our = put(ours.port, case)
        found = differences(name, our, theirs)
        rows.append(
            {
                "request": name,
                "status": our.status,
                "triton": theirs.status,
                "same": not found,
                "same_words": our.words == theirs.words if our.words and theirs.words else None,
                "differs_in": found,
                "because": reason(name, our, theirs) if found else None,
                "ours": our.words,
                "theirs": Exchange.of_record(theirs.record()).words,
            }
        )
    return answers, rows


def metric_names(port: int) -> set[str]:
    """Of the series that begin with nv_inference_."""
    lines = ask(port, "/metrics").body.decode().splitlines()
    return {line.split("{")[0] for line in lines if line.startswith("nv_inference_")}


def write_answers(answers: dict[str, Exchange], version: str) -> None:
    """Keep Triton's answers for the tests."""
    server = f"Triton Inference Server {version}"
    plain = {
        name: {
            "status": answers[name].status,
            "header": answers[name].header,
            "body": base64.b64encode(answers[name].body).decode(),
        }
        for name in CASES
    }
    more = {name: answers[name].record() for name in MORE}
    for path, found in ((PLAIN_ANSWERS, plain), (ANSWERS, more)):
        path.write_text(json.dumps({"server": server, "answers": found}, indent=1) + "\n")
        print(f"{len(found)} answers of {server} written to {path.relative_to(ROOT)}")


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table of what differs."""
    for row in rows:
        if not row["same"] and row["because"] != MALFORMED:
            print(f"{row['request']:34} {'; '.join(row['differs_in'])}")
            print(f"{'':34} -> {row['because'] or 'NOT EXPLAINED'}")
    malformed = sum(row["because"] == MALFORMED for row in rows)
    print(f"{f'{malformed} further ones':34} status 400, Triton 500\n{'':34} -> {MALFORMED}")


def main(
    folder: Path = ROOT / "build" / "conformity", record_answers: bool = False, record: bool = True
) -> None:
    """Compare.

    Args:
        folder: for Triton's binary.
        record_answers: keep Triton's answers for the tests.
        record: write benchmarks/results/conformity.json and the ledger.
    """
    install(folder)
    logging.disable(logging.ERROR)  # the model that fails on purpose
    triton = Triton(folder)
    try:
        version = ask(triton.ports.http, "/v2").json["version"]
        with live(limits=Limits(max_batch=MAX_BATCH)) as ours:
            answers, rows = compare(triton, ours)
            calls = clients.compare(ours.port, triton.ports.http)
            missing = sorted(metric_names(triton.ports.metrics) - metric_names(ours.port))
    finally:
        triton.close()
    crowd = overload.compare(folder)
    if record_answers:
        write_answers(answers, version)
    show(rows)
    same, total = sum(row["same"] for row in rows), len(rows)
    unexplained = [row["request"] for row in rows if not row["same"] and not row["because"]]
    words = Counter(row["same_words"] for row in rows)
    wrong_calls = [name for name, fine in calls.items() if not fine]
    print(f"{same} of {total} alike, {total - same - len(unexplained)} differ on purpose")
    print(f"not explained: {', '.join(unexplained) or 'none'}")
    print(f"errors: {words[True]} in the same words, {words[False]} in others")
    print(f"tritonclient: {len(calls)} calls, unlike: {', '.join(wrong_calls) or 'none'}")
    print(f"overload: {json.dumps(crowd)}")
    print(f"metrics of Triton's that ours lacks: {', '.join(missing) or 'none'}")
    if not record:
        return
    result = {
        "triton": version,
        "requests": rows,
        "tritonclient": calls,
        "overload": crowd,
        "metrics_missing": missing,
    }
    row = {
        "bar": "3",
        "what": "server: answers compared with a real Triton Inference Server's",
        "target": "alike in status, type, header and body, or different on purpose and listed",
        "figure": f"{same} of {total} alike, {total - same - len(unexplained)} on purpose, "
        f"{len(unexplained)} not explained; tritonclient (sync, aio): "
        f"{len(calls) - len(wrong_calls)} of {len(calls)} calls alike; overload: "
        f"{'503 in both' if crowd['alike'] else 'unlike'}",
        "met": not unexplained and not wrong_calls and crowd["alike"],
        "result_file": write_result("conformity", result),
    }
    ledger("C", [row])


if __name__ == "__main__":
    tyro.cli(main)
