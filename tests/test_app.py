"""The page in a real browser: real clips and garbage, one after the other and at once, and nothing from the network."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

import psutil
import pytest

from tests.clips import cut, draw, gradient
from tests.predicting import tiny_checkpoint

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRE_BROWSER = "DEEPFAKE_REQUIRE_BROWSER"
UPLOADED = re.compile(r"\d\s*[KM]?B\b")
"""What the page shows beside a file that it has: the size."""
MAX_SECONDS = 4
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


@pytest.fixture(scope="module")
def server(tmp_path_factory, project_root):
    """The command as a user starts it; its process and address."""
    folder = tmp_path_factory.mktemp("app")
    tiny_checkpoint(folder / "tiny")
    command = [sys.executable, str(project_root / "app.py"), "--weights-dir", str(folder), "--models", "tiny"]
    command += ["--port", "0", "--max-seconds", str(MAX_SECONDS), "--max-size", "2", "--precision", "bf16"]
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"http://\S+", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield process, found[0].rstrip("/")
        assert process.poll() is None, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        process.terminate()
        process.wait(20)


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
    address = server[1]
    context = browser.new_context()
    page = context.new_page()
    asked = set()
    page.on("request", lambda request: asked.add(urlparse(request.url)))
    page.goto(address)
    page.wait_for_selector("#judge")
    yield page
    context.close()
    elsewhere = [
        url.geturl() for url in asked if url.scheme.startswith("http") and url.netloc != urlparse(address).netloc
    ]
    assert elsewhere == []


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
    ("name", "told"),
    [
        ("garbage.mp4", "garbage.mp4: not a video file"),
        ("long.mp4", "5 seconds long; at most 4 are taken"),
        ("large.mp4", "exceed the maximum allowed size of 2.0 Mb"),
    ],
)
def test_what_cannot_be_judged_shows_the_reason(page, files, name, told):
    page.set_input_files("#upload input[type=file]", str(files / name))
    if name != "large.mp4":
        page.locator("#upload").get_by_text(UPLOADED).first.wait_for(timeout=PATIENCE)
        page.click("#judge")
    text = reason(page)
    assert told in text
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
        page.goto(server[1])
        upload(page, files / name)
    for page in pages:
        page.click("#judge")
    assert "not a video file" in reason(pages[1])
    verdicts = [report(page).locator("p").first.inner_text() for page in (pages[0], pages[2])]
    assert verdicts[0] == verdicts[1]
    for context in contexts:
        context.close()


def test_it_listens_on_loopback_alone(server):
    process, address = server
    listening = [c.laddr for c in psutil.Process(process.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert urlparse(address).port in {place.port for place in listening}
    assert {place.ip for place in listening} == {"127.0.0.1"}


def test_uploads_are_deleted_when_their_time_is_over(monkeypatch, tmp_path, files):
    httpx = pytest.importorskip("httpx")
    from deepfake.ensemble import Member
    from visualize import web_page
    from visualize.analyst import Analyst

    assert web_page.UPLOAD_LIFETIME == 3600
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(web_page, "UPLOAD_LIFETIME", 3)
    monkeypatch.setattr(web_page, "UPLOAD_CHECK", 1)
    analyst = Analyst({"tiny": [Member(tiny_checkpoint(tmp_path / "tiny"))]}, device="cpu")
    page = web_page.build_page(analyst, [])
    address = web_page.serve(page, "127.0.0.1", 0, 10)
    try:
        data = (files / "real clip.mp4").read_bytes()
        answer = httpx.post(
            f"{address.rstrip('/')}/gradio_api/upload", files={"files": ("real clip.mp4", data)}, timeout=60
        )
        (stored,) = answer.json()
        assert Path(stored).is_relative_to(tmp_path / "cache")
        deadline = time.monotonic() + 90
        while Path(stored).exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not Path(stored).exists() and _uploads(tmp_path / "cache") == []
    finally:
        page.close()


def _uploads(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*.mp4") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no ensemble is complete; name --models, or fetch what is missing"),
        (["--models", "nonesuch"], "nonesuch: no such checkpoint"),
        (["--models", "tiny", "--examples", "."], "no video or picture in it"),
        (["--models", "tiny", "--calibration", "gone.json"], "gone.json"),
        (["--models", "tiny", "--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
    ],
)
def test_what_cannot_be_served_is_told(project_root, tmp_path, arguments, told):
    tiny_checkpoint(tmp_path / "weights" / "tiny")
    (tmp_path / "empty").mkdir()
    command = [sys.executable, str(project_root / "app.py"), "--port", "0", "--weights-dir", "../weights", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "empty", timeout=120)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr and "Traceback" not in done.stderr
