"""Networks that a Triton server runs, in the place of checkpoints: batches go over gRPC, several under way at a time.

A server that goes away is waited for: what it had not answered is sent again, so that a restart costs time and nothing
else. A run never goes on with another network than it began with.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from deepfake.backends.facts import ExportError, ExportFacts, again, missing_library
from deepfake.backends.network import INPUT, OUTPUT, ExportedNetwork
from deepfake.backends.triton_models import FILE_HASH, KIND, NETWORK, model_name, output_width, parameters_of
from deepfake.models.weight_files import file_hash

NAME = "triton"
DEFAULT_URL = "localhost:8001"
"""Triton's own port for gRPC."""

IN_FLIGHT = 4
"""Requests under way: while the server computes one batch, it puts the next ones together."""
RETRY_SECONDS = 120.0
"""How long a server that has answered before is waited for."""
REQUEST_SECONDS = 120.0
"""How long one batch may take; a server that hangs counts as away."""
ASKING_SECONDS = 10.0
"""The same for questions about the server and its models."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
"""Seconds between attempts: doubled from the first to the longest."""

_CHANNEL = [
    *(("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)),
    # gRPC itself would wait up to two minutes before it tries to connect again.
    *(("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100)),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Shared with an earlier connection of this process, it would tell that one's last failure.
    ("grpc.use_local_subchannel_pool", 1),
]

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_NO_PROXY = [("grpc.enable_http_proxy", 0)]

_PASSING = (
    *("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "NOT_FOUND"),
    *("INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"),
)
"""The server is gone, hangs, is stopping or loading its models; or it is short of memory, or what runs the model has
crashed, and a restart helps. Any other status is about the request."""
_URL = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")

MOST_WORDS = 300
"""Characters of a server's message that an error repeats."""
_AROUND = re.compile(r"\[request id: [^\]]*\]|NOTE: .*", re.DOTALL)

Answer = TypeVar("Answer")


class TritonError(ExportError):
    """A Triton server cannot be reached or used; the message names its address and the cure."""


class _Failure(Exception):
    """An attempt failed: gRPC's status and the server's words."""

    def __init__(self, status: str, message: str) -> None:
        self.status = status.removeprefix("StatusCode.")
        words = " ".join(_AROUND.sub("", message).split())
        super().__init__(words[:MOST_WORDS] or self.status)

    @staticmethod
    def of(error: Any) -> _Failure:
        """The client's own exception as a failure."""
        return _Failure(str(error.status()), str(error.message()))


@dataclass(frozen=True)
class ServedModel:
    """What a server tells of a model that `export.triton.repository` wrote.

    Attributes:
        facts: of its network.
        sha256: of the network's file.
        max_batch: pictures of one request.
    """

    facts: ExportFacts
    sha256: str
    max_batch: int


def check_url(url: str) -> str:
    """An address as gRPC takes it. Raises TritonError if it is not HOST:PORT."""
    match = _URL.fullmatch(url)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise TritonError(f"--url {url}: expected HOST:PORT of Triton's gRPC service, e.g. {DEFAULT_URL}")
    return url


