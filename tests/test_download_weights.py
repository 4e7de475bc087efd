"""download_weights.sh against a real server on this machine: resume, strict loading, checksums."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deepfake import published
from deepfake.checkpoints import downloads
from deepfake.storage.locks import writing_folder
from tests.data.predicting import tiny_checkpoint

pytestmark = pytest.mark.slow

GOOD, OTHER, BAD = "good", "other", "bad"
CHUNK = 1 << 16


class _Handler(BaseHTTPRequestHandler):
    """Serves files with byte ranges, as slowly as the server is told."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.server.folder / Path(self.path).name
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.server.requests.append((path.name, int(wanted[1]) if wanted else 0))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        start = int(wanted[1]) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        for at in range(start, len(data), CHUNK):
            self.wfile.write(data[at : at + CHUNK])
            time.sleep(self.server.delay)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    tiny_checkpoint(folder / GOOD)
    tiny_checkpoint(folder / OTHER, seed=1)
    (folder / BAD).write_bytes((folder / GOOD).read_bytes()[:-1000])
    return folder


@pytest.fixture
def server(files):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        running.folder, running.requests, running.delay = files, [], 0.0
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _environment(server, **more: str) -> dict[str, str]:
    url = f"http://127.0.0.1:{server.server_address[1]}/release"
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "PYTHON": sys.executable, "WEIGHTS_URL": url, **more}


@pytest.fixture
def download(server, project_root):
    def run(folder: Path, *names: str, **more: str) -> subprocess.CompletedProcess:
        command = ["bash", str(project_root / "download_weights.sh"), str(folder), *names]
        return subprocess.run(command, env=_environment(server, **more), capture_output=True, text=True)

    return run


def test_a_killed_download_continues_and_is_checked(server, download, files, project_root, tmp_path):
    folder = tmp_path / "weights with space"
    server.delay = 0.1
    command = ["bash", str(project_root / "download_weights.sh"), str(folder), GOOD]
    process = subprocess.Popen(
        command, env=_environment(server), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    part = folder / f"{GOOD}.part"
    deadline = time.monotonic() + 60
    while (not part.exists() or part.stat().st_size < CHUNK) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, 9)
    process.wait()
    had = part.stat().st_size
    assert CHUNK <= had < (files / GOOD).stat().st_size
    assert not (folder / GOOD).exists()
    server.delay = 0.0
    done = download(folder, GOOD)
    assert done.returncode == 0, done.stderr
    assert server.requests == [(GOOD, 0), (GOOD, had)]  # the second run asked for the rest only
    assert (folder / GOOD).read_bytes() == (files / GOOD).read_bytes()
    digest = hashlib.sha256((files / GOOD).read_bytes()).hexdigest()
    assert f"{GOOD}: loads strictly, SHA-256 {digest} recorded" in done.stdout
    assert (folder / "SHA256SUMS").read_text() == f"{digest}  {GOOD}\n"
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", GOOD]
    subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    again = download(folder, GOOD)
    assert (again.returncode, again.stdout) == (0, f"{GOOD}: unchanged\n")
    assert len(server.requests) == 2
    with (folder / GOOD).open("r+b") as file:
        file.write(b"!")
    changed = download(folder, GOOD)
    assert changed.returncode == 1
    assert changed.stderr.startswith(f"error: {folder / GOOD}: has changed: SHA-256 is ")


def test_a_damaged_download_is_refused_and_removed(download, tmp_path):
    done = download(tmp_path, BAD)
    assert done.returncode == 1
    assert f"error: {tmp_path / BAD}.unchecked: damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_reported(download, tmp_path):
    done = download(tmp_path, "nonesuch")
    assert done.returncode == 1
    assert "nonesuch cannot be downloaded; run the same command again to continue" in done.stderr


@pytest.mark.skipif(shutil.which("wget") is None, reason="wget is not installed")
def test_wget_continues_too(server, download, files, tmp_path):
    data = (files / OTHER).read_bytes()
    (tmp_path / f"{OTHER}.part").write_bytes(data[:1000])
    # Recorded already, so that nothing has to be loaded.
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(data).hexdigest()}  {OTHER}\n")
    done = download(tmp_path, OTHER, DOWNLOADER="wget")
    assert done.returncode == 0, done.stderr
    assert server.requests == [(OTHER, 1000)]
    assert (tmp_path / OTHER).read_bytes() == data


def test_names_may_not_leave_the_folder(download, tmp_path):
    done = download(tmp_path, "../../etc/passwd")
    assert done.returncode == 1
    assert "expected the plain name of a weight file" in done.stderr


def test_usage(project_root):
    script = str(project_root / "download_weights.sh")
    for argument, code in (("--help", 0), ("--nonsense", 2)):
        done = subprocess.run(["bash", script, argument], capture_output=True, text=True)
        assert done.returncode == code
        assert (done.stdout or done.stderr).startswith("usage: bash download_weights.sh [WEIGHTS_DIR] [NAME...]")


def test_the_published_seven():
    assert len(set(published.NAMES)) == 7
    assert all(name.split("_")[1] in {"111", "555", "777", "888", "999"} for name in published.NAMES)
    assert published.BASE_URL.startswith("https://github.com/selimsef/dfdc_deepfake_challenge/releases/download/")


def _verify(folder: Path, *names: str) -> list[str]:
    return list(downloads.verify(folder, names))


def test_a_file_put_there_by_hand_is_checked_and_recorded(files, tmp_path):
    shutil.copy(files / GOOD, tmp_path)
    assert "loads strictly" in _verify(tmp_path, GOOD)[0]
    assert _verify(tmp_path, GOOD) == [f"{GOOD}: unchanged"]


def test_a_second_download_must_be_the_same_file(files, tmp_path):
    shutil.copy(files / GOOD, tmp_path / "x")
    _verify(tmp_path, "x")
    (tmp_path / "x").unlink()
    shutil.copy(files / OTHER, tmp_path / "x.unchecked")  # loads, but is another one
    with pytest.raises(published.WeightsError, match="has changed"):
        _verify(tmp_path, "x")
    assert not (tmp_path / "x").exists()


def test_what_is_missing(files, tmp_path):
    shutil.copy(files / GOOD, tmp_path)
    (tmp_path / "b.unchecked").touch()
    assert downloads.missing(tmp_path, [GOOD, "b", "c"]) == ["c"]
    assert downloads.missing(tmp_path) == list(published.NAMES)
    with pytest.raises(published.WeightsError, match="c: no such file; download it again"):
        list(downloads.verify(tmp_path, ["c"]))


def test_a_damaged_record_is_reported(tmp_path):
    (tmp_path / downloads.CHECKSUMS).write_text("123 a\n")
    with pytest.raises(published.WeightsError, match="is not 'SHA256  NAME'"):
        downloads.read_checksums(tmp_path)


def test_two_downloads_at_once_are_refused(project_root, tmp_path):
    command = ["bash", "download_weights.sh", str(tmp_path)]
    with writing_folder(tmp_path):
        done = subprocess.run(
            command, cwd=project_root, capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable}
        )
    assert done.returncode == 2
    assert f"error: {tmp_path} is being written by process {os.getpid()}" in done.stderr
