"""A service as a user starts it, and a small HTTP client for it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import psutil

from tests.data.predicting import tiny_checkpoint

PATIENCE = 90
"""Seconds that anything may take on a busy machine."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def form(name: str, data: bytes, field: str = "file", boundary: str = "limit") -> bytes:
    """A multipart/form-data body with one file in it."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode()


FORM_HEADERS = {"Content-Type": "multipart/form-data; boundary=limit"}


@dataclass
class Server:
    """A running service: its process, address, log, and the folder that it takes temporary files from."""

    process: subprocess.Popen
    address: str
    log: Path
    temporary: Path

    def connect(self) -> http.client.HTTPConnection:
        place = urlparse(self.address)
        assert place.hostname is not None
        return http.client.HTTPConnection(place.hostname, place.port, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def predict(self, file: Path, name: str | None = None, **headers: str) -> Reply:
        return self.ask("POST", "/predict", form(name or file.name, file.read_bytes()), {**FORM_HEADERS, **headers})

    def figures(self, **headers: str) -> dict[str, float]:
        """The metrics, which must have the form that Prometheus reads."""
        reply = self.ask("GET", "/metrics", headers=headers)
        assert reply.status == 200 and reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = {}
        for line in reply.body.decode().splitlines():
            if not line.startswith("# "):
                matched = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z]+="[^"\n]*",?)+\})?) (\d[\d.e+]*)', line)
                assert matched, line
                found[matched[1]] = float(matched[2])
        return found

    def uploads(self) -> list[Path]:
        """Files of users; a run's lock is none."""
        return [path for path in self.temporary.rglob("*") if path.is_file() and path.name != ".lock"]

    def decoder(self) -> psutil.Process:
        """The process that reads an upload, as soon as there is one."""
        return wait_for(lambda: next(iter(psutil.Process(self.process.pid).children()), None), 0.002)


def wait_for(ask: Any, pause: float = 0.05) -> Any:
    """What `ask()` gives as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := ask()):
        assert time.monotonic() < deadline
        time.sleep(pause)
    return found


@contextmanager
def starting(folder: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen]:
    """Starts `python -m serving` with a tiny network; ends it.

    Its temporary files go to `folder`/temporary, what it writes to `folder`/log.
    """
    (folder / "temporary").mkdir(parents=True, exist_ok=True)
    if not (folder / "tiny").exists():
        tiny_checkpoint(folder / "tiny")
    command = [
        sys.executable,
        "-m",
        "serving",
        "--weights-dir",
        str(folder),
        "--models",
        "tiny",
        "--port",
        "0",
    ]
    with (folder / "log").open("w") as out:
        process = subprocess.Popen(
            [*command, *options],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "TMPDIR": str(folder / "temporary"), **environment},
        )
    try:
        yield process
    finally:
        for child in psutil.Process(process.pid).children() if process.poll() is None else []:
            child.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(30)


@contextmanager
def serving(folder: Path, *options: str, **environment: str) -> Iterator[Server]:
    """Starts a service as `starting` does, and waits until it listens."""
    log = folder / "log"
    with starting(folder, *options, **environment) as process:
        found = wait_for(lambda: process.poll() is not None or re.search(r"http://[\d.:]+", log.read_text()))
        assert isinstance(found, re.Match), log.read_text()
        yield Server(process, found[0], log, folder / "temporary")
