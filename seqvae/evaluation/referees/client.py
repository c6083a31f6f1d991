"""Asks the referees from another Python: `judge(items, voices)`."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqvae.errors import UserError
from seqvae.evaluation.referees.job import REFEREES, Item, Job

INSTALL = (
    "pip install 'seqvae[speech-referees]' && pip install --no-deps resemblyzer; "
    "or `make eval-env` in a checkout, and name its Python"
)
# The other Python finds seqvae after its own packages: it may hold other versions of everything.
BEGIN = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module('seqvae.evaluation.referees', run_name='__main__', alter_sys=True)"
)
ROOT = Path(__file__).resolve().parents[3]


def judge(
    items: Iterable[Item],
    voices: Mapping[str, Sequence[str | Path]] | None = None,
    *,
    referees: Sequence[str] = REFEREES,
    out: Path | None = None,
    python: str | Path | None = None,
) -> dict[str, Any]:
    """Have sounds judged in a process of its own.

    Args:
        items: what to judge; see `Item` for which referee needs which of its fields.
        voices: recordings of every voice that can be identified, targets and sources among them.
        referees: which to ask.
        out: where the answers are kept, so that sounds that did not change are judged once; by default nowhere.
        python: an interpreter that has the referees; by default `find_python()`.

    Returns:
        What `Bench.sit` returns: `groups` has the rows of the table, `items` every answer, `missing` the referees
        that are not installed there.

    Raises:
        UserError: no such Python, a job that makes no sense, or the referees' process failed.
    """
    chosen = str(python or find_python())
    recordings = {name: [str(p) for p in files] for name, files in (voices or {}).items()}
    with tempfile.TemporaryDirectory() as folder:
        written, answers = Path(folder) / "job.json", out or Path(folder) / "out.json"
        Job(list(items), recordings, referees).write(written)
        command = [chosen, "-P", "-c", BEGIN, str(ROOT), str(written), str(answers)]
        try:
            done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        except OSError as error:
            raise UserError(f"referees: {chosen} does not run: {error}") from None
        if done.returncode:
            raise UserError(
                f"referees: {chosen} ended with status {done.returncode}; its words are above"
            )
        found: dict[str, Any] = json.loads(answers.read_text(encoding="utf-8"))
    return found


def find_python() -> Path:
    """A checkout's `.venv-eval`, else the Python that runs."""
    own = ROOT / ".venv-eval" / "bin" / "python"
    return own if own.exists() else Path(sys.executable)


def absent_words(missing: Mapping[str, list[str]]) -> str:
    """Which referees were not asked, and how to get them."""
    named = "; ".join(f"{name} ({', '.join(packages)})" for name, packages in missing.items())
    return (
        f"Not judged, because these referees are not installed: {named}. Install them: {INSTALL}."
    )
