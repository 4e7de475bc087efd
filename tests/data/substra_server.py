"""A stand-in for the part of Substra's server that registering talks to: keeps what it is sent, runs nothing."""

import contextlib
import datetime
import json
import threading
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOW = datetime.datetime(2026, 1, 1).isoformat()
FILE = {"checksum": "0", "storage_address": "http://127.0.0.1/file"}
EVERYBODY = {"public": True, "authorized_ids": []}


class SubstraServer(ThreadingHTTPServer):
    """One organisation's backend.

    Attributes:
        token: the one it accepts.
        assets: (kind, key) -> what was posted.
        files: (kind, name of the form's field) -> contents, in order.
        requests: (method, path), in order.
        answer: status and body that it gives to everything instead.
    """

    def __init__(self, organization: str, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.organization, self.token = organization, token
        self.assets: dict[tuple[str, str], dict] = {}
        self.files: dict[tuple[str, str], list[bytes]] = {}
        self.requests: list[tuple[str, str]] = []
        self.answer: tuple[int, str] | None = None
        self.plan_status = "PLAN_STATUS_DOING"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def of_kind(self, kind: str) -> list[dict]:
        return [content for (of, _), content in self.assets.items() if of == kind]

    def keep(self, kind: str, content: dict) -> dict:
        key = content.setdefault("key", f"{kind}-{self.organization}-{len(self.of_kind(kind))}")
        self.assets[kind, key] = content
        return content


class _Handler(BaseHTTPRequestHandler):
    server: SubstraServer

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        self._serve(lambda parts: self._found(*parts))

    def do_POST(self) -> None:
        self._serve(self._posted)

    def _serve(self, answer) -> None:
        server, path = self.server, self.path.split("?")[0].strip("/")
        server.requests.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if server.answer is not None:
            status, text = server.answer
        elif self.headers.get("Authorization") != f"Token {server.token}":
            status, text = 401, json.dumps({"detail": "Invalid token."})
        else:
            self._body = body
            content = answer(path.split("/"))
            status, text = (
                (404, json.dumps({"detail": "Not found."})) if content is None else (200, json.dumps(content))
            )
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _found(self, kind: str, key: str = "", more: str = "") -> dict | None:
        server = self.server
        if kind == "info":
            return {
                "host": server.url, "organization_id": server.organization, "organization_name": server.organization,
                "config": {"model_export_enabled": True}, "channel": "c", "version": "1", "orchestrator_version": "1",
            }  # fmt: skip
        if (kind, key) not in server.assets:
            return None
        return {"results": []} if more == "perf" else self._whole(kind, server.assets[kind, key])

    def _posted(self, parts: list[str]) -> dict | list | None:
        kind, content = parts[0], self._form(parts[0])
        if parts[1:] == ["bulk_create"]:
            return [self.server.keep(kind, task) for task in content["tasks"]]
        kept = self.server.keep(kind, content)
        return [kept] if kind == "data_sample" else self._whole(kind, kept)

    def _form(self, kind: str) -> dict:
        header = self.headers["Content-Type"]
        if not header.startswith("multipart/"):
            return json.loads(self._body)
        content = {}
        for part in message_from_bytes(f"Content-Type: {header}\r\n\r\n".encode() + self._body).get_payload():
            name, data = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
            if name == "json":
                content = json.loads(data)
            else:
                self.server.files.setdefault((kind, "file" if kind == "data_sample" else name), []).append(data)
        return content

    def _whole(self, kind: str, content: dict) -> dict:
        """What was posted, with what the server adds."""
        own = {"owner": self.server.organization, "creation_date": NOW, "metadata": content.get("metadata") or {}}
        if kind == "data_manager":
            own |= {"permissions": {"process": EVERYBODY}, "logs_permission": EVERYBODY, "opener": FILE}
            own |= {"description": FILE, "data_sample_keys": []}
        if kind == "compute_plan":
            own |= {"tag": "", "status": self.server.plan_status}
        return {**content, **own}


@contextlib.contextmanager
def substra_server(organization: str, token: str) -> Iterator[SubstraServer]:
    with SubstraServer(organization, token) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