class Server:
    """A connection to one Triton server.

    Args:
        url: HOST:PORT of its gRPC service.

    Raises:
        TritonError: `url` is no address, or the client is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            from tritonclient import grpc
        except ImportError as error:
            raise missing_library(error, "python -m pip install -e '.[triton]'") from error
        self.url = check_url(url)
        self._grpc = grpc
        options = _CHANNEL + (_NO_PROXY if url.rpartition(":")[0] in _LOOPBACK else [])
        self._client = grpc.InferenceServerClient(url, channel_args=options)
        self._away_since: float | None = None

    def model(self, name: str) -> ServedModel:
        """What the server says of one of its models, asked once.

        Raises:
            TritonError: the server is unreachable or no Triton, has no such model, it is not ready, or was not made by
                this project.
        """
        try:
            return self._model(name)
        except _Failure as failure:
            if failure.status in ("UNAVAILABLE", "DEADLINE_EXCEEDED") and not self._live():
                raise TritonError(
                    f"no Triton server answers at {self.url} ({failure}); start it, or name its gRPC port with --url"
                ) from failure
            if failure.status == "UNIMPLEMENTED":
                raise TritonError(f"{self.url}: what answers there is no Triton server") from failure
            raise self._no_model(name, failure) from failure

    def model_again(self, name: str) -> ServedModel:
        """`model`, but a server that is away is waited for."""
        return self._persist(lambda: self._model(name))

    def infer(self, name: str, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """What a model puts out for each batch, in their order; up to IN_FLIGHT are under way.

        Args:
            batches: (n, 3, s, s) float32.

        Raises:
            TritonError: the server stays away for RETRY_SECONDS, or refuses a batch.
        """
        under_way: deque[tuple[np.ndarray, Future[np.ndarray]]] = deque()
        try:
            for batch in batches:
                under_way.append((batch, self._send(name, batch)))
                if len(under_way) == IN_FLIGHT:
                    yield self._receive(name, *under_way.popleft())
            while under_way:
                yield self._receive(name, *under_way.popleft())
        finally:
            for _, future in under_way:
                future.cancel()

    def _send(self, name: str, batch: np.ndarray) -> Future[np.ndarray]:
        given = self._grpc.InferInput(INPUT, list(batch.shape), "FP32")
        given.set_data_from_numpy(batch)
        wanted = [self._grpc.InferRequestedOutput(OUTPUT)]
        future: Future[np.ndarray] = Future()

        def done(result: Any, error: Any) -> None:  # in a thread of gRPC
            if not future.set_running_or_notify_cancel():
                return
            if error is not None:
                future.set_exception(_Failure.of(error))
            else:
                future.set_result(result.as_numpy(OUTPUT))

        self._client.async_infer(name, [given], done, outputs=wanted, client_timeout=REQUEST_SECONDS)
        return future

    def _receive(self, name: str, batch: np.ndarray, first: Future[np.ndarray]) -> np.ndarray:
        """The answer to a batch that is under way, sent again as often as it takes."""
        futures = iter([first])
        try:
            return self._persist(lambda: (next(futures, None) or self._send(name, batch)).result())
        except _Failure as failure:
            raise TritonError(f"{self.url}: {name} refuses pictures of shape {batch.shape}: {failure}") from failure

    def _persist(self, ask: Callable[[], Answer]) -> Answer:
        """The answer, as soon as the server gives one.

        Raises:
            TritonError: it stays away for RETRY_SECONDS.
            _Failure: it answers with an error.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = ask()
            except _Failure as failure:
                if failure.status not in _PASSING:
                    raise
                self._check_patience(failure)
            else:
                self._away_since = None
                return answer
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _check_patience(self, failure: _Failure) -> None:
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._away_since > RETRY_SECONDS:
            raise TritonError(
                f"the Triton server at {self.url} has given no answer for {RETRY_SECONDS:.0f} s ({failure}); start "
                "it again, then run the same command again to continue"
            ) from failure

    def _model(self, name: str) -> ServedModel:
        with self._failures():
            config = self._client.get_model_config(name, client_timeout=ASKING_SECONDS).config
            ready = self._client.is_model_ready(name, client_timeout=ASKING_SECONDS)
        if not ready:
            raise _Failure("UNAVAILABLE", "the model is not ready; the server's log tells why")
        return _served_model(f"{self.url}: {name}", config)

    def _no_model(self, name: str, failure: _Failure) -> TritonError:
        with contextlib.suppress(_Failure), self._failures():
            index = self._client.get_model_repository_index(client_timeout=ASKING_SECONDS).models
            reasons = {entry.name: entry.reason for entry in index}
            if name not in reasons:
                return TritonError(
                    f"{self.url}: the server has no model {name}; it has {', '.join(sorted(reasons)) or 'none'}. "
                    f"Export it to its model repository: python -m export CHECKPOINT --format {NAME} --out REPOSITORY"
                )
            return TritonError(f"{self.url}: the model {name} cannot be used: {reasons[name] or failure}")
        return TritonError(f"{self.url}: {name}: {failure}")

    def _live(self) -> bool:
        with contextlib.suppress(_Failure), self._failures():
            return bool(self._client.is_server_live(client_timeout=ASKING_SECONDS))
        return False

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        from tritonclient.utils import InferenceServerException

        try:
            yield
        except InferenceServerException as error:
            raise _Failure.of(error) from error


