"""Shards made of a data root, and a web server over a folder."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pack(root: Path, out: Path, *options: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "preprocessing/pack_shards.py", "--root-dir", root, "--out", out, *options]
    words = [str(word) for word in [*command, "--workers", 1]]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        self.server.requests.append((self.command, Path(self.path).name))


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The address of a web server over a folder, and what it was asked for: (method, file's name)."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        server.requests = []
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", server.requests
        finally:
            server.shutdown()
            thread.join()
