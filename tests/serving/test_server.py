"""The server over real sockets: half-sent requests, few open files, a stop."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.data.service_process import wait_for

pytestmark = pytest.mark.server

HEAD_SECONDS = 1.0
_SERVE = """
import sys
from functools import partial
import resource
from serving import server
server.HEAD_SECONDS = {head_seconds}
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, hard))

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while scope["path"] == "/body" and (await receive()).get("more_body"):
        pass
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}})
    await send({{"type": "http.response.body", "body": b"ok"}})

place = server.bind("127.0.0.1", 0)
server.listen(app, place, partial(print, server.address_of(place), flush=True), grace_seconds=1)
"""


@pytest.fixture
def start(project_root):
    started = []

    def run(files=1024, head_seconds=HEAD_SECONDS):
        code = _SERVE.format(files=files, head_seconds=head_seconds)
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=project_root,
        )
        started.append(process)
        return process, int(re.search(r":(\d+)$", process.stdout.readline().strip())[1])

    yield run
    for process in started:
        process.kill()
        process.communicate()


def get(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().read()


def is_closed(connection):
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
    ],
    ids=["nothing", "half a head", "half a second head", "a body that nobody reads"],
)
def test_a_connection_without_a_request_is_closed(start, sent):
    _, port = start()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        if sent.count(b"\r\n\r\n"):
            assert connection.recv(500).startswith(b"HTTP/1.1 200")
        wait_for(lambda: is_closed(connection))
        assert HEAD_SECONDS / 2 < time.monotonic() - began < HEAD_SECONDS + 5


def test_a_request_in_progress_is_not_closed(start):
    _, port = start()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        time.sleep(2 * HEAD_SECONDS)
        connection.sendall(b"b")
        connection.settimeout(10)
        assert connection.recv(500).startswith(b"HTTP/1.1 200")


def test_half_sent_requests_lock_nobody_out(start):
    """400 of them where 256 files may be open, long before their time is over."""
    process, port = start(files=256, head_seconds=600)
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        assert [get(port) for _ in range(5)] == [b"ok"] * 5
        assert time.monotonic() - began < 5
    process.terminate()
    assert "Traceback" not in process.communicate(timeout=20)[1]


def test_a_stop_ends_hanging_requests(start):
    process, port = start()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0
