"""Sound below /v1: a recording in, the same words in another voice out."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from seqvae.data.speech.audio import BadSound
from seqvae.data.speech.energy import Floats
from seqvae.data.speech.wav import encode_wav
from seqvae.errors import UserError
from seqvae.serving.converting import How, pieces
from seqvae.serving.exchange import answer, read_body, route, unless_gone
from seqvae.serving.fields import Field, read_fields
from seqvae.serving.multipart import read_multipart
from seqvae.serving.refusal import Refusal, refuse, shown
from seqvae.serving.service import Service, SoundEngine
from seqvae.serving.sounds import Outputs, SoundRow
from seqvae.tasks.recording import Recording, TooLong

PATH = "/v1/convert"
FIELDS = (
    Field("voice", "string", "Name of a voice of /v1/voices; the first without.", ""),
    Field(
        "strength",
        "number",
        "0 keeps the speaker's own voice, 1 takes the wanted one, more goes past it. Other than 1 only where "
        "/v1/voices says that recordings are heard.",
        1.0,
        0.0,
        4.0,
    ),
    Field("noise_scale", "number", "Width of the content's noise.", 0.0, 0.0, 10.0),
    Field("seed", "integer", "Fixes everything random.", 0, -(2**63), 2**63 - 1),
)
ABOUT = (
    "The same words in another voice (speech bundles): send a sound file (WAV, FLAC, OGG, MP3) as the body, options "
    "in the query; or a form with the file `sound`, and `voice` as a name or a recording of it. The answer is a WAV "
    "file, mono, at the model's rate, as long as the sound."
)
KEY = ("convert",)
_SAMPLE = 4  # bytes of a float32
# What `curl --data-binary` says of any file when it is not told.
_FORM = "application/x-www-form-urlencoded"
_FILES = ("application/octet-stream", "application/ogg", "video/ogg", _FORM, "")

T = TypeVar("T")


def routes() -> list[BaseRoute]:
    """Addresses of sound below /v1."""
    return [route("/v1/voices", _voices), route(PATH, _convert, method="POST")]


async def _voices(service: Service, request: Request) -> Response:
    model = service.loaded()
    voices = model.sound().vectors()
    names = list(voices.named)
    return answer(
        {
            "voices": names,
            "default": names[0],
            "recordings": voices.hears,
            "sample_rate": voices.facts.rate,
        }
    )


async def _convert(service: Service, request: Request) -> Response:
    engine = service.loaded().sound()
    service.check_room(KEY[0])
    form = _content_type(request) == "multipart/form-data"
    content = await read_body(service, request)
    sound, target, given = _form(content, request) if form else (content, None, {})
    values = _values(request, given)
    if not sound:
        refuse(
            "there is no sound: send a sound file as the body, or as the field 'sound' of a form"
        )
    if target is not None and values["voice"]:
        refuse("voice is given twice: by name and as a recording")
    name, how = values["voice"] or None, How(**{k: v for k, v in values.items() if k != "voice"})
    began = time.perf_counter()
    with service.converts(), service.holding(len(content)):
        work = _Work(service)
        heard = await unless_gone(request, work.do(lambda: _heard(service, engine, sound, target)))
        source = heard[0]
        voices = engine.vectors()

        def convert() -> bytes:
            wanted = (
                voices.vector(name) if heard[1] is None else voices.heard(work.compute, heard[1])
            )
            wanted = voices.towards(work.compute, source, wanted, how.strength)
            parts = list(pieces(work.compute, voices.facts, source, wanted, how))
            return encode_wav(_joined(parts), voices.facts.rate)

        # Samples that were kept, samples that come out, and the file that is made of them.
        with service.holding(3 * _SAMPLE * source.length):
            converted = await unless_gone(request, work.do(convert))
    took = 1000 * (time.perf_counter() - began)
    headers = {"Server-Timing": f"convert;dur={took:.0f}", "Cache-Control": "no-store"}
    return Response(converted, headers=headers, media_type="audio/wav")


def _content_type(request: Request) -> str:
    """The kind of body, in lower case, without parameters.

    Raises:
        Refusal: 415 no sound.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given in _FILES or given == "multipart/form-data" or given.startswith("audio/"):
        return given
    raise Refusal(
        415,
        f"Content-Type {shown(given)} is not that of a sound; send audio/wav, audio/flac, audio/ogg, "
        "another audio type, application/octet-stream, or a multipart/form-data with the field 'sound'",
    )


