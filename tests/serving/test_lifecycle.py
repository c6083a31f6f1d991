"""A server's life: when it is ready, how it ends."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqvae import cli_serve
from seqvae.errors import UserError
from seqvae.serving.http import build
from seqvae.serving.lifecycle import Server
from seqvae.serving.limits import Limits
from seqvae.serving.listen import Listen
from seqvae.serving.service import Model, Service
from tests.serving.client import INFER, ask, text
from tests.serving.stub import StubEngine, live, until

ROOT = Path(__file__).parents[2]
BODY = {"inputs": [text(["a"])]}


def test_ready_only_when_warm_and_checked() -> None:
    gate = threading.Event()

    class Slow(StubEngine):
        def check_golden(self) -> None:
            assert gate.wait(5)
            super().check_golden()

    engine = Slow()
    with live(engine, wait=False) as server:
        until(lambda: ask(server.port, "/v2/health/live").status == 200)
        assert ask(server.port, "/v2/health/ready").status == 400
        assert ask(server.port, INFER, BODY).status == 503
        gate.set()
        until(lambda: ask(server.port, "/v2/health/ready").status == 200)
        assert engine.checked and engine.calls == []
    assert engine.closed


@pytest.mark.parametrize("error", [UserError("golden check: row 3 differs"), RuntimeError("bug")])
def test_a_bundle_that_cannot_be_served_ends_the_server(error: Exception) -> None:
    def load() -> Model:
        raise error

    service = Service()
    server = Server(build(service), service, Listen(port=0), load)
    with pytest.raises(type(error), match=str(error)):
        server.run()


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1 port {port}"):
            Listen(port=port).bind()
    with pytest.raises(UserError, match="choose another --host"):
        Listen(host="256.1.1.1").bind()


def test_answers_do_not_wait_for_an_acknowledgement() -> None:
    with live() as server, socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        began = time.monotonic()
        for _ in range(10):
            connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):  # head and body are two packets
                answer += connection.recv(4096)
        assert time.monotonic() - began < 0.3  # 40 ms each with Nagle's algorithm


def test_where_to_listen_is_checked() -> None:
    with pytest.raises(UserError, match="port is 65536"):
        Listen(port=65536)
    with pytest.raises(UserError, match="both --tls-cert and --tls-key"):
        Listen(tls_cert="a.pem")
    assert Listen().is_loopback and Listen(host="::1").is_loopback
    assert not Listen(host="0.0.0.0").is_loopback


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def test_a_stop_lets_what_runs_come_to_its_end() -> None:
    with live(StubEngine(seconds=0.5)) as server:
        thread, found = in_thread(lambda: ask(server.port, INFER, BODY))
        until(lambda: server.service.batcher.running_rows == 1)
        server.stop()
        until(lambda: ask(server.port, "/v2/health/ready").status == 400)
        refused = ask(server.port, INFER, BODY)
        assert (refused.status, refused.error) == (503, "the server stops")
        assert ask(server.port, "/v2/health/live").status == 200
        thread.join()
        assert found[0].status == 200
    assert not server.server.abandoned and server.engine.closed


def test_a_stop_lets_streams_come_to_their_end() -> None:
    with live(StubEngine(seconds=0.02)) as server:
        path = "/v2/models/model/generate_stream"
        thread, found = in_thread(lambda: ask(server.port, path, {"text": "words words"}))
        until(lambda: server.service.streaming == 1)
        server.stop()
        thread.join()
        assert found[0].body.endswith(b'"text":"e"}\n\n')  # the last letter of "...|False"
    assert not server.server.abandoned


def test_a_load_balancer_is_given_notice() -> None:
    listen = Listen(port=0, notice_seconds=0.4, drain_seconds=1)
    with live(listen=listen) as server:
        server.stop()
        until(lambda: ask(server.port, "/v2/health/ready").status == 400)
        assert ask(server.port, INFER, BODY).status == 200


def test_a_stop_does_not_wait_for_ever() -> None:
    listen = Listen(port=0, drain_seconds=0.1)
    with live(StubEngine(seconds=1.5), listen=listen) as server:
        thread, found = in_thread(lambda: ask(server.port, INFER, BODY))
        until(lambda: server.service.batcher.running_rows == 1)
        began = time.monotonic()
        server.stop()
        thread.join()
        assert time.monotonic() - began < 1.4
        assert found[0].status == 503
    assert server.server.abandoned


SERVE = """
import sys
from seqvae import cli_serve
from seqvae.errors import UserError
from seqvae.serving import open_model
from seqvae.serving.service import Model
from tests.serving.stub import FACTS, StubEngine
open_model.open_model = lambda *_, **__: Model(StubEngine(seconds=0.5), FACTS)
cli_serve.serve(sys.argv[1:])
"""


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, str(ROOT), "--port", "0", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_with(words: str, process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"no line with {words!r}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_status_0(number: int) -> None:
    process = start("--host", "127.0.0.1")
    try:
        port = int(line_with("ready after", process).rpartition(":")[2])
        thread, found = in_thread(lambda: ask(port, INFER, BODY))
        time.sleep(0.2)
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        thread.join()
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert found[0].status == 200
    assert '"path": "/v2/models/model/infer", "status": 200' in out
    assert "Traceback" not in err


def test_requests_given_up_end_with_status_1() -> None:
    process = start("--drain-seconds", "0.05")
    try:
        port = int(line_with("ready after", process).rpartition(":")[2])
        thread, found = in_thread(lambda: ask(port, INFER, BODY))
        time.sleep(0.2)
        process.terminate()
        _, err = process.communicate(timeout=10)
        thread.join()
    finally:
        process.kill()
    assert process.returncode == 1
    assert "they end here" in err
    assert found[0].status == 503


def test_an_open_server_without_a_key_is_warned_of() -> None:
    process = start("--host", "0.0.0.0")
    try:
        assert "SEQVAE_API_KEY" in line_with("no key is asked for", process)
    finally:
        process.kill()
        process.communicate()
    process = start("--host", "0.0.0.0", SEQVAE_API_KEY="0123456789abcdef")
    try:
        assert "0123456789abcdef" not in line_with("listening at", process)
    finally:
        process.kill()
        process.communicate()


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli_serve.serve(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for words in ("/v2/health/ready", "SIGTERM", "SEQVAE_API_KEY", "--max-queue", "127.0.0.1"):
        assert words in shown
    with pytest.raises(UserError, match="no folder"):
        cli_serve.serve(["absent.bundle"])


def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(key), "-out", str(cert), "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        capture_output=True,
        check=True,
    )
    listen = Listen(port=0, tls_cert=str(cert), tls_key=str(key), drain_seconds=1)
    with live(listen=listen) as server:
        assert server.server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        with (
            socket.create_connection(("127.0.0.1", server.port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    key.write_text("no key")
    with pytest.raises(UserError, match="--tls-key"):
        listen.check_tls()


def test_more_connections_than_there_may_be_are_refused() -> None:
    with live(limits=Limits(max_connections=2)) as server:
        held = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(3)]
        assert ask(server.port, "/v2").status == 503
        for connection in held:
            connection.close()
        until(lambda: ask(server.port, "/v2").status == 200)
