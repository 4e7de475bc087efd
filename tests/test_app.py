"""The page in a real browser: real clips and garbage, one after the other and at once, and nothing from the network."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import psutil
import pytest

import app
from serving.page_app import MOST_KEPT_EACH
from tests.data.clips import cut, draw, gradient
from tests.data.predicting import tiny_checkpoint
from tests.data.service_process import FORM_HEADERS, form, wait_for

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.slow]

httpx = pytest.importorskip("httpx")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRE_BROWSER = "DEEPFAKE_REQUIRE_BROWSER"
UPLOADED = re.compile(r"\d\s*[KM]?B\b")
"""What the page shows beside a file that it has: the size."""
MAX_SECONDS = 4
UPLOAD, JOIN = "/gradio_api/upload", "/gradio_api/queue/join"
PATIENCE = 90_000
"""Milliseconds that a verdict may take on a busy machine."""


@pytest.fixture(scope="module")
def files(mini_dfdc, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uploads")
    cut(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", folder / "real clip.mp4", 12)
    draw(folder / "faceless.mp4", gradient(8))
    draw(folder / "long.mp4", gradient(5), 1)
    (folder / "garbage.mp4").write_bytes(b"this is no video\n" * 100)
    (folder / "large.mp4").write_bytes(bytes(3 << 20))
    return folder


@dataclass(frozen=True)
class Page:
    """A running page: its process, address, log, and the folder that it takes temporary files from."""

    process: subprocess.Popen
    address: str
    log: Path
    temporary: Path

    def post(self, path: str, **what) -> httpx.Response:
        return httpx.post(f"{self.address}{path}", timeout=60, **what)

    def upload(self, name: str, data: bytes, **what) -> httpx.Response:
        return self.post(UPLOAD, files={"files": (name, data)}, **what)

    def uploads(self) -> list[Path]:
        return [path for path in self.temporary.rglob("uploads/*/*") if path.is_file()]


@contextlib.contextmanager
def serving(project_root, folder, *options, before=""):
    """Starts the command, after the statements `before`, which may change the module `app`."""
    (folder / "temporary").mkdir(exist_ok=True)
    if not (folder / "tiny").exists():
        tiny_checkpoint(folder / "tiny")
    code = f"import sys, app\n{before}\nsys.exit(app.run_guarded(app.main, sys.stderr.write))"
    command = [sys.executable, "-c", code, "--weights-dir", str(folder), "--models", "tiny", "--port", "0", *options]
    log = folder / "log"
    with log.open("w") as out:
        environment = {**os.environ, "TMPDIR": str(folder / "temporary")}
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=project_root, env=environment)
    try:
        found = wait_for(lambda: process.poll() is not None or re.search(r"http://\S+", log.read_text()))
        assert isinstance(found, re.Match), log.read_text()
        yield Page(process, found[0].rstrip("/"), log, folder / "temporary")
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory, project_root):
    """The page, which must end well and leave nothing."""
    options = ("--max-seconds", str(MAX_SECONDS), "--max-size", "2", "--precision", "bf16")
    with serving(project_root, tmp_path_factory.mktemp("app"), *options) as running:
        yield running
        assert running.process.poll() is None, running.log.read_text()
    assert running.process.returncode == 0
    assert "Traceback" not in running.log.read_text(), running.log.read_text()
    assert list(running.temporary.iterdir()) == []


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        missing = pytest.fail if os.environ.get(REQUIRE_BROWSER) == "1" else pytest.skip
        missing("no chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(server, browser):
    """The page, opened; it may ask nobody but its server."""
    address = server.address
    context = browser.new_context()
    page = context.new_page()
    asked = set()
    forbidden = []
    page.on("request", lambda request: asked.add(urlparse(request.url)))
    page.on("console", lambda said: forbidden.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(address)
    page.wait_for_selector("#judge")
    yield page
    context.close()
    elsewhere = [
        url.geturl() for url in asked if url.scheme.startswith("http") and url.netloc != urlparse(address).netloc
    ]
    assert elsewhere == [] and forbidden == []


def upload(page, file: Path) -> None:
    page.set_input_files("#upload input[type=file]", str(file))
    page.locator("#upload").get_by_text(UPLOADED).first.wait_for(timeout=PATIENCE)


def judge(page, file: Path) -> None:
    upload(page, file)
    page.click("#judge")


def reason(page) -> str:
    return page.locator(".toast-body").first.inner_text(timeout=PATIENCE)


def report(page):
    page.wait_for_selector("#report iframe", timeout=PATIENCE)
    return page.frame_locator("#report iframe")


def test_a_real_clip_gets_its_verdict_and_pictures(page, files):
    judge(page, files / "real clip.mp4")
    shown = report(page)
    assert shown.locator("h1").inner_text() == "real clip.mp4"
    assert shown.locator(".verdict").first.inner_text() in ("real", "fake", "uncertain")
    poster = shown.locator("img").first
    poster.scroll_into_view_if_needed()
    assert poster.is_visible() and poster.evaluate("image => image.naturalWidth") > 300
    assert "Where the networks looked" in shown.locator("body").inner_text()
    assert "Computed in bf16." in shown.locator("body").inner_text(), "as the command asked for"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("garbage.mp4", "garbage.mp4: not a video file"),
        ("long.mp4", "5 seconds long; at most 4 are taken"),
        ("large.mp4", "exceed the maximum allowed size of 2.0 Mb"),
    ],
)
def test_what_cannot_be_judged_shows_the_reason(page, files, name, message):
    page.set_input_files("#upload input[type=file]", str(files / name))
    if name != "large.mp4":
        page.locator("#upload").get_by_text(UPLOADED).first.wait_for(timeout=PATIENCE)
        page.click("#judge")
    text = reason(page)
    assert message in text
    assert "/tmp" not in text and "Traceback" not in text
    assert page.locator("#report iframe").count() == 0


def test_a_video_without_a_face_has_no_verdict(page, files):
    judge(page, files / "faceless.mp4")
    shown = report(page)
    assert shown.locator(".verdict").first.inner_text() == "no verdict"
    assert "no face was found" in shown.locator("body").inner_text()


def test_without_a_file_the_page_says_so(page):
    page.click("#judge")
    assert "drop a video or a picture first" in reason(page)


def test_an_example_can_be_tried(page):
    page.locator("#examples img").first.click()
    page.get_by_text("collins.jpg").first.wait_for(timeout=PATIENCE)
    page.locator("#upload").get_by_text(UPLOADED).first.wait_for(timeout=PATIENCE)
    page.click("#judge")
    assert report(page).locator("h1").inner_text() == "collins.jpg"


def test_uploads_at_once_wait_for_each_other_and_harm_nobody(server, browser, files):
    contexts = [browser.new_context() for _ in range(3)]
    pages = [context.new_page() for context in contexts]
    names = ("real clip.mp4", "garbage.mp4", "real clip.mp4")
    for page, name in zip(pages, names):
        page.goto(server.address)
        upload(page, files / name)
    for page in pages:
        page.click("#judge")
    assert "not a video file" in reason(pages[1])
    verdicts = [report(page).locator("p").first.inner_text() for page in (pages[0], pages[2])]
    assert verdicts[0] == verdicts[1]
    for context in contexts:
        context.close()


def test_it_listens_on_loopback_alone(server):
    listening = [
        c.laddr for c in psutil.Process(server.process.pid).net_connections() if c.status == psutil.CONN_LISTEN
    ]
    assert urlparse(server.address).port in {place.port for place in listening}
    assert {place.ip for place in listening} == {"127.0.0.1"}


def test_an_upload_that_is_broken_off_is_deleted(server):
    """It lies in a file without a name, of which the server's open files tell."""
    place = urlparse(server.address)
    body = form("private.mp4", bytes(2 << 20), "files")
    head = f"POST {UPLOAD} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {FORM_HEADERS['Content-Type']}\r\n\r\n"
    opened = Path(f"/proc/{server.process.pid}/fd")

    def unnamed() -> list[Path]:
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            return [link for link in opened.iterdir() if str(link.readlink()).startswith(str(server.temporary))]
        return []

    def temporary() -> set[Path]:
        while True:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                return set(server.temporary.rglob("*"))

    before, folders = unnamed(), temporary()
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(head.encode() + body[: 3 << 19])
        wait_for(lambda: len(unnamed()) > len(before))
        assert temporary() - folders, "its folder"
    wait_for(lambda: temporary() == folders)
    wait_for(lambda: len(unnamed()) == len(before))


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"x", 400),
        (f"multipart/form-data; boundary={'b' * 5000}", b"x", 400),
        ("text/plain", b"x", 400),
        (FORM_HEADERS["Content-Type"], b"x", 400),
        (FORM_HEADERS["Content-Type"], form("a.mp4", b"x", "other"), 400),
        (FORM_HEADERS["Content-Type"], form("a.mp4", bytes(3 << 20), "files"), 413),
        (FORM_HEADERS["Content-Type"], b"--limit\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * 9000, 400),
    ],
    ids=["no boundary", "long boundary", "no form", "damaged", "another field", "too large", "many parts"],
)
def test_forms_without_one_upload_are_refused(server, content_type, body, status):
    before = server.uploads()
    assert server.post(UPLOAD, content=body, headers={"Content-Type": content_type}).status_code == status
    assert server.uploads() == before


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_other_sites_are_refused(server, headers):
    assert httpx.get(server.address, headers=headers).status_code == 403
    assert server.upload("a.mp4", b"x", headers=headers).status_code == 403


