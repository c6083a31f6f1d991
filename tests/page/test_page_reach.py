"""Everybody can use the page: by keys, on a phone, in the dark, with a screen reader."""

import pytest

from tests.page.chromium import Page
from tests.page.steps import SENTENCE, clean, ready, settle, slide, typed
from tests.page.stub import Refusal, Stub


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
