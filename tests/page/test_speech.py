"""The page of a speech model: a sound recorded or chosen, and what comes back."""

import base64
import email
import io
import json
import math
import struct
import time
import wave

import pytest

from tests.page.chromium import Page
from tests.page.steps import clean, slide
from tests.page.stub import SPEECH, Refusal, Stub
from tests.page.test_page_reach import CONTRAST
from tests.serving.stub_sound import live_sound

RATE = 16000


def tone(seconds: float, rate: int, channels: int = 1) -> bytes:
    """A WAV file of a 440 Hz tone."""
    frames = range(int(seconds * rate))
    samples = [int(12000 * math.sin(2 * math.pi * 440 * k / rate)) for k in frames]
    data = b"".join(struct.pack("<h", sample) * channels for sample in samples)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(data)
    return file.getvalue()


def give(page: Page, box: str, data: bytes, how: str = "choose") -> None:
    """Hand a file to one of the two boxes: chosen in its input, or dropped on it."""
    encoded = base64.b64encode(data).decode()
    page.run(
        f"""(() => {{
        const bytes = Uint8Array.from(atob("{encoded}"), (c) => c.charCodeAt(0));
        const moved = new DataTransfer();
        moved.items.add(new File([bytes], "tone.wav", {{type: "audio/wav"}}));
        const box = document.querySelector("{box}");
        if ("{how}" === "drop") {{
          for (const kind of ["dragover", "drop"])
            box.dispatchEvent(new DragEvent(kind, {{dataTransfer: moved, cancelable: true}}));
          return;
        }}
        const input = box.querySelector("input");
        input.files = moved.files;
        input.dispatchEvent(new Event("change"));
        }})()"""
    )


def choose(page: Page, voice: str) -> None:
    """Take another voice of the list."""
    page.run(
        f"(() => {{ const list = document.querySelector('#voice'); list.value = {json.dumps(voice)};"
        "list.dispatchEvent(new Event('change')); })()"
    )


def converted(page: Page, speech: Stub) -> None:
    """Convert a short tone."""
    give(page, "#sound", tone(0.5, RATE))
    page.until("!document.querySelector('#convert').disabled")
    page.click("#convert")
    page.until("!document.querySelector('#converted').hidden")


def parts(body: bytes) -> dict[str, bytes]:
    """The fields of a multipart form; its boundary is its first line."""
    boundary = body.split(b"\r\n", 1)[0][2:].decode()
    head = f'Content-Type: multipart/form-data; boundary="{boundary}"\r\n\r\n'.encode()
    message = email.message_from_bytes(head + body)
    found: dict[str, bytes] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str):
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            found[name] = payload
    return found


@pytest.fixture
def speech(page: Page, stub: Stub) -> Stub:
    """A server of a speech model, with the page open."""
    stub.behaviour.info = dict(SPEECH)
    stub.behaviour.routes["/v1/convert"] = lambda _: tone(0.3, RATE)
    page.open(stub.address)
    page.until("!document.querySelector('#speech').hidden")
    return stub


def test_a_chosen_sound_is_converted_with_a_dropped_voice(page: Page, speech: Stub) -> None:
    assert page.run("document.querySelector('#text').hidden")
    assert page.run("document.querySelector('#convert').disabled")
    give(page, "#sound", tone(0.5, 48000, channels=2))
    page.until("!document.querySelector('#convert').disabled")
    assert not page.run("document.querySelector('#target').checkVisibility()")
    choose(page, "\0recording")
    assert page.run("document.querySelector('#convert').disabled")
    give(page, "#target", tone(0.25, RATE), "drop")
    page.until("document.querySelector('#target').textContent.includes('0.3 s')")
    slide(page, "#strength", 0.75)
    page.until("!document.querySelector('#convert').disabled")
    page.click("#convert")
    page.until("!document.querySelector('#converted').hidden")
    fields = parts(speech.behaviour.bodies("/v1/convert")[0])
    assert (fields["strength"], fields["noise_scale"], fields["seed"]) == (b"0.75", b"0", b"0")
    for name, seconds in (("sound", 0.5), ("voice", 0.25)):
        with wave.open(io.BytesIO(fields[name])) as sound:
            form = (sound.getnchannels(), sound.getsampwidth(), sound.getframerate())
            assert form == (1, 2, RATE)
            assert sound.getnframes() == pytest.approx(seconds * RATE, abs=16)
            samples = struct.unpack(f"<{sound.getnframes()}h", sound.readframes(1 << 20))
            assert max(samples) == pytest.approx(12000, rel=0.02)
    page.until("document.querySelector('#after audio').duration > 0.29")
    page.until("document.querySelector('#before audio').duration > 0.49")
    saved = page.run("[...document.querySelectorAll('#converted a')].map(a => a.download)")
    assert saved == ["original.wav", "converted.wav"]
    clean(page, speech)