def test_all_answers_forbid_framing_and_guessing(server):
    for path in ("/", "/config", "/nonesuch", "/gradio_api/file=/etc/passwd"):
        headers = httpx.get(server.address + path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


def asking(server, path, **changes):
    """What the page posts to have a file judged."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return {"data": [file, "tiny"], "fn_index": judge_number(server), "session_hash": "s", **changes}


def judge_number(server):
    functions = httpx.get(f"{server.address}/config").json()["dependencies"]
    return next(one["id"] for one in functions if one["api_name"] == "judge")


def test_other_files_and_odd_inputs_are_refused(server, files):
    (stored,) = server.upload("garbage.mp4", (files / "garbage.mp4").read_bytes()).json()
    paths = [
        "/etc/passwd",
        "",
        "http://127.0.0.1/a.mp4",
        f"{stored}/../../../../log",
        str(Path(stored).parent),
        "a\0b",
        1,
    ]
    asked = [asking(server, path) for path in paths]
    asked += [asking(server, stored, fn_index=number) for number in (-1, 99, "1", None, True)]
    asked += [
        asking(server, stored, data=data) for data in (None, [], [None], [[], "tiny"], [None, "other"], [None, {}])
    ]
    chooses = next(number for number in (0, 1) if number != judge_number(server))
    for event in (None, {}, {"index": 99}, {"index": -1}, {"index": "x"}):
        asked.append(asking(server, stored, fn_index=chooses, data=[], event_data=event))
    bodies = [json.dumps(one).encode() for one in asked] + [b"", b"[]", b"[" * 50_000, b"\xff"]
    assert [server.post(JOIN, content=body).status_code for body in bodies] == [400] * len(bodies)
    assert server.post(JOIN, content=bytes(1 << 17)).status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        *("run/judge", "api/judge", "call/judge", "run/predict", "proxy=http://127.0.0.1/", "file=http://127.0.0.1/"),
        *("file=/etc/passwd", "stream/x", "process_recording", "vibe-code", "dev/reload", "deep_link", "upload/x"),
    ],
)
def test_what_the_page_does_not_need_is_not_there(server, path):
    for ask in (httpx.get, httpx.post):
        assert ask(f"{server.address}/gradio_api/{path}").status_code == 404


def test_an_address_keeps_its_latest_uploads(server):
    stored = [server.upload(f"{number}.mp4", b"x").json()[0] for number in range(MOST_KEPT_EACH + 2)]
    assert [Path(path).exists() for path in stored] == [False] * 2 + [True] * MOST_KEPT_EACH


def outcome(page, stored):
    """What gradio answers the page about an upload."""
    assert page.post(JOIN, json=asking(page, stored)).status_code == 200
    address = f"{page.address}/gradio_api/queue/data?session_hash=s"
    with httpx.stream("GET", address, timeout=90) as lines:
        for line in lines.iter_lines():
            said = json.loads(line.removeprefix("data:")) if line else {}
            if said.get("msg") == "process_completed":
                return said["output"]
    raise AssertionError("no outcome")


def test_what_takes_too_long_is_given_up(tmp_path, project_root, files):
    with serving(project_root, tmp_path, "--timeout", "2") as page:
        (stored,) = page.upload("real clip.mp4", (files / "real clip.mp4").read_bytes()).json()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(outcome, page, stored)
            while not asked.done():
                for decoder in psutil.Process(page.process.pid).children():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        decoder.suspend()
                time.sleep(0.002)
        assert asked.result()["error"] == "No result within 2 seconds."


def test_uploads_are_deleted_when_their_time_is_over(tmp_path, project_root, files):
    """And those of a page that was killed, by the next one."""
    assert app.UPLOAD_LIFETIME == 3600
    data = (files / "real clip.mp4").read_bytes()
    before = "app.UPLOAD_LIFETIME, app.UPLOAD_CHECK = 3, 1"
    with serving(project_root, tmp_path, before=before) as page:
        (stored,) = page.upload("real clip.mp4", data).json()
        assert page.uploads() == [Path(stored)]
        wait_for(lambda: page.uploads() == [])
        assert list(page.temporary.rglob("collins.jpg")), "what the page shows stays"
        page.upload("private.mp4", data)
        page.process.kill()
        page.process.wait()
        assert page.uploads()
    with serving(project_root, tmp_path) as page:
        assert page.uploads() == []
        page.process.terminate()
        assert page.process.wait(20) == 0
    assert list(page.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no ensemble is complete; name --models, or fetch what is missing"),
        (["--models", "nonesuch"], "nonesuch: no such checkpoint"),
        (["--models", "tiny", "--examples", "."], "no video or picture in it"),
        (["--models", "tiny", "--calibration", "gone.json"], "gone.json"),
        (["--models", "tiny", "--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
    ],
)
def test_errors_at_the_start_say_why(project_root, tmp_path, arguments, message):
    tiny_checkpoint(tmp_path / "weights" / "tiny")
    (tmp_path / "empty").mkdir()
    command = [sys.executable, str(project_root / "app.py"), "--port", "0", "--weights-dir", "../weights", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "empty", timeout=120)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
