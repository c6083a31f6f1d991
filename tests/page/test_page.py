"""The page in a real browser, against a server that only answers."""

import json
import time

import pytest

from tests.page.chromium import Page
from tests.page.steps import SENTENCE, TEXTS, clean, ready, settle, slide, typed
from tests.page.stub import TEXT, Stub


def test_typing_shows_paraphrases_and_surprisal(page: Page, stub: Stub) -> None:
    ready(page, stub)
    assert page.run("document.title") == "bible-small · seqvae"
    assert page.run("document.querySelector('#paraphrase-empty').checkVisibility()")
    page.click("#sentence")
    for letter in SENTENCE:
        page.write(letter)
    page.until("document.querySelectorAll('#paraphrases li').length === 5")
    page.until("document.querySelectorAll('.piece').length === 9")
    assert len(stub.behaviour.bodies("/v1/paraphrase")) < len(SENTENCE) / 3  # typing is awaited
    body = stub.behaviour.bodies("/v1/paraphrase")[-1]
    assert body == {
        "texts": [SENTENCE],
        "n": 5,
        "noise_scale": 1,
        "seed": 0,
        "temperature": 0,
        "top_k": 0,
        "top_p": 1,
        "beam": False,
    }
    assert page.run("document.querySelector('#paraphrases mark').textContent") != ""
    assert stub.behaviour.bodies("/v1/score")[-1] == {"texts": [SENTENCE], "samples": 16}
    clean(page, stub)


def test_the_slider_changes_the_paraphrases_and_only_the_last_answer_counts(
    page: Page, stub: Stub
) -> None:
    before = typed(page, stub)
    stub.behaviour.delay = 0.3
    for noise in (1.2, 1.4, 1.6):
        slide(page, "#noise", noise)
        time.sleep(0.12)  # longer than the page waits: each is sent
    stub.behaviour.delay = 0.0
    slide(page, "#noise", 0.2)
    settle(page)
    page.until(
        "document.querySelector('#paraphrases li:last-child .facts').textContent.includes('copy')"
    )
    time.sleep(0.5)  # the slow answers to the older requests are all sent now
    texts = page.run(TEXTS)
    assert texts != before
    assert texts[-1] == SENTENCE
    asked = [body["noise_scale"] for body in stub.behaviour.bodies("/v1/paraphrase")]
    assert asked[-1] == 0.2
    assert len(asked) >= 3
    assert page.run("document.querySelector('#noise-value').textContent") == "0.20"
    clean(page, stub)


def test_controls_reach_the_request(page: Page, stub: Stub) -> None:
    typed(page, stub)
    slide(page, "#temperature", 0.7)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    for selector, value in {"#seed": "42", "#count": "3", "#top-k": "20", "#top-p": "0.9"}.items():
        page.run(f"document.querySelector('{selector}').select()")
        page.write(value)
    page.until("document.querySelectorAll('#paraphrases li').length === 3")
    settle(page)
    body = stub.behaviour.bodies("/v1/paraphrase")[-1]
    assert {**body, "texts": []} == {
        "texts": [],
        "n": 3,
        "noise_scale": 1,
        "seed": 42,
        "temperature": 0.7,
        "top_k": 20,
        "top_p": 0.9,
        "beam": False,
    }
    request = page.run("document.querySelector('#request').textContent")
    assert f"curl {stub.address}v1/paraphrase" in request
    assert '"seed":42' in request
    page.click("#beam")
    assert page.run("document.querySelector('#temperature').disabled")
    settle(page)
    assert stub.behaviour.bodies("/v1/paraphrase")[-1]["beam"] is True
    assert stub.behaviour.bodies("/v1/paraphrase")[-1]["temperature"] == 0
    page.click("#new-seed")
    settle(page)
    assert stub.behaviour.bodies("/v1/paraphrase")[-1]["seed"] != 42
    clean(page, stub)


def test_numbers_outside_the_range_are_brought_inside(page: Page, stub: Stub) -> None:
    typed(page, stub)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    for selector, value in {"#count": "99", "#top-p": "7", "#seed": ""}.items():
        page.run(f"document.querySelector('{selector}').select()")
        page.write(value) if value else page.run(
            f"(() => {{ const n = document.querySelector('{selector}'); n.value = '';"
            "n.dispatchEvent(new Event('input')); })()"
        )
    page.until("document.querySelectorAll('#paraphrases li').length === 20")
    settle(page)
    body = stub.behaviour.bodies("/v1/paraphrase")[-1]
    assert (body["n"], body["top_p"], body["seed"]) == (20, 1, 0)


