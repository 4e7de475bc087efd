"""The page's uploads: read as the service reads them, kept for an hour, few of one address."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from starlette.requests import Request

from serving.admission import Admission, client_address
from serving.arrival import Refused, arrive, enter

FIELD = "files"
"""The form's field in which gradio's page sends a file."""
MOST_ARRIVING, MOST_ARRIVING_EACH = 16, 3
"""Uploads at a time, together and from one address."""
MOST_KEPT, MOST_KEPT_EACH = 100, 8
"""Uploads that are kept, together and from one address. An address's oldest one makes way for its next."""
_ODD = re.compile(r"[^\w .()+,=@#-]")
_MOST_NAME_BYTES = 120


class PageUploads:
    """Uploads in a folder of their own.

    Args:
        folder: where they lie; below the folder that gradio reads files from.
        max_bytes: of an upload.
        timeout: seconds that one may take to arrive.
    """

    def __init__(self, folder: Path, max_bytes: int, timeout: float) -> None:
        folder.mkdir(parents=True)
        self._folder, self.max_bytes, self._timeout = folder, max_bytes, timeout
        self._admission = Admission(MOST_ARRIVING, MOST_ARRIVING_EACH)
        self._kept: dict[Path, str] = {}

    async def take(self, request: Request) -> Path:
        """Read a request's upload and return where it lies. Raises Refused."""
        self._kept = {path: address for path, address in self._kept.items() if path.is_file()}
        if len(self._kept) >= MOST_KEPT:
            raise Refused(429, "too many uploads are kept; try again later")
        place = enter(self._admission, request)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        file: Path | None = None
        try:
            upload = await arrive(request, place, folder / "upload", self.max_bytes, self._timeout, FIELD)
            file = upload.file.rename(folder / safe_name(upload.name))
        finally:
            place.leave()
            if file is None:
                shutil.rmtree(folder, ignore_errors=True)
        self._keep(file, client_address(request.scope))
        return file

    def stop(self) -> None:
        """End the uploads that are still arriving."""
        self._admission.stop()

    def _keep(self, file: Path, address: str) -> None:
        own = [path for path, owner in self._kept.items() if owner == address]
        for path in own[: max(0, len(own) + 1 - MOST_KEPT_EACH)]:
            del self._kept[path]
            shutil.rmtree(path.parent, ignore_errors=True)
        self._kept[file] = address


def safe_name(name: str) -> str:
    """Return a file's name without folders, without signs that have a meaning elsewhere, and of a bounded length."""
    plain = _ODD.sub("_", name.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .") or "upload"
    path = Path(plain)
    room = _MOST_NAME_BYTES - len(path.suffix.encode())
    if room < 1:
        return plain.encode()[:_MOST_NAME_BYTES].decode(errors="ignore")
    return path.stem.encode()[:room].decode(errors="ignore") + path.suffix
