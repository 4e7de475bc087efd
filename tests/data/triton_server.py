"""A real Triton server: the minimal one that nvidia-pytriton carries, with the python backend."""

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / ".cache" / "triton"
"""Where tests/install_triton.sh puts it."""
REQUIRE_TRITON = "DEEPFAKE_REQUIRE_TRITON"
PATIENCE = 90
"""Seconds that a start may take on a busy machine."""

_SERVER = INSTALLED / "pytriton" / "tritonserver"
_SHARED = "triton_python_backend_shm_region_"
"""What the memory that a model's process shares with the server is called."""
_STUB = "triton_python_backend_stub"


def why_not() -> str | None:
    """Why no server can be started here; None if it can."""
    stub = _SERVER / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}" / _STUB
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "nvidia-pytriton carries a Triton server for Linux on x86-64 only"
    if not _SERVER.is_dir():
        return "no Triton server here: bash tests/install_triton.sh"
    if not stub.is_file():
        return f"nvidia-pytriton's python backend is not for Python {platform.python_version()}"
    loaded = subprocess.run(["ldd", stub], env=_environment(), capture_output=True, text=True)
    missing = [line.split()[0] for line in loaded.stdout.splitlines() if "not found" in line]
    return f"libraries that the python backend needs are missing: {', '.join(missing)}" if missing else None


def _environment() -> dict[str, str]:
    """The backend runs this interpreter's library, with the packages of the environment whose python comes first."""
    libraries = [sysconfig.get_config_var("LIBDIR"), str(INSTALLED / "nvidia_pytriton.libs")]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries), "PATH": path}


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class TritonServer:
    """A server on this machine alone; its ports stay the same when it is started again.

    Args:
        repository: the models.
        folder: for its backends and its log.

    Attributes:
        stubs: the processes that run the models.
    """

    def __init__(self, repository: Path, folder: Path) -> None:
        self.http, self.grpc, self.metrics = free_ports(3)
        self.url = f"127.0.0.1:{self.grpc}"
        self.log = folder / "triton.log"
        self._repository = repository
        backend = folder / "backends" / "python"
        shutil.copytree(_SERVER / "backends" / "python", backend)
        shutil.copy(_SERVER / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}" / _STUB, backend)
        self._process: subprocess.Popen | None = None
        self.stubs: list[psutil.Process] = []
        self._memory: list[str] = []

    def start(self) -> None:
        """Returns when it is ready."""
        services = zip(("http", "grpc", "metrics"), (self.http, self.grpc, self.metrics))
        ports = [f"--{service}-{key}={value}" for service, port in services for key, value in _place(port)]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [
                    _SERVER / "bin" / "tritonserver",
                    f"--model-repository={self._repository}",
                    f"--backend-directory={self.log.parent / 'backends'}",
                    *ports,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
            )
        deadline = time.monotonic() + PATIENCE
        while not self._ready():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        self.stubs = psutil.Process(self._process.pid).children()
        self._memory = [word for stub in self.stubs for word in stub.cmdline() if word.startswith(_SHARED)]

    def _ready(self) -> bool:
        try:
            return self.get("v2/health/ready") == b""
        except OSError:
            return False

    def get(self, path: str) -> bytes:
        """What its HTTP service answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.http}/{path}", timeout=5) as answer:
            return answer.read()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a crash would end it; what it would leave behind is removed."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.kill()
        self._process.wait()
        for child in self.stubs:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        for name in self._memory:
            (Path("/dev/shm") / name).unlink(missing_ok=True)


def _place(port: int) -> list[tuple[str, str]]:
    return [("address", "127.0.0.1"), ("port", str(port))]
