"""The JavaScript examples run in Node and in a browser, with options that JavaScript could not set."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.examples.echo_model import echo
from tests.page.chromium import Chromium, find

FOLDER = Path(__file__).parents[2] / "examples" / "javascript"
SENTENCE = "où est 日本 🦊?"

needs_packages = pytest.mark.skipif(
    not (FOLDER / "node_modules" / "onnxruntime-web").exists(),
    reason="onnxruntime-web is not installed; `npm install` in examples/javascript installs it",
)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")


def node(*arguments: str) -> str:
    """What Node prints."""
    done = subprocess.run(
        ["node", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_versions_are_exact() -> None:
    package = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", v) for v in package["dependencies"].values())


@needs_packages
@needs_node
def test_generate_in_node(bundle: Path) -> None:
    out = node(str(FOLDER / "generate.mjs"), str(bundle), SENTENCE, "7")
    # 0.7 doubled is 1 as an integer.
    expected = [echo(SENTENCE, seed=7, sample=k, temperature=0.7) for k in range(5)]
    assert out.splitlines() == expected


@needs_packages
@needs_node
def test_every_option_can_be_left_out_and_set(bundle: Path, tmp_path: Path) -> None:
    rows = [
        {"text": "a"},
        {"text": "", "beam": True, "noise_scale": 0, "max_length": 9},
        {"text": "b", "seed": 2**20, "temperature": 1.5},
    ]
    script = tmp_path / "rows.mjs"
    script.write_text(
        f"""
        import {{ readFileSync }} from "node:fs";
        import {{ createRequire }} from "node:module";
        import {{ pathToFileURL }} from "node:url";
        const find = createRequire("{FOLDER}/").resolve("onnxruntime-web");
        const ort = await import(pathToFileURL(find).href.replace(".min.js", ".min.mjs"));
        const {{ open }} = await import("{(FOLDER / "paraphrase.mjs").as_uri()}");
        ort.env.logLevel = "fatal";
        ort.env.wasm.numThreads = 1;
        const write = await open(ort, readFileSync("{bundle}/cpu-fp32/model.onnx"));
        console.log(JSON.stringify(await write({json.dumps(rows)})));
        console.log(JSON.stringify(await write([{{ text: "alone" }}])));
        await write([{{ text: "x", sead: 1 }}]).catch((error) => console.log(error.message));
        """
    )
    some, alone, refused = node(str(script)).splitlines()
    assert json.loads(some) == [
        echo("a"),
        echo("", beam=True, noise_scale=0, max_length=9),
        echo("b", seed=2**20, temperature=1.5),
    ]
    assert json.loads(alone) == [echo("alone")]
    assert refused == "the model has no option sead"


@pytest.fixture
def site() -> Iterator[str]:
    """The folder of the examples on a port of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = partial(Quiet, directory=str(FOLDER))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@needs_packages
@pytest.mark.skipif(find() is None, reason="there is no Chromium here")
def test_the_page_runs_the_model_in_the_browser(bundle: Path, site: str) -> None:
    with Chromium(str(find())) as browser:
        page = browser.page()
        page.open(f"{site}index.html")
        page.until("document.querySelector('#state').textContent.startsWith('Choose')")
        document = page.call("DOM.getDocument")["root"]["nodeId"]
        field = page.call("DOM.querySelector", nodeId=document, selector="#model")["nodeId"]
        model = str(bundle / "cpu-fp32" / "model.onnx")
        page.call("DOM.setFileInputFiles", nodeId=field, files=[model])
        page.until("document.querySelector('#state').textContent === 'Ready.'")
        page.click("#sentence")
        page.write(SENTENCE)
        page.run("document.querySelector('#seed').value = 12")
        page.press("Enter")
        page.until("document.querySelector('#state').textContent === 'Written.'")
        texts = page.run("[...document.querySelectorAll('#texts li')].map(li => li.textContent)")
        assert texts == [echo(SENTENCE, seed=12, sample=k, temperature=0.7) for k in range(5)]
        assert page.problems == []
        assert all(url.startswith((site, "data:")) for url in page.requests)
