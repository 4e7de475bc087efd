"""A Substra network: its organisations' clients, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from substra import Client

TOKEN_FILE = "token_file"
ORGANIZATION = "organization"


class NetworkError(ValueError):
    """The network refused or was not there; the message says which organisation's, why, and what helps."""


@dataclass(frozen=True)
class Organisation:
    """An organisation's client.

    Attributes:
        name: in the connection file.
        where: its address, for messages.
    """

    name: str
    where: str
    client: Client

    @contextmanager
    def talking(self, doing: str) -> Iterator[Client]:
        """Yields the client; inside, an error of the network becomes a NetworkError about `doing`."""
        try:
            yield self.client
        except Exception as error:
            if (message := explain(error)) is None:
                raise
            raise NetworkError(f"{self.name} ({self.where}): {doing}: {message}") from error

    def id(self) -> str:
        """The organisation's id in the network. Raises NetworkError."""
        with self.talking("asking who it is") as client:
            return client.organization_info().organization_id


class Network:
    """The organisations of a connection file; each is connected when it is first asked for, and once.

    Raises:
        ValueError: not a YAML file of blocks, one an organisation.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._blocks = read_connection(path)
        self._connected: dict[str, Organisation] = {}

    @property
    def names(self) -> list[str]:
        return list(self._blocks)

    def organisation(self, name: str) -> Organisation:
        """Its token comes from the environment (`SUBSTRA_NAME_TOKEN`), from the file that `token_file` names, or from
        its block.

        Raises:
            ValueError: there is no such organisation, or its settings cannot be used.
            NetworkError: it cannot be reached.
        """
        if name not in self._connected:
            self._connected[name] = _connect(self.path, name, self._block(name))
        return self._connected[name]

    def id(self, name: str) -> str:
        """The organisation's id in the network: what its block says (`organization`), else what it answers.

        Raises:
            ValueError, NetworkError: see `organisation`.
        """
        return str(self._block(name).get(ORGANIZATION) or self.organisation(name).id())

    def _block(self, name: str) -> dict[str, Any]:
        if name not in self._blocks:
            raise ValueError(f"{self.path}: no organisation {name!r}; it has {', '.join(self._blocks)}")
        return self._blocks[name]


def read_connection(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> settings of the organisations.

    Raises:
        ValueError: not a YAML file of blocks, one an organisation.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no readable connection file: {error}") from error
    except yaml.YAMLError as error:
        # The error's own text shows lines of the file, and a token may be in one.
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise ValueError(f"{path}: not YAML{'' if line is None else f' in line {line + 1}'}") from None
    if not isinstance(content, dict) or not all(isinstance(block, dict) for block in content.values()):
        raise ValueError(f"{path}: expected a block for each organisation, with backend_type and url")
    return {str(name): block for name, block in content.items()}


def _connect(path: Path, name: str, block: dict[str, Any]) -> Organisation:
    from substra import BackendType, Client

    remote, url = BackendType.REMOTE.value, block.get("url")
    backend, known = block.get("backend_type", remote), [kind.value for kind in BackendType]
    if backend not in known:
        raise ValueError(f"{path}: {name}: backend_type {backend!r}; expected one of {', '.join(known)}")
    if backend == remote and not str(url).startswith(("http://", "https://")):
        raise ValueError(f"{path}: {name}: url {url!r}; expected the address of Substra's backend, https://...")
    token = _token(path, name, block)
    try:
        client = Client(client_name=name, configuration_file=path, backend_type=BackendType(backend), token=token)
    except Exception as error:
        if (message := explain(error)) is None:
            raise
        raise NetworkError(f"{name} ({url}): {message}") from error
    return Organisation(name, str(url or "local"), client)


def explain(error: Exception) -> str | None:
    """What an error of Substra's or of the connection means and what helps; None: it is no such error."""
    import requests
    from substra.sdk import exceptions as substra
    from substra.sdk.backends.local.compute.spawner.base import ExecutionError

    cures: list[tuple[type[Exception] | tuple[type[Exception], ...], str]] = [
        (substra.ConnectionError, "cannot be reached; is the address right, and is this machine on its network?"),
        ((substra.Timeout, substra.RequestTimeout), "did not answer in time; try again later"),
        (
            (substra.AuthenticationError, substra.BadLoginException),
            "refuses the token; make a new one on its web page and put it into SUBSTRA_NAME_TOKEN or the token_file",
        ),
        (substra.AuthorizationError, "the token's account may not do this; ask its administrator for permission"),
        (
            substra.NotFound,
            "there is no such thing there; if assets_keys.json is of another network, or the network was set up anew, "
            "delete its entry for this organisation",
        ),
        (substra.AlreadyExists, "has it already, under a key that is not in assets_keys.json"),
        (substra.InvalidRequest, "refuses the request"),
        (substra.GatewayUnavailable, "is there, but its backend does not run; try again later"),
        (substra.HTTPError, "failed; its administrator finds why in its log"),
        (
            (substra.InvalidResponse, requests.exceptions.JSONDecodeError),
            "answers, but not as Substra does; is the url that of the backend, not of the web page?",
        ),
        ((substra.SDKException, requests.exceptions.RequestException), "cannot be used"),
        (substra.FutureError, "the compute plan did not end well"),
        (ExecutionError, "a task failed; its message stands above"),
    ]
    if isinstance(error, requests.exceptions.InvalidHeader):
        return "the token holds characters that no token has"  # the error's own text shows it
    for kinds, message in cures:
        if isinstance(error, kinds):
            return f"{message} ({_short(error)})"
    return None


def _short(error: Exception) -> str:
    first = str(error).strip().split("\n")[0]
    return first[:200] or type(error).__name__


def _token(path: Path, name: str, block: dict[str, Any]) -> str | None:
    """What is in the token file; None: Substra finds the token itself, or there is none."""
    if TOKEN_FILE not in block:
        return None
    file = path.parent / str(block[TOKEN_FILE])
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: {name}: token_file {file}: {getattr(error, 'strerror', None) or 'not text'}"
        ) from None
    if not token or any(c.isspace() for c in token):
        raise ValueError(f"{path}: {name}: token_file {file}: expected a token and nothing else")
    return token