def _form(content: bytes, request: Request) -> tuple[bytes, bytes | None, dict[str, str]]:
    """Sound, recording of the voice, and other fields of a form."""
    files: dict[str, bytes] = {}
    texts: dict[str, str] = {}
    for part in read_multipart(content, request.headers["content-type"]):
        if part.name in files or part.name in texts:
            refuse(f"the form has the field {shown(part.name)} twice")
        if part.name == "sound" or (part.name == "voice" and part.is_file):
            files[part.name] = part.content
        elif part.is_file:
            refuse(f"the form has a file {shown(part.name)}; files are 'sound' and 'voice'")
        else:
            texts[part.name] = _text(part.name, part.content)
    return files.get("sound", b""), files.get("voice"), texts


def _text(name: str, content: bytes) -> str:
    try:
        return content[:1000].decode()
    except UnicodeDecodeError:
        refuse(f"{shown(name)} is not UTF-8")


def _values(request: Request, given: Mapping[str, str]) -> dict[str, Any]:
    """Options of the query and the form, checked."""
    texts = dict(given)
    for name, text in request.query_params.multi_items():
        if name in texts:
            refuse(f"{shown(name)} is given twice")
        texts[name] = text
    kinds = {field.name: field.kind for field in FIELDS}
    return read_fields({k: _number(kinds.get(k), v) for k, v in texts.items()}, FIELDS)


def _number(kind: str | None, text: str) -> str | int | float:
    """The number that a text is of a field that wants one; else the text, which the field then refuses."""
    makers: dict[str | None, Callable[[str], int | float]] = {"integer": int, "number": float}
    plain = text.isascii() and len(text) <= 40 and "_" not in text
    if kind not in makers or not plain:
        return text
    try:
        return makers[kind](text)
    except ValueError:
        return text


def _heard(
    service: Service, engine: SoundEngine, sound: bytes, target: bytes | None
) -> tuple[Recording, Recording | None]:
    """The sound, and the recording of the voice; runs in a thread.

    Raises:
        Refusal: 413 too long; 415 no sound file; 422 damaged, too short, or not finite.
    """
    found = []
    for name, content in (("sound", sound), ("voice", target)):
        if content is None:
            continue
        try:
            found.append(engine.recording(content, longest=service.limits.max_seconds))
        except TooLong as error:
            raise Refusal(413, f"{name}: {error}") from None
        except BadSound as error:
            status = 415 if error.reason == "not a sound file" else 422
            detail = f" ({error.detail})" if error.detail else ""
            raise Refusal(status, f"{name}: {error.reason}{detail}") from None
        except UserError as error:
            raise Refusal(422, f"{name}: {error}") from None
    return found[0], found[1] if len(found) > 1 else None


def _joined(parts: list[Floats]) -> Floats:
    joined: Floats = np.concatenate(parts)
    return joined


class _Work:
    """One request's own thread, which reads, joins and writes sound; its rows go through the batcher, among those
    of others. When the request is cancelled the thread ends at its next row.
    """

    def __init__(self, service: Service) -> None:
        self._service, self._loop = service, asyncio.get_running_loop()
        self._left, self._admitted = False, False
        self._row: Future[list[Any]] | None = None

    async def do(self, function: Callable[[], T]) -> T:
        """The result of a function, run in a thread."""
        done: asyncio.Future[T] = self._loop.create_future()

        def settle(outcome: T | BaseException) -> None:
            if done.done():
                return
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

        def work() -> None:
            outcome: T | BaseException
            try:
                outcome = function()
            except CancelledError:
                outcome = Refusal(503, "the server stops", reason="CANCELED")
            except Exception as error:  # noqa: BLE001 (it is the answer)
                outcome = error
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(settle, outcome)

        # A daemon: the process must be able to end.
        threading.Thread(target=work, name="seqvae-sound", daemon=True).start()
        try:
            return await done
        finally:
            if not done.done() or done.cancelled():
                self._left = True
                if self._row is not None:
                    self._row.cancel()

    def compute(self, row: SoundRow) -> Outputs:
        """One row, in the order of the queue; called in the thread."""
        if self._left or self._loop.is_closed():
            raise CancelledError
        # Only the first row may be refused for want of room: what was begun is finished.
        job = self._service.run(KEY, [row], 1, admitted=self._admitted)
        self._row = asyncio.run_coroutine_threadsafe(job, self._loop)
        (outputs,) = self._row.result()
        self._admitted = True
        found: Outputs = outputs
        return found
