"""A voice changed over HTTP: files and forms in, WAV out, and what is said of everything else."""

import io
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data.speech.audio import Sound
from seqvae.data.speech.wav import decode_wav
from seqvae.serving.limits import Limits
from tests.serving.client import Answer, ask
from tests.serving.stub import Live, live, until
from tests.serving.stub_sound import RATE, StubConverter, live_sound, lopsided, wav

CONVERT = "/v1/convert"
WAV = {"Content-Type": "audio/wav"}
TONE = wav(lopsided(0.5))


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live_sound(limits=Limits(max_seconds=100, max_body_mb=8, max_bodies_mb=30)) as running:
        yield running


def heard(answer: Answer) -> Sound:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "audio/wav"
    samples, rate = decode_wav(answer.body)
    return Sound(samples[:, 0], rate)


def form(**fields: bytes | str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a form; bytes are files."""
    parts = []
    for name, value in fields.items():
        file = '; filename="x"' if isinstance(value, bytes) else ""
        content = value if isinstance(value, bytes) else value.encode()
        head = f'Content-Disposition: form-data; name="{name}"{file}'
        parts.append(b"--line\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n")
    headers = {"Content-Type": "multipart/form-data; boundary=line"}
    return b"".join([*parts, b"--line--\r\n"]), headers


def test_the_voices(server: Live) -> None:
    assert ask(server.port, "/v1/voices").json == {
        "voices": ["anna", "ben"],
        "default": "anna",
        "recordings": True,
        "sample_rate": RATE,
    }
    info = ask(server.port, "/v1/info").json
    assert info["kind"] == "speech" and info["labels"] == ["anna", "ben"]
    assert info["sample_rate"] == RATE and info["limits"]["max_seconds"] == 100


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_files_of_any_kind_and_rate(server: Live, kind: str, rate: int) -> None:
    file, sound = io.BytesIO(), lopsided(1.0, rate)
    soundfile.write(file, np.stack([sound.samples] * 2, 1), rate, format=kind)
    found = heard(ask(server.port, f"{CONVERT}?voice=ben", file.getvalue(), headers=WAV))
    assert found.rate == RATE and len(found.samples) == RATE
    # Upside down, and as loud as it was.
    middle = slice(4000, 12_000)
    np.testing.assert_allclose(found.samples[middle], -lopsided(1.0).samples[middle], atol=0.03)


def test_the_first_voice_is_the_default(server: Live) -> None:
    for headers in ({}, {"Content-Type": "application/x-www-form-urlencoded"}):
        found = heard(ask(server.port, CONVERT, TONE, headers=headers))
        np.testing.assert_allclose(found.samples, lopsided(0.5).samples, atol=1e-3)


def test_a_form_with_a_name_or_a_recording(server: Live) -> None:
    body, headers = form(sound=TONE, voice="ben", seed="3")
    found = heard(ask(server.port, CONVERT, body, headers=headers))
    assert found.samples.mean() == pytest.approx(-0.1, abs=0.01)
    target = wav(lopsided(1.0, 22_050, -1.0))
    body, headers = form(sound=TONE, voice=target)
    found = heard(ask(server.port, CONVERT, body, headers=headers))
    assert found.samples.mean() == pytest.approx(-0.1, abs=0.01)
    # Half of the way from the sound's own voice, 1, to -1: nothing.
    body, headers = form(sound=TONE, voice=target, strength="0.5")
    found = heard(ask(server.port, CONVERT, body, headers=headers))
    assert np.abs(found.samples).max() < 1e-3


def test_a_long_sound_goes_in_pieces_between_those_of_others() -> None:
    engine = StubConverter(seconds=0.02)
    with live_sound(engine) as server:
        long = lopsided(200.0)
        found = heard(ask(server.port, f"{CONVERT}?seed=9", wav(long), headers=WAV))
        assert len(found.samples) == 200 * RATE
        np.testing.assert_allclose(found.samples, long.samples, atol=1e-3)
        assert len(engine.rows) == 7
        assert max(len(row.audio) for row in engine.rows) <= 30.1 * RATE
        firsts = [int(row.options["first"][0]) for row in engine.rows]
        assert firsts == sorted(set(firsts)) and firsts[0] == 0
        assert {int(row.options["seed"][0]) for row in engine.rows} == {9}
        metrics = ask(server.port, "/metrics").body.decode()
    assert 'seqvae_real_time_factor_count{model="convert"} 7' in metrics
    seconds = [line for line in metrics.splitlines() if line.startswith("seqvae_sound_seconds")]
    assert float(seconds[0].split()[-1]) == pytest.approx(200 + 6 * 1.5, abs=1)


def test_a_short_sound_passes_a_long_one() -> None:
    engine = StubConverter(seconds=0.1)
    with live_sound(engine) as server:
        long: list[Answer] = []
        body = wav(lopsided(290.0))
        thread = threading.Thread(
            target=lambda: long.append(ask(server.port, CONVERT, body, headers=WAV, timeout=30))
        )
        thread.start()
        until(lambda: len(engine.rows) >= 1)
        heard(ask(server.port, CONVERT, TONE, headers=WAV))
        assert thread.is_alive() and len(engine.rows) < 6
        thread.join()
        heard(long[0])


def test_what_was_begun_is_finished_though_the_queue_is_full() -> None:
    engine = StubConverter(seconds=0.1)
    with live_sound(engine, Limits(max_batch=1, max_queue=1)) as server:
        found: dict[str, list[int]] = {"long": [], "short": []}

        def convert(kind: str, body: bytes) -> None:
            found[kind].append(ask(server.port, CONVERT, body, headers=WAV, timeout=30).status)

        threads = [threading.Thread(target=convert, args=("long", wav(lopsided(140.0))))]
        threads[0].start()
        until(lambda: len(engine.rows) >= 1)
        threads += [threading.Thread(target=convert, args=("short", TONE)) for _ in range(6)]
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join()
    assert found["long"] == [200]
    assert set(found["short"]) == {200, 503}


def test_a_sound_is_finished_before_the_server_ends() -> None:
    engine = StubConverter(seconds=0.1)
    with live_sound(engine) as server:
        found: list[Answer] = []
        body = wav(lopsided(140.0))
        thread = threading.Thread(
            target=lambda: found.append(ask(server.port, CONVERT, body, headers=WAV))
        )
        thread.start()
        until(lambda: len(engine.rows) >= 1)
        assert "seqvae_sounds 1" in ask(server.port, "/metrics").body.decode()
        server.stop()
        until(lambda: ask(server.port, "/v1/voices").status == 503)
        thread.join()
        heard(found[0])
    assert len(engine.rows) == 5 and not server.server.abandoned


def test_a_client_that_leaves_ends_the_work() -> None:
    engine = StubConverter(seconds=0.1)
    with live_sound(engine) as server:
        with pytest.raises(TimeoutError):
            ask(server.port, CONVERT, wav(lopsided(290.0)), headers=WAV, timeout=0.6)
        until(lambda: not server.service.batcher.busy)
        time.sleep(0.3)
        assert len(engine.rows) < 10 and not server.service.batcher.busy
        assert server.service.receiving == 0


def test_a_full_queue_refuses_and_a_slow_model_times_out() -> None:
    gate = threading.Event()
    engine = StubConverter()
    with live_sound(engine, Limits(max_batch=1, max_queue=1, timeout=0.5)) as server:
        engine.gate = gate
        found: list[Answer] = []

        def convert() -> None:
            found.append(ask(server.port, CONVERT, TONE, headers=WAV))

        threads = [threading.Thread(target=convert) for _ in range(2)]
        threads[0].start()
        until(lambda: server.service.batcher.running_rows == 1)
        threads[1].start()
        until(lambda: server.service.batcher.queued_rows == 1)
        refused = ask(server.port, CONVERT, TONE, headers=WAV)
        assert refused.status == 503 and "retry-after" in refused.headers
        for thread in threads:
            thread.join()
        assert [answer.status for answer in found] == [504, 504]
        gate.set()
        until(lambda: not server.service.batcher.busy)
        heard(ask(server.port, CONVERT, TONE, headers=WAV))


def test_silence_stays_silent(server: Live) -> None:
    silence = wav(Sound(np.zeros(RATE, np.float32), RATE))
    found = heard(ask(server.port, f"{CONVERT}?voice=ben", silence, headers=WAV))
    assert len(found.samples) == RATE and not found.samples.any()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("voice=dora", "no voice 'dora'; it has anna, ben"),
        ("strength=9", "strength is 9.0; it must be a number, at least 0 and at most 4"),
        ("strength=nan", "strength is nan"),
        ("strength=loud", "strength is 'loud'; it must be a number"),
        ("seed=1.5", "seed is '1.5'; it must be an integer"),
        ("seed=1_0", "seed is '1_0'"),
        (f"seed={2**63}", "seed is 9223372036854775808"),
        ("noise=1", "did you mean noise_scale?"),
        ("voice=ben&voice=anna", "'voice' is given twice"),
    ],
)
def test_options_that_do_not_fit(server: Live, query: str, message: str) -> None:
    answer = ask(server.port, f"{CONVERT}?{query}", TONE, headers=WAV)
    assert answer.status == 400 and message in answer.error


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 400, "there is no sound"),
        (b"these are words, many of them", 415, "not a sound file"),
        (TONE[:3000], 422, "truncated"),
        (TONE[:44], 422, "truncated"),
        (wav(Sound(np.zeros(0, np.float32), RATE)), 422, "no samples"),
        (wav(lopsided(0.05)), 422, "100 ms are needed"),
        (b"fLaC" + bytes(400), 422, "damaged"),
        (wav(lopsided(101.0)), 413, "more than 100 s"),
        (bytes(9 << 20), 413, "bytes"),
    ],
)
def test_sounds_that_cannot_be_used(
    server: Live, content: bytes, status: int, message: str
) -> None:
    answer = ask(server.port, CONVERT, content, headers=WAV)
    assert (answer.status, message in answer.error) == (status, True), answer.body
    assert server.service.receiving == 0


def test_a_few_bytes_that_stand_for_hours_are_refused_early(server: Live) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(3600 * 16_000, np.int16), 16_000, format="FLAC")
    assert len(file.getvalue()) < 1 << 20
    answer = ask(server.port, CONVERT, file.getvalue(), headers=WAV)
    assert answer.status == 413 and "more than 100 s" in answer.error


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "image/png"])
def test_what_is_not_called_a_sound(server: Live, kind: str) -> None:
    answer = ask(server.port, CONVERT, TONE, headers={"Content-Type": kind})
    assert answer.status == 415 and "audio/wav" in answer.error


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"voice": "ben"}, "there is no sound"),
        ({"sound": TONE, "target": TONE}, "a file 'target'; files are 'sound' and 'voice'"),
        ({"sound": TONE, "voices": "ben"}, "did you mean voice?"),
        ({"sound": TONE, "strength": ""}, "strength is ''"),
    ],
)
def test_forms_that_do_not_fit(server: Live, fields: dict[str, bytes], message: str) -> None:
    body, headers = form(**fields)
    answer = ask(server.port, CONVERT, body, headers=headers)
    assert answer.status == 400 and message in answer.error


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"--line--", "multipart/form-data", "no boundary"),
        (b"hello", "multipart/form-data; boundary=line", "does not occur"),
        (b"--line\r\n\r\nx", "multipart/form-data; boundary=line", "cut short"),
        (b"--line\r\nx\r\n--line--", "multipart/form-data; boundary=line", "no headers"),
        (b"--line\r\nA: b\r\n\r\nx\r\n--line--", "multipart/form-data; boundary=line", "name"),
        (
            b"--line\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * 40 + b"--line--",
            "multipart/form-data; boundary=line",
            "more than 32 fields",
        ),
    ],
)
def test_forms_that_are_none(server: Live, body: bytes, kind: str, message: str) -> None:
    answer = ask(server.port, CONVERT, body, headers={"Content-Type": kind})
    assert answer.status == 400 and message in answer.error, answer.body


def flac(sound: Sound) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound.samples, sound.rate, format="FLAC")
    return file.getvalue()


@given(data=st.data())
def test_files_and_forms_with_some_bytes_changed(server: Live, data: st.DataObject) -> None:
    short = lopsided(0.2)
    body, headers = form(sound=wav(short), voice="ben", seed="1")
    content, headers = data.draw(
        st.sampled_from([(wav(short), WAV), (flac(short), WAV), (body, headers)])
    )
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        # Mostly where the headers are.
        place = data.draw(st.one_of(st.integers(0, 60), st.integers(0, len(changed) - 1)))
        changed[place] = data.draw(st.integers(0, 255))
    changed = changed[: data.draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))]
    answer = ask(server.port, CONVERT, bytes(changed), headers=headers)
    assert answer.status in (200, 400, 413, 415, 422), answer.body
    assert server.service.receiving == 0 and server.service.converting == 0


def test_a_voice_twice_is_a_mistake(server: Live) -> None:
    body, headers = form(sound=TONE, voice=TONE)
    answer = ask(server.port, f"{CONVERT}?voice=ben", body, headers=headers)
    assert answer.status == 400 and "by name and as a recording" in answer.error


def test_a_model_that_knows_names_only() -> None:
    with live_sound(StubConverter(hears=False)) as server:
        body, headers = form(sound=TONE, voice=TONE)
        for answer in (
            ask(server.port, CONVERT, body, headers=headers),
            ask(server.port, f"{CONVERT}?strength=0.5", TONE, headers=WAV),
        ):
            assert answer.status == 400 and "by name only" in answer.error


def test_each_kind_of_bundle_says_what_it_offers(server: Live) -> None:
    for path, body in (
        ("/v1/paraphrase", {"texts": ["a"]}),
        ("/v1/sample", {}),
        ("/v2/models/model/generate", {"text": "a"}),
        ("/v2/models/model/generate_stream", {"text": "a"}),
    ):
        answer = ask(server.port, path, body)
        assert answer.status == 404 and "it offers /v1/convert" in answer.error
    with live() as texts:
        for path, content in (("/v1/voices", None), (CONVERT, TONE)):
            answer = ask(texts.port, path, content, headers=WAV)
            assert answer.status == 404 and "it offers /v1/paraphrase" in answer.error


def test_a_key_is_asked_for() -> None:
    with live_sound(keys=["open-sesame"]) as server:
        assert ask(server.port, CONVERT, TONE, headers=WAV).status == 401
        heard(ask(server.port, CONVERT, TONE, headers={**WAV, "X-API-Key": "open-sesame"}))