class ServedNetwork(ExportedNetwork):
    """A network that a Triton server runs.

    Attributes:
        served: what the server said of it at first.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.served = server.model(name)
        super().__init__(self._one, self.served.facts)
        self._server, self._name = server, name

    def stream(self, batches: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """(n, 3, s, s) batches -> what the network puts out for their pictures, in their order, not in their batches.

        The last batch's outputs come only if the server still runs the network that it ran at first.

        Raises:
            TritonError: the server stays away, refuses a batch, gives another shape, or runs another network now.
        """
        parts = (part.float().numpy() for batch in batches for part in batch.split(self.served.max_batch))
        sizes: deque[int] = deque()

        def counted() -> Iterator[np.ndarray]:
            for part in parts:
                sizes.append(len(part))
                yield part

        width = output_width(self.facts.spec)
        held: torch.Tensor | None = None
        for output in self._server.infer(self._name, counted()):
            expected = (sizes.popleft(), width)
            if output.shape != expected:
                raise TritonError(
                    f"{self._server.url}: {self._name} gave {OUTPUT} of shape {output.shape}; expected {expected}"
                )
            if held is not None:
                yield held
            held = torch.from_numpy(output.copy())
        if held is not None:
            self._confirm()
            yield held

    def _one(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.cat(list(self.stream([batch])))

    def _confirm(self) -> None:
        if self._server.model_again(self._name) != self.served:
            raise TritonError(
                f"{self._server.url}: serves another {self._name} than when this run began; run the command again"
            )


def open_served(checkpoint: Path, server: Server) -> ServedNetwork:
    """The network that a server runs for a checkpoint.

    Args:
        checkpoint: where it lies, if it is here at all; its name says which model is meant.

    Raises:
        TritonError: see `Server.model`; or the model was made from another checkpoint.
    """
    network = ServedNetwork(server, model_name(checkpoint.name))
    facts, place = network.facts, f"{server.url}: {model_name(checkpoint.name)}"
    if facts.checkpoint != checkpoint.name:
        raise TritonError(f"{place}: was made from {facts.checkpoint}; expected {checkpoint.name}")
    if checkpoint.is_file() and file_hash(checkpoint) != facts.sha256:
        raise TritonError(
            f"{place}: was made from another checkpoint than {checkpoint}; "
            f"{again(checkpoint, NAME, Path('REPOSITORY'))}, and restart the server"
        )
    return network


def _served_model(place: str, config: Any) -> ServedModel:
    """Raises TritonError if the config is not one that `export.triton.config` writes."""
    parameters = parameters_of(config)
    if parameters.get(KIND) != NETWORK or FILE_HASH not in parameters:
        raise TritonError(f"{place}: was not made from a checkpoint by python -m export --format {NAME}")
    facts = ExportFacts.from_strings(Path(place), parameters)
    size = facts.spec.input_size
    _check_shape(place, config.input, INPUT, [3, size, size])
    _check_shape(place, config.output, OUTPUT, [output_width(facts.spec)])
    if config.max_batch_size < 1:
        raise TritonError(f"{place}: max_batch_size {config.max_batch_size}: expected 1 or more")
    return ServedModel(facts, parameters[FILE_HASH], config.max_batch_size)


def _check_shape(place: str, tensors: Any, name: str, expected: list[int]) -> None:
    found = [(entry.name, list(entry.dims)) for entry in tensors]
    if found != [(name, expected)]:
        shown = ", ".join(f"{key} {dims}" for key, dims in found)
        raise TritonError(f"{place}: has {shown}; its checkpoint says {name} {expected}; {again(name=NAME)}")
