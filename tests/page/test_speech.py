"""The page of a speech model: a sound recorded or chosen, and what comes back."""

import base64
import email
import io
import math
import struct
import time
import wave

import pytest

from tests.page.chromium import Page
from tests.page.stub import SPEECH, Refusal, Stub

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
    stub.behaviour.info = {**SPEECH, "sample_rate": RATE}
    stub.behaviour.routes["/v1/convert"] = lambda _: tone(0.3, RATE)
    page.open(stub.address)
    page.until("!document.querySelector('#speech').hidden")
    return stub


def test_a_chosen_sound_is_converted_with_a_dropped_voice(page: Page, speech: Stub) -> None:
    assert page.run("document.querySelector('#text').hidden")
    assert page.run("document.querySelector('#convert').disabled")
    give(page, "#sound", tone(0.5, 48000, channels=2))
    give(page, "#voice", tone(0.25, RATE), "drop")
    page.until("document.querySelector('#voice').textContent.includes('0.3 s')")
    page.until("!document.querySelector('#convert').disabled")
    page.click("#convert")
    page.until("!document.querySelector('#converted').hidden")
    fields = parts(speech.behaviour.bodies("/v1/convert")[0])
    assert float(fields["noise_scale"]) == 1
    for name, seconds in (("sound", 0.5), ("voice", 0.25)):
        with wave.open(io.BytesIO(fields[name])) as sound:
            form = (sound.getnchannels(), sound.getsampwidth(), sound.getframerate())
            assert form == (1, 2, RATE)
            assert sound.getnframes() == pytest.approx(seconds * RATE, abs=16)
            samples = struct.unpack(f"<{sound.getnframes()}h", sound.readframes(1 << 20))
            assert max(samples) == pytest.approx(12000, rel=0.02)
    page.until("document.querySelector('#converted-audio').duration > 0.29")
    assert page.run("document.querySelector('#converted-save').download") == "converted.wav"
    assert page.problems == []


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
    assert "voice" not in fields
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
