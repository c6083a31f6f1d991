"""What several tests of the page do."""

import json

from tests.page.chromium import Page
from tests.page.stub import Stub

SENTENCE = "And the man went up into the mountain."
READY = "!document.querySelector('#text').hidden"
TEXTS = "[...document.querySelectorAll('#paraphrases .said')].map(p => p.textContent)"
NOTICE = "document.querySelector('#paraphrase-card .notice')"


def ready(page: Page, stub: Stub) -> None:
    """Open the page and wait for the model."""
    page.open(stub.address)
    page.until(READY)


def typed(page: Page, stub: Stub) -> list[str]:
    """Open the page, type the sentence, and return the paraphrases."""
    ready(page, stub)
    page.click("#sentence")
    page.write(SENTENCE)
    page.until("document.querySelectorAll('#paraphrases li').length === 5")
    page.until("!document.querySelector('#surprisal').hidden")
    texts: list[str] = page.run(TEXTS)
    return texts


def slide(page: Page, selector: str, value: float) -> None:
    """Move a slider as a finger does: the value and the event."""
    page.run(
        f"(() => {{ const range = document.querySelector({json.dumps(selector)});"
        f"range.value = {value}; range.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
    )


def settle(page: Page) -> None:
    """Wait until nothing is under way."""
    page.until("document.querySelectorAll('[aria-busy=true]').length === 0")


def clean(page: Page, stub: Stub) -> None:
    """No error on the console, and no other host was asked for anything."""
    assert page.problems == []
    assert [
        url for url in page.requests if not url.startswith((stub.address, "blob:", "data:"))
    ] == []
