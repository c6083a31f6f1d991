"""A headless Chromium driven over two pipes: the browser and the standard library are all it needs.

Chromium started with ``--remote-debugging-pipe`` reads commands of the DevTools protocol from
file descriptor 3 and writes answers and events to 4, as JSON separated by NUL.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 20.0
"""How long a command or a condition may take: the machine may be busy."""

# The descriptors must be 3 and 4 in the browser; subprocess can only pass them as they are.
LAUNCHER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    "os.execv(sys.argv[3], sys.argv[3:])"
)
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # needs privileges that containers take away
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--mute-audio",
    # A microphone that beeps, and nobody who would have to allow its use.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    # A page of ours asks for nothing outside the machine, so nothing outside needs a name.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

# key -> (code, virtual key code, text)
KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    " ": ("Space", 32, " "),
    "End": ("End", 35, ""),
    "Home": ("Home", 36, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
}
SHIFT = 8


def find() -> str | None:
    """The path of a Chromium, or None. ``CHROMIUM`` in the environment names another one."""
    for name in (os.environ.get("CHROMIUM"), *NAMES):
        path = shutil.which(name) if name else None
        if path:
            return path
    return None


class Chromium:
    """The browser; as a context manager it is closed at the end."""

    def __init__(self, path: str) -> None:
        """Start it.

        Args:
            path: of the program.
        """
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        ours, theirs = _pipes()
        flags = [*FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", LAUNCHER, *map(str, theirs), path, *flags],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self._profile.name},
        )
        for descriptor in theirs:
            os.close(descriptor)
        self._write = os.fdopen(ours[0], "wb", buffering=0)
        self._read = os.fdopen(ours[1], "rb")
        self._lock = threading.Lock()
        self._last = 0
        self._answers: dict[int, Queue[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """Return the browser."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the browser."""
        self.close()

    def close(self) -> None:
        """End the browser and delete its profile."""
        try:
            self.call("Browser.close")
        except (OSError, TimeoutError):
            self._process.kill()
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        self._write.close()
        self._read.close()
        self._profile.cleanup()

    def call(
        self, method: str, params: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """Do one command of the protocol and return its result.

        Args:
            method: e.g. ``Page.navigate``.
            params: of the command.
            session: of the page it is for; None for the browser itself.

        Raises:
            RuntimeError: the browser refused it.
            TimeoutError: no answer came.
        """
        queue: Queue[dict[str, Any]] = Queue()
        with self._lock:
            self._last += 1
            number = self._last
            self._answers[number] = queue
            message = {"id": number, "method": method, "params": params or {}}
            if session:
                message["sessionId"] = session
            self._write.write(json.dumps(message).encode() + b"\0")
        try:
            answer = queue.get(timeout=SECONDS)
        except Empty:
            raise TimeoutError(f"Chromium did not answer {method} in {SECONDS} s") from None
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def page(self) -> "Page":
        """Open an empty page, alone in a context of its own: nothing is shared with others."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call(
            "Target.createTarget", {"url": "about:blank", "browserContextId": context}
        )["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})[
            "sessionId"
        ]
        page = Page(self, session, context)
        self._pages[session] = page
        page.prepare()
        return page

    def _listen(self) -> None:
        rest = b""
        while chunk := self._read.read1(1 << 16):
            *messages, rest = (rest + chunk).split(b"\0")
            for text in messages:
                message = json.loads(text)
                if "id" in message:
                    self._answers.pop(message["id"]).put(message)
                elif page := self._pages.get(message.get("sessionId", "")):
                    page.note(message["method"], message["params"])


def _pipes() -> tuple[tuple[int, int], tuple[int, int]]:
    """Two pipes: our (write, read) ends and the browser's (read, write) ends, all above 9."""
    their_read, our_write = os.pipe()
    our_read, their_write = os.pipe()
    moved = []
    for descriptor in (our_write, our_read, their_read, their_write):
        # Out of the way of 3 and 4, which the launcher fills.
        moved.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(descriptor)
    return (moved[0], moved[1]), (moved[2], moved[3])


class Page:
    """One page and what went on in it.

    Attributes:
        requests: addresses that were asked for, in order.
        problems: errors on the console and exceptions nobody caught.
    """

    def __init__(self, browser: Chromium, session: str, context: str) -> None:
        """Use ``Chromium.page``.

        Args:
            browser: that shows it.
            session: of the protocol.
            context: the browser context to dispose of at the end.
        """
        self._browser = browser
        self._session = session
        self._context = context
        self._loaded = threading.Event()
        self.requests: list[str] = []
        self.problems: list[str] = []

    def prepare(self) -> None:
        """Ask for the events that `note` reads."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Close the page with all it stored."""
        self._browser.call("Target.disposeBrowserContext", {"browserContextId": self._context})

    def call(self, method: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401
        """Do one command of the protocol for this page.

        Args:
            method: e.g. ``Emulation.setDeviceMetricsOverride``.
            **params: of the command.
        """
        return self._browser.call(method, params, self._session)

    def note(self, method: str, params: dict[str, Any]) -> None:
        """Remember what an event says.

        Args:
            method: name of the event.
            params: of the event.
        """
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"].get("exception", params)))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.problems.append(str([part.get("value", part) for part in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            entry = params["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}")

    def show(
        self, *, width: int = 1200, height: int = 900, dark: bool = False, calm: bool = False
    ) -> None:
        """Take the size and the wishes of a device.

        Args:
            width: in CSS pixels; below 600 it is a phone.
            height: in CSS pixels.
            dark: prefers a dark page.
            calm: prefers reduced motion.
        """
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, address: str) -> None:
        """Go there and wait until it is loaded.

        Args:
            address: of the page.
        """
        self._loaded.clear()
        self.call("Page.navigate", url=address)
        if not self._loaded.wait(SECONDS):
            raise TimeoutError(f"{address} did not load in {SECONDS} s")

    def run(self, script: str) -> Any:  # noqa: ANN401
        """The value of a JavaScript expression; promises are awaited.

        Args:
            script: the expression.
        """
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression is true.

        Args:
            script: the expression.
        """
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if self.run(f"Boolean({script})"):
                return
            time.sleep(0.03)
        text = self.run("document.body.innerText")
        raise TimeoutError(f"not true in {SECONDS} s: {script}\nThe page says:\n{text}")

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys one after the other.

        Args:
            *keys: names as in ``KEYS``.
            shift: with the shift key held.
        """
        for key in keys:
            code, number, text = KEYS[key]
            event = {
                "key": key,
                "code": code,
                "windowsVirtualKeyCode": number,
                "modifiers": SHIFT if shift else 0,
            }
            down = {**event, "type": "keyDown" if text else "rawKeyDown", "text": text}
            self.call("Input.dispatchKeyEvent", **down)
            self.call("Input.dispatchKeyEvent", **event, type="keyUp")

    def write(self, text: str) -> None:
        """Type into what has the focus.

        Args:
            text: any characters.
        """
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click in the middle of an element with the mouse.

        Args:
            selector: CSS, of a visible element.
        """
        x, y = self.run(
            f"""(() => {{ const node = document.querySelector({json.dumps(selector)});
            node.scrollIntoView({{block: 'center', behavior: 'instant'}});
            const box = node.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save what the page looks like as PNG.

        Args:
            path: of the file.
            whole: all of the page, not only what is in view.
        """
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
