"""The page in a real browser: its tests, and with a bundle what it looks like and how fast it answers.

    python -m benchmarks.page [--bundle=BUNDLE] [--pictures=FOLDER]

Needs Chromium on the PATH. The pictures are for a person to look at.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

from benchmarks.record import ROOT, ledger, write_result
from tests.page.chromium import Chromium, Page, find

SENTENCE = "he went up into the mountain"
OTHER = "the king slept in his house"
DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {},
    "dark": {"dark": True},
    "phone": {"width": 360, "height": 780},
}
MOVES = 12
START_SECONDS = 60.0


def run_tests() -> dict[str, int]:
    """Run tests/page; how many tests there are, passed, failed and were skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "tests/page", f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, check=False)
        suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    return {
        "tests": count["tests"],
        "passed": count["tests"] - failed - count["skipped"],
        "failed": failed,
        "skipped": count["skipped"],
    }


@contextlib.contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """The address of `seqvae serve BUNDLE` while the context is open."""
    command = [sys.executable, "-m", "seqvae.cli", "serve", str(bundle)]
    command += ["--port=0", "--access-log=off"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stderr is not None
            end = time.monotonic() + START_SECONDS
            said = []
            for line in process.stderr:
                said.append(line)
                words = [word for word in line.split() if word.startswith("http://")]
                if words:
                    address = words[0].rstrip("/.,") + "/"
                    wait_until_ready(address, end)
                    yield address
                    return
                if time.monotonic() > end:
                    break
            raise SystemExit("benchmarks.page: the server did not start:\n" + "".join(said))
        finally:
            process.terminate()


def wait_until_ready(address: str, end: float) -> None:
    """Before that the page says so and asks again, which a browser's console reports as failures."""
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}v2/health/ready"):
            return
        time.sleep(0.1)
    raise SystemExit("benchmarks.page: the server did not become ready")


def use(page: Page, address: str) -> None:
    """Type a sentence and a second one, and let the model write new ones."""
    page.open(address)
    page.until("!document.querySelector('#text').hidden")
    page.click("#sentence")
    page.write(SENTENCE)
    page.until("document.querySelector('#paraphrases li') && document.querySelector('.piece')")
    page.click("#walk-b")
    page.write(OTHER)
    page.until("document.querySelector('#walk-texts li')")
    page.click("#sample")
    page.until("document.querySelector('#samples li')")
    page.run("scrollTo(0, 0)")
    page.until("document.querySelectorAll('[aria-busy=true]').length === 0")
    time.sleep(0.5)  # what arrives, arrives slowly


def move_seconds(page: Page) -> list[float]:
    """Seconds from a move of the noise slider to the new paraphrases, the page's own wait included."""
    return [
        page.run(
            f"""new Promise((resolve) => {{
              const range = document.querySelector("#noise");
              const card = document.querySelector("#paraphrase-card");
              const began = performance.now();
              const seen = new MutationObserver(() => {{
                if (card.getAttribute("aria-busy") !== "false") return;
                seen.disconnect();
                resolve((performance.now() - began) / 1000);
              }});
              range.value = {0.1 + 1.8 * move / MOVES};
              range.dispatchEvent(new Event("input", {{ bubbles: true }}));
              seen.observe(card, {{ attributeFilter: ["aria-busy"] }});
            }})"""
        )
        for move in range(MOVES)
    ]


def look(path: str, bundle: Path, pictures: Path) -> dict[str, Any]:
    """Use the page with a real model on each device, and take its picture."""
    pictures.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {}
    with serving(bundle) as address, Chromium(path) as browser:
        for name, device in DEVICES.items():
            page = browser.page()
            page.show(**device)
            use(page, address)
            page.picture(pictures / f"{name}.png")
            if name == "desktop":
                seconds = move_seconds(page)
                result["move_seconds"] = {
                    "median": statistics.median(seconds),
                    "most": max(seconds),
                }
            others = [url for url in page.requests if not url.startswith((address, "blob:"))]
            result.setdefault("problems", []).extend(page.problems + others)
            page.close()
    return result


def main(bundle: Path | None = None, pictures: Path | None = None, record: bool = True) -> None:
    """Test the page in Chromium, and look at it.

    Args:
        bundle: also use it with this model.
        pictures: where pictures of that go.
        record: keep the figures, and the ledger's row.
    """
    path = find()
    if path is None:
        raise SystemExit("benchmarks.page: no Chromium here; put one on the PATH")
    result: dict[str, Any] = dict(run_tests())
    if bundle is not None:
        with tempfile.TemporaryDirectory() as folder:
            result |= look(path, bundle, pictures or Path(folder))
        print(f"problems: {result['problems'] or 'none'}; a move: {result['move_seconds']} s")
    if not record:
        return
    met = result["passed"] == result["tests"] and not result.get("problems")
    row = {
        "bar": "6",
        "what": "tests of the page in headless Chromium that pass",
        "target": "all",
        "figure": f"{result['passed']} of {result['tests']}",
        "met": met,
        "result_file": write_result("page", result),
    }
    ledger("C", [row])


if __name__ == "__main__":
    tyro.cli(main)