def test_a_sound_is_recorded(page: Page, speech: Stub) -> None:
    page.click("#sound button")
    page.until("document.querySelector('#sound').classList.contains('recording')")
    time.sleep(0.7)
    page.click("#sound button")
    page.until("!document.querySelector('#convert').disabled")
    page.press("Tab")
    page.run("document.querySelector('#convert').focus()")
    page.press("Enter")
    page.until("!document.querySelector('#converted').hidden")
    fields = parts(speech.behaviour.bodies("/v1/convert")[0])
    assert fields["voice"] == b"anna"
    with wave.open(io.BytesIO(fields["sound"])) as sound:
        assert sound.getnframes() > 0.4 * RATE
    assert page.problems == []


def test_what_is_no_sound_is_refused(page: Page, speech: Stub) -> None:
    give(page, "#sound", b"these are words")
    page.until("document.querySelector('#sound').textContent.includes('not a sound')")
    assert page.run("document.querySelector('#convert').disabled")


def test_the_servers_message_is_shown(page: Page, speech: Stub) -> None:
    speech.behaviour.refusals["/v1/convert"] = [Refusal(400, "the sound is longer than 30 s")]
    give(page, "#sound", tone(0.3, RATE))
    page.until("!document.querySelector('#convert').disabled")
    page.click("#convert")
    page.until("document.querySelector('#convert-card [role=alert]')")
    message = page.run("document.querySelector('#convert-card .notice').textContent")
    assert "longer than 30 s" in message
    page.show(width=360, height=780)
    assert page.run("document.documentElement.scrollWidth") == 360


def test_a_voice_has_a_name(page: Page, speech: Stub) -> None:
    names = page.run("[...document.querySelectorAll('#voice option')].map(o => o.textContent)")
    assert names == ["anna", "ben", "A recording of it…"]
    choose(page, "ben")
    converted(page, speech)
    assert parts(speech.behaviour.bodies("/v1/convert")[0])["voice"] == b"ben"
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    request = page.run("document.querySelector('#convert-request').textContent")
    assert "--form 'sound=@sound.wav'" in request and "--form-string 'voice=ben'" in request
    clean(page, speech)


def test_a_model_that_knows_names_only_offers_no_recording(page: Page, stub: Stub) -> None:
    stub.behaviour.info = {**SPEECH, "recordings": False}
    stub.behaviour.routes["/v1/convert"] = lambda _: tone(0.3, RATE)
    page.open(stub.address)
    page.until("!document.querySelector('#speech').hidden")
    assert page.run("document.querySelectorAll('#voice option').length") == 2
    assert not page.run("document.querySelector('#strength').checkVisibility()")
    converted(page, stub)
    assert "strength" not in parts(stub.behaviour.bodies("/v1/convert")[0])


def test_a_sound_that_is_too_long_is_not_sent(page: Page, speech: Stub) -> None:
    give(page, "#sound", tone(21, 8000))
    page.until("document.querySelector('#sound').textContent.includes('more than 20 s')")
    assert page.run("document.querySelector('#convert').disabled")


def test_a_spectrogram_shows_where_a_tone_is(page: Page, speech: Stub) -> None:
    converted(page, speech)
    # 440 Hz on 160 rows from 0 to 8 kHz in mel: row 159 - 159 * mel(440) / mel(8000).
    found = page.run(
        """import("/page/spectrogram.js").then(({ levels }) => {
          const samples = Float32Array.from({ length: 16000 }, (_, i) => Math.sin(2 * Math.PI * 440 * i / 16000));
          const found = levels(samples, 16000, 40, 160);
          const column = Array.from({ length: 160 }, (_, y) => found[40 * y + 20]);
          return { loudest: column.indexOf(Math.max(...column)), top: Math.max(...column), far: column[20] };
        })"""
    )
    mel = [2595 * math.log10(1 + hertz / 700) for hertz in (440, 8000)]
    assert found["loudest"] == pytest.approx(159 - 159 * mel[0] / mel[1], abs=1.5)
    assert found["top"] > 0.95 and found["far"] < 0.2
    silence = page.run(
        """import("/page/spectrogram.js").then(({ levels }) =>
          Math.max(...levels(new Float32Array(16000), 16000, 40, 160)))"""
    )
    assert silence == 0
    colours = page.run(
        """new Set(document.querySelector('#after canvas').getContext('2d')
          .getImageData(0, 0, 480, 160).data).size"""
    )
    assert colours > 20


