"""The page on the real server: what it asks for is what `seqvae serve` understands."""

import shutil
import subprocess
from pathlib import Path

import pytest

from seqvae.serving.limits import Limits
from tests.page.chromium import Page
from tests.page.steps import NOTICE, READY, TEXTS, settle, slide
from tests.serving.stub import StubEngine, live

EXAMPLES = Path(__file__).parents[2] / "examples"


def type_and_walk(page: Page) -> None:
    """Use everything once."""
    page.click("#sentence")
    page.write("a red cat")
    page.until("document.querySelectorAll('#paraphrases li').length === 5")
    page.until("document.querySelector('.piece')")
    page.click("#walk-b")
    page.write("a dog")
    page.until("document.querySelectorAll('#walk-texts li').length === 7")
    page.click("#sample")
    page.until("document.querySelectorAll('#samples li').length === 5")


def test_every_request_of_the_page_is_understood(page: Page) -> None:
    with live() as server:
        page.open(f"http://{server.address}/")
        page.until(READY)
        type_and_walk(page)
        assert page.run(TEXTS) == [f"a red cat {k} 1" for k in range(5)]
        slide(page, "#noise", 0.25)
        settle(page)
        assert page.run(TEXTS)[0] == "a red cat 0 0.25"
        slide(page, "#temperature", 0.5)
        page.click("#beam")
        settle(page)
        texts = page.run("[...document.querySelectorAll('#samples .said')].map(p => p.textContent)")
        assert texts == [f"sample 0 {k}" for k in range(5)]
        assert page.problems == []
        assert all(url.startswith(f"http://{server.address}/") for url in page.requests)


def test_a_mistake_is_told_in_the_servers_words(page: Page) -> None:
    with live() as server:
        page.open(f"http://{server.address}/")
        page.until(READY)
        page.click("#sentence")
        page.write("a long text")
        page.until(f"{NOTICE}.querySelector('[role=alert]')")
        assert "more than 30 pieces" in page.run(f"{NOTICE}.textContent")
        page.run("document.querySelector('#sentence').value = ''")
        page.click("#sentence")
        page.write("boom")
        page.until(f"!{NOTICE}.textContent.includes('pieces')")
        assert "a secret" not in page.run("document.body.textContent")


def test_a_key_opens_the_page(page: Page) -> None:
    with live(keys=["open-sesame"]) as server:
        page.open(f"http://{server.address}/")
        page.until("document.activeElement.id === 'key'")
        page.write("open-sesame")
        page.press("Enter")
        page.until(READY)
        type_and_walk(page)


def test_a_slow_server_with_a_short_queue_is_waited_for(page: Page) -> None:
    limits = Limits(max_batch=8, max_queue=8)
    with live(StubEngine(seconds=0.25), limits) as server:
        page.open(f"http://{server.address}/")
        page.until(READY)
        page.click("#sentence")
        page.write("a red cat")
        for noise in (0.2, 0.6, 1.2, 1.7):
            slide(page, "#noise", noise)
        page.click("#sample")
        settle(page)
        assert page.run(TEXTS) == [f"a red cat {k} 1.7" for k in range(5)]
        assert page.run("document.querySelectorAll('#samples li').length") == 5


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_shell_example_is_understood() -> None:
    with live() as server:
        done = subprocess.run(
            ["sh", str(EXAMPLES / "curl.sh"), f"http://{server.address}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"and he went up|7|0.7|False"' in done.stdout
