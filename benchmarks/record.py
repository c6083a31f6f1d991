"""Where measurements go: a result file each, and a ledger of each issue's bars."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("numpy", "pyarrow", "sacrebleu", "sentencepiece", "torch", "triton")
FIELDS = (
    "bar",
    "what",
    "target",
    "figure",
    "met",
    "predicted",
    "command",
    "result_file",
    "measured_on",
)


def environment() -> dict[str, Any]:
    """What a figure depends on: command, commit, versions, machine, and how busy it was."""
    return {
        "command": command(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--", "seqvae", "kernels")),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version(), **_versions()},
        "measured_on": machine(),
        "cpus": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def command() -> str:
    """The command line without what is special to this machine: folders above the project, or above `data`."""
    return " ".join(["python", *map(_portable, sys.orig_argv[1:])])


def _portable(part: str) -> str:
    part = part.removeprefix(f"{ROOT}{os.sep}")
    path = Path(part)
    if not path.is_absolute():
        return part
    folders = path.parts
    return Path(*folders[folders.index("data") :]).as_posix() if "data" in folders else path.name


def machine() -> str:
    """Kind of machine: GPU if there is one, processor and number of cores."""
    kind = f"{_processor()}, {os.cpu_count()} cores"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {kind}"
    return kind


def write_result(name: str, payload: dict[str, Any]) -> Path:
    """Write `payload` and `environment()` to benchmarks/results/NAME.json; returns the path.

    Raises:
        ValueError: `name` leads out of the results.
    """
    path = (RESULTS / f"{name}.json").resolve()
    if not path.is_relative_to(RESULTS.resolve()):
        raise ValueError(f"{name!r} leads out of benchmarks/results")
    _write(path, {**payload, **environment()})
    return path


def ledger(issue: str, rows: list[dict[str, Any]], *, instead_of: Path | None = None) -> Path:
    """Put rows into benchmarks/results/bars/ISSUE.json, in place of those with the same bar and what.

    Args:
        issue: its letter.
        rows: `bar`, `what`, `target`, `figure` and `met`; `result_file` may be a path. `predicted` is False,
            `command` and `measured_on` are those of this process unless given.
        instead_of: a folder of results; rows whose result file lies there go first.

    Raises:
        ValueError: a row lacks a field or has one too many.
    """
    path = RESULTS / "bars" / f"{issue}.json"
    kept = {} if not path.exists() else {_key(row): row for row in json.loads(path.read_text())}
    if instead_of is not None:
        folder = instead_of.relative_to(ROOT).as_posix() + "/"
        kept = {key: row for key, row in kept.items() if not row["result_file"].startswith(folder)}
    for row in rows:
        full = {"predicted": False, "command": command(), "measured_on": machine(), **row}
        if set(full) != set(FIELDS):
            raise ValueError(f"a ledger row has the fields {', '.join(FIELDS)}; got {sorted(row)}")
        if isinstance(full["result_file"], Path):
            full["result_file"] = full["result_file"].relative_to(ROOT).as_posix()
        kept[_key(full)] = {name: full[name] for name in FIELDS}
    _write(path, [kept[key] for key in sorted(kept)])
    return path


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return str(row["bar"]), str(row["what"])


def _write(path: Path, content: Any) -> None:  # noqa: ANN401
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None  # an unpacked archive has no history
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