def test_a_walk_between_two_sentences(page: Page, stub: Stub) -> None:
    typed(page, stub)
    assert page.run("document.querySelector('#walk-a').value") == SENTENCE
    page.click("#walk-b")
    page.write("The king slept.")
    page.until("document.querySelectorAll('#walk-texts li').length === 7")
    assert page.run("document.querySelector('#walk-here').textContent") == SENTENCE
    slide(page, "#walk-place", 6)
    assert page.run("document.querySelector('#walk-here').textContent") == "The king slept."
    assert page.run("document.querySelector('[aria-current]').textContent") == "The king slept."
    slide(page, "#walk-steps", 4)
    page.until("document.querySelectorAll('#walk-texts li').length === 4")
    body = stub.behaviour.bodies("/v1/interpolate")[-1]
    assert body == {"a": SENTENCE, "b": "The king slept.", "steps": 4}
    # The place on the way is kept when the way has other steps.
    assert page.run("document.querySelector('#walk-here').textContent") == "The king slept."
    page.click("#walk-texts li:nth-child(1)")
    assert page.run("document.querySelector('#walk-here').textContent") == SENTENCE
    clean(page, stub)


def test_using_a_paraphrase_and_walking_to_one(page: Page, stub: Stub) -> None:
    texts = typed(page, stub)
    page.click("#paraphrases li:nth-child(2) button:nth-of-type(2)")
    page.until("document.querySelectorAll('#walk-texts li').length === 7")
    assert page.run("document.querySelector('#walk-b').value") == texts[1]
    page.click("#paraphrases li:nth-child(1) button:nth-of-type(1)")
    assert page.run("document.querySelector('#sentence').value") == texts[0]
    page.until(f"document.querySelector('#walk-a').value === {json.dumps(texts[0])}")
    clean(page, stub)


def test_new_sentences_go_on_from_the_seed(page: Page, stub: Stub) -> None:
    ready(page, stub)
    page.click("#sample")
    page.until("document.querySelectorAll('#samples li').length === 5")
    page.click("#sample")
    settle(page)
    page.until("document.querySelector('#sample-empty').textContent.startsWith('Seed 1')")
    assert [body["seed"] for body in stub.behaviour.bodies("/v1/sample")] == [0, 1]
    page.click("#inspire")
    page.until("document.querySelector('#sentence').value !== ''")
    page.until("document.querySelectorAll('#paraphrases li').length === 5")
    clean(page, stub)


@pytest.mark.parametrize(
    ("before", "after", "fresh"),
    [
        ("the man went up", "the man went up", []),
        ("The man, went up.", "the man went up", []),
        ("the man went up", "the old man came up", ["old", "came"]),
        ("", "a word", ["a", "word"]),
        ("a word", "", []),
        ("私は山", "私は川", ["川"]),
    ],
)
def test_words_that_are_new(
    page: Page, stub: Stub, before: str, after: str, fresh: list[str]
) -> None:
    ready(page, stub)
    parts = page.run(
        f"import('/page/diff.js').then((m) => m.freshWords({json.dumps(before)}, {json.dumps(after)}))"
    )
    assert "".join(part["text"] for part in parts) == after
    assert [part["text"] for part in parts if part["fresh"]] == fresh


def test_a_language_model_samples_and_scores(page: Page, stub: Stub) -> None:
    stub.behaviour.info = {**TEXT, "latent": 0}
    ready(page, stub)
    assert not page.run("document.querySelector('#paraphrase-card').checkVisibility()")
    assert not page.run("document.querySelector('#walk-card').checkVisibility()")
    page.click("#sample")
    page.until("document.querySelectorAll('#samples li').length === 5")
    assert stub.behaviour.bodies("/v1/sample")[-1]["temperature"] == 1
    page.click("#samples li button")
    page.until("!document.querySelector('#surprisal').hidden")
    assert stub.behaviour.bodies("/v1/paraphrase") == []
    assert page.run("document.querySelector('#temperature').checkVisibility()")
    clean(page, stub)