def test_one_plays_at_a_time_and_a_click_seeks(page: Page, speech: Stub) -> None:
    converted(page, speech)
    page.until("document.querySelector('#after audio').readyState === 4")
    page.run("document.querySelector('#before audio').loop = true")
    page.run("document.querySelector('#before audio').play()")
    page.until("!document.querySelector('#before audio').paused")
    page.run("document.querySelector('#after audio').play()")
    page.until("document.querySelector('#before audio').paused")
    page.run("document.querySelector('#after audio').pause()")
    page.run("document.querySelector('#after').scrollIntoView()")
    page.click("#after canvas")
    page.until("Math.abs(document.querySelector('#after audio').currentTime - 0.15) < 0.02")
    page.until("Math.abs(parseFloat(document.querySelector('#after .place').style.left) - 50) < 2")
    clean(page, speech)


def test_the_keyboard_is_enough(page: Page, speech: Stub) -> None:
    focus = "document.activeElement.id || document.activeElement.textContent"
    reached = []
    for _ in range(40):
        page.press("Tab")
        reached.append(page.run(focus))
        if reached[-1] == "Record":
            page.press("Enter")
            page.until("document.querySelector('#sound').classList.contains('recording')")
            time.sleep(0.6)
            page.press("Enter")
            page.until("!document.querySelector('#convert').disabled")
        elif reached[-1] == "voice":
            page.press("ArrowDown")
        elif reached[-1] == "strength":
            page.press("ArrowRight")
        elif reached[-1] == "convert":
            page.press("Enter")
            page.until("!document.querySelector('#converted').hidden")
        elif reached[-1] == "API document":
            break
        visible = "document.activeElement === document.body || document.activeElement.matches(':focus-visible, :focus-within')"
        assert page.run(visible)
    order = ["Record", "voice", "strength", "convert", "Save as WAV", "API document"]
    assert [name for name in dict.fromkeys(reached) if name in order] == order
    fields = parts(speech.behaviour.bodies("/v1/convert")[0])
    assert (fields["voice"], fields["strength"]) == (b"ben", b"1.05")
    clean(page, speech)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_sticks_out_and_every_text_can_be_read(
    page: Page, speech: Stub, width: int, dark: bool
) -> None:
    page.show(width=width, height=780, dark=dark, calm=True)
    converted(page, speech)
    choose(page, "\0recording")
    give(page, "#target", b"these are words")
    page.until("document.querySelector('#target').textContent.includes('not a sound')")
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run(f"({CONTRAST})()") == []


def test_every_control_has_a_name(page: Page, speech: Stub) -> None:
    converted(page, speech)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    controls = {"button", "slider", "spinbutton", "link", "combobox", "image", "Audio"}
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in controls
    ]
    assert len(found) > 10
    assert [role for role, name in found if not name.strip()] == []


def test_the_real_server_understands_the_page(page: Page) -> None:
    with live_sound() as server:
        page.open(f"http://{server.address}/")
        page.until("!document.querySelector('#speech').hidden")
        choose(page, "ben")
        page.click("#sound button")
        page.until("document.querySelector('#sound').classList.contains('recording')")
        time.sleep(1.2)
        page.click("#sound button")
        page.until("!document.querySelector('#convert').disabled")
        page.click("#convert")
        page.until("!document.querySelector('#converted').hidden")
        page.until("document.querySelector('#after audio').duration > 0.5")
        assert " converted in " in page.run("document.querySelector('#convert-status').textContent")
        choose(page, "\0recording")
        give(page, "#target", tone(0.5, RATE))
        page.until("!document.querySelector('#convert').disabled")
        page.click("#convert")
        page.until("document.querySelector('#convert-status').textContent.includes('converted')")
        give(page, "#sound", tone(0.05, RATE))
        page.until("document.querySelector('#sound').textContent.includes('0.1 s')")
        page.click("#convert")
        page.until("document.querySelector('#convert-card [role=alert]')")
        message = page.run("document.querySelector('#convert-card .notice').textContent")
        assert "100 ms are needed" in message
        # The browser logs that one refusal; nothing else went wrong.
        assert all("422" in problem for problem in page.problems)
        own = (f"http://{server.address}/", "blob:", "data:")
        assert all(url.startswith(own) for url in page.requests)
