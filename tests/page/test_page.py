"""The page in a real browser, against a server that only answers."""

import json
import time

import pytest

from tests.page.chromium import Page
from tests.page.stub import TEXT, Refusal, Stub

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
    assert [url for url in page.requests if not url.startswith((stub.address, "blob:"))] == []


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


def test_surprisal_has_numbers_for_pointer_and_keys(page: Page, stub: Stub) -> None:
    typed(page, stub)
    readout = "document.querySelector('#piece-readout').textContent"
    page.run("document.querySelector('.piece').focus()")
    assert page.run(readout).startswith("“And”: ")
    page.press("ArrowRight", "ArrowRight")
    assert page.run(readout).startswith("“man”: ")
    page.press("End")
    assert page.run(readout).startswith("“end”: 0.40 nats, 67 % likely")
    assert page.run("document.querySelectorAll('.piece[tabindex=\"0\"]').length") == 1
    box = page.run(
        "(() => { const b = document.querySelectorAll('.piece')[1].getBoundingClientRect();"
        "return [b.x + 5, b.y + 5]; })()"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    page.until(f"{readout}.startsWith('“the”: ')")
    assert not page.run("document.querySelector('.nats').checkVisibility()")
    page.click("#surprisal-numbers")
    assert page.run("document.querySelector('.nats').checkVisibility()")
    hot = "getComputedStyle(document.querySelectorAll('.piece')[{}]).backgroundColor"
    assert page.run(hot.format(6)) != page.run(hot.format(8))


def test_the_keyboard_is_enough(page: Page, stub: Stub) -> None:
    ready(page, stub)
    focus = "document.activeElement.id || document.activeElement.textContent"
    page.press("Tab")
    assert page.run(focus) == "Skip to the model"
    page.press("Enter", "Tab")
    assert page.run(focus) == "sentence"
    page.write(SENTENCE)
    page.press("Enter")
    page.until("document.querySelectorAll('#paraphrases li').length === 5")
    page.until("!document.querySelector('#surprisal').hidden")
    reached = []
    for _ in range(60):
        page.press("Tab")
        reached.append(page.run(focus))
        if reached[-1] == "noise":
            page.press("ArrowRight", "ArrowRight")
        elif reached[-1] == "seed":
            page.press("ArrowUp")
        elif reached[-1] == "beam":
            page.press(" ")
        elif reached[-1] == "walk-b":
            page.write("The king slept.")
            page.until("document.querySelectorAll('#walk-texts li').length === 7")
        elif reached[-1] == "walk-place":
            page.press("End")
        elif reached[-1] == "sample":
            page.press("Enter")
            page.until("document.querySelectorAll('#samples li').length === 5")
        visible = "document.activeElement === document.body || document.activeElement.matches(':focus-visible')"
        assert page.run(visible)
        if reached[-1] == "API document":
            break
    order = ["surprisal-numbers", "noise", "Use", "Walk there", "temperature", "seed", "new-seed"]
    order += ["beam", "walk-a", "walk-b", "walk-steps", "walk-place", "sample", "API document"]
    assert [name for name in dict.fromkeys(reached) if name in order] == order
    settle(page)
    body = stub.behaviour.bodies("/v1/paraphrase")[-1]
    assert (body["noise_scale"], body["seed"], body["beam"]) == (1.1, 1, True)
    assert page.run("document.querySelector('#walk-here').textContent") == "The king slept."
    clean(page, stub)


def test_focus_stays_when_the_list_is_written_anew(page: Page, stub: Stub) -> None:
    typed(page, stub)
    page.run("document.querySelector('#paraphrases li:nth-child(2) button').focus()")
    slide(page, "#noise", 0.1)
    page.until("document.querySelector('#paraphrases').textContent.includes('a copy')")
    item = "[...document.querySelectorAll('#paraphrases li')].indexOf(document.activeElement.closest('li'))"
    assert page.run(item) == 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_sticks_out_and_every_text_can_be_read(
    page: Page, stub: Stub, width: int, dark: bool
) -> None:
    page.show(width=width, height=780, dark=dark, calm=True)
    stub.behaviour.refusals["/v1/sample"] = [Refusal(500, "The graph failed: " + "x" * 90)]
    typed(page, stub)
    page.write(" " + "Donaudampfschifffahrtsgesellschaftskapitän" * 3)
    page.click("#walk-b")
    page.write("The king slept.")
    page.until("document.querySelectorAll('#walk-texts li').length === 7")
    page.click("#sample")
    page.until("document.querySelector('#sample-card .notice [role=alert]')")
    page.click("#surprisal-numbers")
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run(f"({CONTRAST})()") == []


CONTRAST = """() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = () => {
    const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paint = (colour) => { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const field = node.matches("textarea, input[type=number]");
    if (!(own || field) || !node.checkVisibility() || node.closest("noscript")) continue;
    if (node.closest("[disabled]") || getComputedStyle(node).clipPath !== "none") continue;
    const around = [];
    for (let n = node; n; n = n.parentElement) around.unshift(n);
    for (const n of around) paint(getComputedStyle(n).backgroundColor);
    const behind = light();
    paint(getComputedStyle(node).color);
    const front = light();
    const ratio = (Math.max(front, behind) + 0.05) / (Math.min(front, behind) + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName} ${node.className} ${node.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


def test_every_control_has_a_name(page: Page, stub: Stub) -> None:
    typed(page, stub)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    controls = {
        "button",
        "textbox",
        "slider",
        "checkbox",
        "spinbutton",
        "link",
        "listbox",
        "option",
    }
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in controls
    ]
    assert len(found) > 25
    assert [role for role, name in found if not name.strip()] == []


def test_calm_means_no_motion(page: Page, stub: Stub) -> None:
    page.show(calm=True)
    typed(page, stub)
    slide(page, "#noise", 0.4)
    settle(page)
    assert page.run("document.getAnimations().length") == 0


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
