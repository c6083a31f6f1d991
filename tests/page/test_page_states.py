"""What the page says when the server refuses, is busy, is not ready, wants a key or is gone."""

from tests.page.chromium import Page
from tests.page.steps import NOTICE, READY, SENTENCE, TEXTS, ready, slide, typed
from tests.page.stub import TEXT, Refusal, Stub


def test_the_servers_message_is_shown_and_again_works(page: Page, stub: Stub) -> None:
    refusal = Refusal(400, "texts[0] has 400 pieces, the model takes 64")
    stub.behaviour.refusals["/v1/paraphrase"] = [refusal]
    ready(page, stub)
    page.click("#sentence")
    page.write(SENTENCE)
    page.until(f"{NOTICE}.querySelector('[role=alert]')")
    assert "400 pieces, the model takes 64" in page.run(f"{NOTICE}.textContent")
    page.click("#paraphrase-card .notice button")
    page.until("document.querySelectorAll('#paraphrases li').length === 5")
    assert page.run(f"{NOTICE}.hidden")


def test_an_overloaded_server_is_asked_again(page: Page, stub: Stub) -> None:
    busy = [
        Refusal(503, "Exceeds maximum queue size.", Retry_After="1"),
        Refusal(429, "Slow down."),
    ]
    stub.behaviour.refusals["/v1/paraphrase"] = busy
    ready(page, stub)
    page.click("#sentence")
    page.write(SENTENCE)
    page.until(f"{NOTICE}.textContent.includes('Exceeds maximum queue size. Trying again in 1 s.')")
    assert page.run(f"{NOTICE}.dataset.kind") == "status"
    page.until("document.querySelectorAll('#paraphrases li').length === 5")
    assert page.run(f"{NOTICE}.hidden")
    assert len(stub.behaviour.bodies("/v1/paraphrase")) == 3


def test_a_server_that_is_not_ready_yet_is_waited_for(page: Page, stub: Stub) -> None:
    wait = [Refusal(503, "The model is warming up.", Retry_After="0.3") for _ in range(2)]
    stub.behaviour.refusals["/v1/info"] = wait
    page.open(stub.address)
    page.until("document.querySelector('#start-why').textContent === 'The model is warming up.'")
    assert page.run("document.querySelector('#health-text').textContent") == "not ready"
    page.until(READY)
    assert page.run("document.querySelector('#health-text').textContent") == "ready"


def test_a_server_that_went_away_is_named(page: Page, stub: Stub) -> None:
    typed(page, stub)
    page.call(
        "Network.emulateNetworkConditions",
        offline=True,
        latency=0,
        downloadThroughput=0,
        uploadThroughput=0,
    )
    slide(page, "#noise", 0.5)
    page.until(f"{NOTICE}.textContent.includes('The server does not answer.')")
    assert len(page.run(TEXTS)) == 5  # the answer before stays
    page.call(
        "Network.emulateNetworkConditions",
        offline=False,
        latency=0,
        downloadThroughput=-1,
        uploadThroughput=-1,
    )
    page.click("#paraphrase-card .notice button")
    page.until(f"{NOTICE}.hidden")


def test_a_key_is_asked_for_and_sent(page: Page, stub: Stub) -> None:
    stub.behaviour.key = "open-sesame"
    page.open(stub.address)
    page.until("document.activeElement.id === 'key'")
    assert "missing or wrong" in page.run("document.querySelector('#start-why').textContent")
    page.write("wrong")
    page.press("Enter")
    page.until("!document.querySelector('#key-form').hidden && document.activeElement.id === 'key'")
    page.write("open-sesame")
    page.press("Enter")
    page.until(READY)
    page.click("#sentence")
    page.write(SENTENCE)
    page.until("document.querySelectorAll('#paraphrases li').length === 5")
    assert "open-sesame" not in page.run("document.documentElement.outerHTML")
    assert "YOUR-KEY" in page.run("document.querySelector('#request').textContent")


def test_what_is_infinite_is_null_and_shown(page: Page, stub: Stub) -> None:
    pieces = [{"piece": "\u2581a", "surprisal": None}, {"piece": "</s>", "surprisal": 0.5}]
    whole = {"nll_iw": None, "elbo": None, "kl": 2.0, "reconstruction": None, "pieces": pieces}
    stub.behaviour.routes["/v1/score"] = lambda _: {"scores": [{"text": "a", **whole}]}
    one = {"text": "b", "score": None, "copy": False}
    stub.behaviour.routes["/v1/paraphrase"] = lambda _: {
        "results": [{"text": "a", "candidates": [one]}]
    }
    stub.behaviour.info = {**TEXT, "limits": {"max_batch": 4, "max_samples": 8, "max_steps": 5}}
    ready(page, stub)
    page.click("#sentence")
    page.write("a")
    page.until("document.querySelector('.piece')")
    page.until("document.querySelector('#paraphrases li')")
    page.run("document.querySelector('.piece').focus()")
    readout = page.run("document.querySelector('#piece-readout').textContent")
    assert readout == "“a”: ∞ nats, impossible"
    assert page.run("document.querySelector('#paraphrases .facts').textContent").startswith("∞")
    assert stub.behaviour.bodies("/v1/score")[-1]["samples"] == 8
    assert stub.behaviour.bodies("/v1/paraphrase")[-1]["n"] == 4
    assert page.run("document.querySelector('#walk-steps').max") == "5"
    assert page.problems == []
