"""The service over real HTTP: real clips, garbage, crashes, a full queue, load, tokens, a stop."""

import contextlib
import http.client
import json
import math
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlparse

import psutil
import pytest

from deepfake.cli.commandline import EXIT_INTERRUPTED
from deepfake.prediction.ensemble import Member
from deepfake.prediction.loading import load_predictor
from deepfake.scoring.tables import write_details
from serving.admission import SLOW_AFTER
from serving.upload_options import UPLOAD_MEMORY, UploadOptions
from tests.data.clips import ffmpeg
from tests.data.service_process import FORM_HEADERS, form, serving, starting, wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]

TOKEN = "correct-horse-battery"
WAITING = 2
TIMEOUT = 4
LOAD_REQUESTS, LOAD_THREADS = 40, 8
MORE_MEMORY = 64 << 20
"""Bytes that the service may grow by under load."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Open to all; a queue of WAITING."""
    folder = tmp_path_factory.mktemp("open")
    options = ("--max-size", "2", "--max-seconds", "4", "--queue", str(WAITING), "--per-address", str(WAITING + 1))
    with serving(folder, *options) as running:
        yield running
        assert running.process.poll() is None, running.log.read_text()
        assert "Traceback" not in running.log.read_text()
        assert wait_for(lambda: running.uploads() == [])
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(30) == 0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """With a token, an impatient one, without a queue, in bf16."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(f"{TOKEN}\n")
    options = ("--timeout", str(TIMEOUT), "--queue", "0", "--precision", "bf16")
    with serving(folder, "--token-file", str(folder / "token"), *options) as running:
        yield running


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_a_clip_gets_the_json_of_the_details(server, files, tmp_path):
    reply = server.predict(files / "clip.mp4")
    assert reply.status == 200
    said = reply.json()
    predictor = load_predictor([Member(server.log.parent / "tiny")])
    results = {"clip.mp4": predictor.predict(files / "clip.mp4")}
    write_details(tmp_path / "d.json", results, predictor.run)
    details = json.loads((tmp_path / "d.json").read_text())
    (entry,) = details.pop("videos")
    assert said.keys() == {*entry, *details}
    assert said["status"] == "ok" and said["faces"] and said["models"][0]["name"] == "tiny"
    for name, value in {**entry, **details}.items():
        if name != "seconds":
            assert said[name] == value, name


@pytest.mark.parametrize(("name", "called"), [("face.jpg", "face.jpg"), ("face.jpg", "face"), ("clip.mp4", "clip.jpg")])
def test_the_bytes_decide_what_an_upload_is(server, files, name, called):
    said = server.predict(files / name, called).json()
    assert said["filename"] == called
    assert said["status"] == "ok" and 0 < said["score"] < 1


def test_without_a_face_there_is_no_score(server, files):
    reply = server.predict(files / "faceless.mp4")
    said = reply.json()
    assert reply.status == 200
    assert (said["status"], said["score"], said["probability"], said["verdict"]) == ("no_face", None, None, None)
    assert said["reason"] == "no face was found"


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("garbage.mp4", 415, "garbage.mp4: not a video file"),
        ("empty.mp4", 415, "empty.mp4: the file is empty"),
        ("bomb.bmp", 415, f"bomb.bmp: 32767 x 32767 pixels; at most {UploadOptions.max_pixels:,} are read"),
        ("truncated.mp4", 415, "truncated.mp4: no video stream that can be decoded"),
        ("large.mp4", 413, "too large; at most 2 MB are taken"),
        ("long.mp4", 422, "5 seconds long; at most 4 are taken"),
    ],
)
def test_refusals_say_why(server, files, name, status, message):
    reply = server.predict(files / name)
    assert reply.status == status
    assert message in reply.json()["detail"]
    assert str(server.temporary) not in reply.body.decode()


def test_a_size_that_is_not_declared_is_limited_too(server):
    """Without a Content-Length, and however slowly it comes."""
    connection = server.connect()
    body = form("large.mp4", bytes(3 << 20))
    parts = (body[at : at + (1 << 18)] for at in range(0, len(body), 1 << 18))
    connection.request("POST", "/predict", parts, FORM_HEADERS, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert wait_for(lambda: server.uploads() == [])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"file=1", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"", {}),
        (b"no form at all", FORM_HEADERS),
        (form("a.mp4", b"x", field="video"), FORM_HEADERS),
        (form("a.mp4", b"x")[:-8], FORM_HEADERS),
        (form("a.mp4", b"x")[: -len("--limit--\r\n")] + form("b.mp4", b"y"), FORM_HEADERS),
        (form("a.mp4", b"x"), {"Content-Type": "multipart/form-data"}),
        (form("a.mp4", b"x"), {"Content-Type": "multipart/form-data; boundary="}),
        (form("a.mp4", b"x"), {"Content-Type": f"multipart/form-data; boundary={'b' * 5000}"}),
        (form("a.mp4", b"x"), {"Content-Type": 'multipart/form-data; boundary="\xff\\"; boundary*=x\'y'}),
        (b"--limit\r\n" + b"A: b\r\n" * 1000 + b"\r\n", FORM_HEADERS),
        (b"--limit\r\nA: " + b"b" * 50_000, FORM_HEADERS),
    ],
    ids=[
        *("urlencoded", "nothing", "damaged", "another field", "cut off", "two files", "no boundary", "empty boundary"),
        *("long boundary", "odd boundary", "many headers", "long header"),
    ],
)
def test_what_is_no_form_with_one_file_is_refused(server, body, headers):
    assert server.ask("POST", "/predict", body, headers).status == 400


def test_many_parts_are_refused_early(server):
    body = b"--limit\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * 40_000
    start = time.monotonic()
    reply = server.ask("POST", "/predict", body, FORM_HEADERS)
    assert reply.status == 400 and "Too many fields" in reply.json()["detail"]
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_other_sites_are_refused(server, files, headers):
    for reply in (server.predict(files / "face.jpg", **headers), server.ask("GET", "/docs", headers=headers)):
        assert reply.status == 403 and "--allow-host" in reply.json()["detail"]


def test_a_page_of_its_own_may_ask(server, files):
    assert server.predict(files / "face.jpg", Origin=server.address).status == 200


def test_all_answers_forbid_framing_and_guessing(server):
    for method, path in (("GET", "/docs"), ("GET", "/health"), ("POST", "/predict"), ("GET", "/nonesuch")):
        headers = {name.lower(): value for name, value in server.ask(method, path).headers.items()}
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_slow_uploads_lock_nobody_out(server, files):
    """As many as there are places, of which each sends a byte now and then."""
    place = urlparse(server.address)
    head = f"POST /predict HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 100000\r\n"
    head += "Content-Type: multipart/form-data; boundary=limit\r\n\r\n--limit\r\n"
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((place.hostname, place.port))) for _ in range(WAITING + 1)]
        for connection in slow:
            connection.sendall(head.encode())
        wait_for(lambda: server.ask("GET", "/health").json()["queue"]["length"] == WAITING + 1)
        refused = server.predict(files / "face.jpg")
        assert refused.status == 429 and int(refused.headers["retry-after"]) > 0
        time.sleep(SLOW_AFTER)
        assert server.predict(files / "face.jpg").status == 200
        slow[0].settimeout(60)
        assert slow[0].recv(100).startswith(b"HTTP/1.1 429")
    assert wait_for(lambda: server.ask("GET", "/health").json()["queue"]["length"] == 0)


def test_a_name_is_only_echoed(server, files, tmp_path):
    name = f"../../{tmp_path.name}/günther <b>.mp4"
    said = server.predict(files / "clip.mp4", name).json()
    assert said["filename"] == name
    assert "günther" not in server.log.read_text(encoding="utf-8")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux alone")
def test_an_upload_that_needs_too_much_memory_is_refused(server, files, tmp_path):
    """Within the limit of pixels, with eight reference frames of 100 MB."""
    side = math.isqrt(UploadOptions.max_pixels)
    encode = ("-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "ref=8:bframes=0", "-pix_fmt", "yuv444p10le")
    ffmpeg("-f", "lavfi", "-i", f"color=size={side}x{side}", "-frames:v", "9", *encode, tmp_path / "many.mp4")
    most = 0
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.predict, tmp_path / "many.mp4")
        while not asked.done():
            for decoder in psutil.Process(server.process.pid).children():
                with contextlib.suppress(psutil.Error):
                    most = max(most, decoder.memory_full_info().uss)
            time.sleep(0.01)
    refused = asked.result()
    assert refused.status == 415, refused.body
    assert (
        refused.json()["detail"]
        == f"many.mp4: reading it takes more than {UPLOAD_MEMORY >> 20} MB of memory, the limit"
    )
    assert UPLOAD_MEMORY / 2 < most < UPLOAD_MEMORY + MORE_MEMORY
    assert server.predict(files / "face.jpg").status == 200


def test_a_crash_in_the_decoder_is_a_result(server, files):
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.predict, files / "clip.mp4")
        server.decoder().kill()
        reply = asked.result()
    assert reply.status == 200
    assert reply.json()["status"] == "crashed" and reply.json()["score"] is None
    assert server.predict(files / "clip.mp4").json()["status"] == "ok"


def test_a_full_queue_sends_away_while_others_are_served(server, files):
    with ThreadPoolExecutor(WAITING + 1) as pool:
        asked = [pool.submit(server.predict, files / "clip.mp4")]
        decoder = server.decoder()
        decoder.suspend()
        asked += [pool.submit(server.predict, files / "face.jpg") for _ in range(WAITING)]
        wait_for(lambda: server.ask("GET", "/health").json()["queue"]["length"] == WAITING + 1)
        refused = server.predict(files / "face.jpg")
        assert refused.status == 429 and int(refused.headers["retry-after"]) > 0
        assert server.figures()["deepfake_queue_length"] == WAITING + 1
        decoder.resume()
        assert [reply.result().status for reply in asked] == [200] * (WAITING + 1)
    assert server.predict(files / "face.jpg").status == 200


def test_who_leaves_holds_nobody_up(server, files):
    connection = server.connect()
    connection.request("POST", "/predict", form("clip.mp4", (files / "clip.mp4").read_bytes()), FORM_HEADERS)
    server.decoder().suspend()
    connection.close()
    assert server.predict(files / "face.jpg").status == 200


def test_health_tells_what_works(server):
    said = server.ask("GET", "/health").json()
    assert said["status"] == "ok" and said["models"] == ["tiny"] and re.match(r"\d+\.", said["version"])
    assert wait_for(lambda: server.ask("GET", "/health").json()["queue"] == {"length": 0, "most": WAITING + 1})


def test_the_pages_about_it_need_no_network(server):
    page = server.ask("GET", "/docs").body.decode()
    assert "POST /predict" in page and "GET /metrics" in page
    assert not re.search(r"//|<script|<link|@import|url\(|src=", page)
    described = server.ask("GET", "/openapi.json").json()
    assert described["paths"].keys() == {"/predict", "/health", "/metrics"}
    assert {"200", "413", "415", "422", "429", "504"} <= described["paths"]["/predict"]["post"]["responses"].keys()
    assert server.ask("GET", "/redoc").status == 404


def test_it_listens_on_loopback_alone(server):
    listening = [
        c.laddr for c in psutil.Process(server.process.pid).net_connections() if c.status == psutil.CONN_LISTEN
    ]
    assert {(place.ip, place.port) for place in listening} == {("127.0.0.1", urlparse(server.address).port)}


def test_load_is_borne(server, files, record_property):
    """Every request gets a result or is sent away; nothing piles up; the figures add up."""
    process = psutil.Process(server.process.pid)
    names = ["face.jpg", "clip.mp4", "faceless.mp4", "garbage.mp4"]
    for name in names:
        server.predict(files / name)
    before, memory, handles = server.figures(), process.memory_info().rss, process.num_fds()

    def ask(number):
        start = time.monotonic()
        reply = server.predict(files / names[number % len(names)])
        taken = time.monotonic() - start
        time.sleep(0.3 if reply.status == 429 else 0)
        return reply, taken

    start = time.monotonic()
    with ThreadPoolExecutor(LOAD_THREADS) as pool:
        answers = list(pool.map(ask, range(LOAD_REQUESTS)))
    seconds = time.monotonic() - start
    statuses = [reply.status for reply, _ in answers]
    count = {status: statuses.count(status) for status in sorted(set(statuses))}
    took = [taken for reply, taken in answers if reply.status == 200]
    message = (
        f"{LOAD_REQUESTS} requests, {LOAD_THREADS} at a time, in {seconds:.1f} s: {LOAD_REQUESTS / seconds:.1f}/s; "
        f"statuses {count}; seconds of a 200: median {statistics.median(took):.2f}, highest {max(took):.2f}"
    )
    record_property("load", message)
    print(message)
    assert count.keys() <= {200, 415, 429} and count[200] > 0
    assert all(statuses[i] != 200 for i in range(3, LOAD_REQUESTS, 4))  # garbage never gets a score

    assert wait_for(lambda: server.figures()["deepfake_queue_length"] == 0)
    after = server.figures()
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    for status, number in count.items():
        assert grown[f'deepfake_requests_total{{path="/predict",status="{status}"}}'] == number
    assert grown["deepfake_predict_seconds_count"] == LOAD_REQUESTS
    assert grown['deepfake_predict_seconds_bucket{le="+Inf"}'] == LOAD_REQUESTS
    assert grown["deepfake_scoring_seconds_count"] == count[200]
    said = [reply.json() for reply, _ in answers if reply.status == 200]
    for status in ("ok", "no_face"):
        key = f'deepfake_results_total{{status="{status}"}}'
        assert grown.get(key, 0) == sum(one["status"] == status for one in said)
    assert grown["deepfake_faces_scored_total"] == sum(bool(face["scores"]) for one in said for face in one["faces"])
    assert wait_for(lambda: server.uploads() == [])
    assert process.memory_info().rss - memory < MORE_MEMORY
    assert wait_for(lambda: process.num_fds() <= handles + 2)
    assert wait_for(lambda: process.children() == [])


@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong"), bearer(TOKEN[:-1]), bearer(""), {"Authorization": TOKEN}, bearer("gr\xfcn")]
)
def test_without_the_token_nothing_is_scored(guarded, files, headers):
    for reply in (guarded.predict(files / "face.jpg", **headers), guarded.ask("GET", "/metrics", headers=headers)):
        assert reply.status == 401 and reply.headers["www-authenticate"] == "Bearer"
    assert guarded.ask("GET", "/health").status == 200


def test_with_the_token_uploads_are_scored(guarded, files):
    said = guarded.predict(files / "face.jpg", **bearer(TOKEN)).json()
    assert said["status"] == "ok"
    assert (said["settings"]["precision"], said["settings"]["precision_check"]) == ("bf16", None), "as asked for"
    assert guarded.figures(**bearer(TOKEN))["deepfake_faces_scored_total"] >= 1
    assert "needs the token" in guarded.ask("GET", "/docs").body.decode()
    assert TOKEN not in guarded.log.read_text()


def test_what_takes_too_long_is_given_up(guarded, files):
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(guarded.predict, files / "clip.mp4", **bearer(TOKEN))
        decoder = guarded.decoder()
        while not asked.done():  # one process looks at the length, another one decodes
            for decoder in psutil.Process(guarded.process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    decoder.suspend()
            time.sleep(0.002)
        assert asked.result().status == 504
    assert wait_for(lambda: not decoder.is_running())
    assert wait_for(lambda: guarded.uploads() == [])
    assert guarded.predict(files / "face.jpg", **bearer(TOKEN)).status == 200


def test_an_upload_that_does_not_arrive_is_given_up(guarded):
    place = urlparse(guarded.address)
    head = f"POST /predict HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 1000\r\n"
    head += f"Authorization: Bearer {TOKEN}\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=limit\r\n\r\n--limit\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408")
    assert wait_for(lambda: guarded.uploads() == [])


def test_a_stop_answers_what_is_under_way_and_ends(tmp_path, files):
    """SIGTERM while one decoder hangs, another upload waits, and a third one does not arrive."""
    with serving(tmp_path, "--timeout", "4", "--per-address", "2") as running, ThreadPoolExecutor(2) as pool:
        hung = pool.submit(running.predict, files / "clip.mp4")
        decoder = running.decoder()
        decoder.suspend()
        place = urlparse(running.address)
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 1000\r\nX-Forwarded-For: 192.0.2.1\r\n"
        )
        head += "Content-Type: multipart/form-data; boundary=limit\r\n\r\n--limit\r\n"
        time.sleep(2)  # its time is over two seconds before that of the next
        served = pool.submit(running.predict, files / "face.jpg")
        wait_for(lambda: running.ask("GET", "/health").json()["queue"]["length"] == 2)
        assert running.predict(files / "face.jpg").status == 429, "a third one of one address"
        arriving = socket.create_connection((place.hostname, place.port), timeout=60)
        arriving.sendall(head.encode())
        wait_for(lambda: running.ask("GET", "/health").json()["queue"]["length"] == 3)
        start = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert arriving.recv(100).startswith(b"HTTP/1.1 503")
        arriving.close()
        assert running.process.wait(30) == 0, running.log.read_text()
        assert time.monotonic() - start < 20
        assert hung.result().status == 504 and served.result().status == 200
        assert not decoder.is_running()
        assert list(running.temporary.iterdir()) == []
        assert "Traceback" not in running.log.read_text() and "Cancelled" not in running.log.read_text()


def test_what_a_killed_service_left_is_swept_and_a_stop_while_networks_load_leaves_nothing(tmp_path, files):
    with serving(tmp_path) as killed, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(killed.predict, files / "clip.mp4")
        decoder = killed.decoder()
        decoder.suspend()
        killed.process.kill()
        killed.process.wait()
        decoder.kill()  # by itself it would end within a second, were it not suspended
        assert isinstance(asked.exception(), (ConnectionError, http.client.HTTPException))
    assert killed.uploads(), "the upload that it was working on"
    (left,) = killed.temporary.iterdir()
    with starting(tmp_path) as process:
        wait_for(lambda: any("torch" in one.path for one in psutil.Process(process.pid).memory_maps()))
        process.terminate()
        assert process.wait(60) == EXIT_INTERRUPTED
        assert "Traceback" not in killed.log.read_text()
        assert list(killed.temporary.iterdir()) == [left]
    with serving(tmp_path) as running:
        assert running.uploads() == [] and not left.exists()
    assert list(killed.temporary.iterdir()) == []
    assert "Traceback" not in killed.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--models", "nonesuch"], {}, "nonesuch: no such checkpoint"),
        (["--ensemble", "nonesuch"], {}, "nonesuch: no readable ensemble"),
        (["--models", "tiny", "--weights", "1", "2"], {}, "expected 1 numbers"),
        (["--models", "tiny", "--token-file", "gone"], {}, "gone: no token can be read from it"),
        (["--models", "tiny", "--token-file", "blank"], {}, "blank: expected a token"),
        (["--models", "tiny"], {"DEEPFAKE_TOKEN": "two words"}, "DEEPFAKE_TOKEN: expected a token"),
        (["--models", "tiny", "--calibration", "gone.json"], {}, "gone.json"),
        (["--models", "tiny", "--host", "203.0.113.7"], {}, "cannot listen on 203.0.113.7"),
    ],
)
def test_errors_at_the_start_say_why(project_root, tmp_path, arguments, environment, message):
    (tmp_path / "tiny").touch()
    (tmp_path / "blank").write_text("\n")
    command = [sys.executable, "-m", "serving", "--port", "0", "--weights-dir", ".", *arguments]
    paths = os.pathsep.join([str(project_root), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "PYTHONPATH": paths, **environment}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=variables, timeout=120)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert "two words" not in done.stderr


@pytest.mark.parametrize("module", ["serving", "export.serve"])
def test_both_commands_explain_themselves(project_root, module):
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, cwd=project_root)
    assert done.returncode == 0 and "python -m serving --weights-dir" in done.stdout
