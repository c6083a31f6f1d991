"""Kill -9 at random moments of `train` and `prepare`, go on, and compare with uninterrupted runs byte for byte.

    python -m benchmarks.kill

Each trial starts afresh, is killed at a moment drawn evenly over the time that the uninterrupted run worked, and is then
started again with the same command until it ends. Compared are all files of the corpus; and of a run metrics.jsonl,
guard.jsonl and everything in best/ and last/ (times lie in timing.jsonl). What a run kept after the kill must load.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

from benchmarks.record import ROOT, ledger, write_result
from seqvae.data.corpus import Corpus
from seqvae.data.synthetic import sentences
from seqvae.training import load

COMMANDS = {
    "prepare": "from seqvae.data.prepare import PrepareText, prepare_text\n"
    "config = PrepareText(inputs=(sys.argv[2],), out=Path(sys.argv[3]), vocab_size=1000)\n"
    "prepare_text(config)",
    "train": "from seqvae.cli import main\nraise SystemExit(main(sys.argv[1:]))",
}
SETTINGS = [
    "--threads=1",
    "--tokens-per-batch=512",
    "--ema=0.99",
    "--autoencoder=0.2",
    "--tighten=0.2",
    "--noise.drop=0.1",
    "--accumulate=2",
]


def python(arguments: list[str]) -> list[str]:
    """The command line of one of `COMMANDS`, named by the first argument."""
    code = f"import sys\nfrom pathlib import Path\n{COMMANDS[arguments[0]]}"
    return [sys.executable, "-c", code, *arguments]


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """`seqvae ...` in the background."""
    return subprocess.Popen(
        python(arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def finish(arguments: list[str]) -> None:
    """`seqvae ...` to its end."""
    done = subprocess.run(python(arguments), cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"seqvae {arguments[0]} failed:\n{done.stderr.decode()[-2000:]}")


def begun(process: subprocess.Popen[bytes], sign: Path) -> float:
    """The moment at which `sign` exists: imports are over and there is something to damage."""
    while not sign.exists() and process.poll() is None:
        time.sleep(0.005)
    return time.monotonic()


def contents(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The bytes of every file that must not depend on interruptions."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in names
        for path in sorted(folder.glob(name))
        if path.is_file()
    }


def trials(
    command: list[str],
    folder: Path,
    sign: str,
    names: tuple[str, ...],
    kills: int,
    chance: random.Random,
) -> list[dict[str, object]]:
    """Kill and resume `command`, whose last argument OUT is replaced, `kills` times."""
    whole = folder / "whole"
    process = start([*command, str(whole)])
    moment = begun(process, folder / sign.format("whole"))
    if process.wait():
        finish([*command, str(whole)])
    worked = time.monotonic() - moment
    expected = contents(whole, names)
    found: list[dict[str, object]] = []
    for number in range(kills):
        out = folder / f"part{number}"
        process = start([*command, str(out)])
        begun(process, folder / sign.format(out.name))
        after = chance.uniform(0.0, worked)
        time.sleep(after)
        killed = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (out / "best").exists():
            load(out, "best")
        finish([*command, str(out)])
        same = bool(expected) and contents(out, names) == expected
        found.append({"after_seconds": round(after, 3), "was_running": killed, "equal": same})
        print(f"{command[0]} killed after {after:.2f} of {worked:.2f} s: {found[-1]}")
    return found


def main(kills: int = 10, lines: int = 60_000, steps: int = 300, smoke: bool = False) -> None:
    """Kill and resume training and preparation.

    Args:
        kills: of each of the two.
        lines: of the text that is prepared.
        steps: of the training.
        smoke: tiny, to see that it runs; nothing is recorded.
    """
    if smoke:
        kills, lines, steps = 1, 1000, 8
    chance = random.Random()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = folder / "lines.txt"
        text.write_text("\n".join(s for s, _, _ in sentences(lines)) + "\n", encoding="utf-8")
        prepare = ["prepare", str(text)]
        prepared = trials(prepare, folder, "{}.partial", ("**/*",), kills, chance)
        Corpus.open(folder / "whole", verify=True)
        runs = folder / "runs"
        runs.mkdir()
        every = [f"--steps={steps}", f"--checkpoint-every={max(1, steps // 12)}"]
        validate = [f"--validate-every={max(1, steps // 8)}", "--validate-sequences=64"]
        train = ["train", *SETTINGS, *every, *validate, str(folder / "whole")]
        names = ("metrics.jsonl", "guard.jsonl", "best/*", "last/*")
        trained = trials(train, runs, "{}/config.json", names, kills, chance)
    both = prepared + trained
    equal = sum(bool(trial["equal"]) for trial in both)
    print(f"{equal} of {len(both)} equal")
    if smoke:
        return
    path = write_result("kill", {"prepare": prepared, "train": trained, "lines": lines})
    ledger(
        "A",
        [
            {
                "bar": "6",
                "what": "kill -9 at random moments of train and prepare, resumed: bit-equal",
                "target": f"{len(both)} of {len(both)}",
                "figure": f"{equal} of {len(both)}",
                "met": equal == len(both) >= 20,
                "result_file": path,
            }
        ],
    )


if __name__ == "__main__":
    tyro.cli(main)
