"""Who may ask under which name, from which page."""

import asyncio
import socket

import pytest

from serving.guard import AllowedHosts, Guard

POLICY = "default-src 'none'"


@pytest.fixture
def place():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        yield made


@pytest.fixture
def port(place):
    return place.getsockname()[1]


def ask(app, headers):
    """(status, headers) of the answer to a GET."""
    sent = []
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": raw}

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


async def fine(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Frame-Options", b"ALLOWALL")]})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
def test_on_loopback_its_names_with_the_port_are_allowed(place, port, name):
    hosts = AllowedHosts(place)
    assert hosts.allows(f"{name}:{port}") and hosts.allows_origin(f"http://{name}:{port}", f"127.0.0.1:{port}")
    assert not hosts.allows(name) and not hosts.allows(f"{name}:{port + 1}")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost.evil.example:{port}", "", "127.0.0.1:{port}@evil", "a b"]
)
def test_other_names_are_refused(place, port, host):
    assert not AllowedHosts(place).allows(host.format(port=port))
    assert ask(Guard(fine, AllowedHosts(place), POLICY), {"host": host.format(port=port)})[0] == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "file://", "http://", ""])
def test_other_pages_are_refused(place, port, origin):
    headers = {"host": f"localhost:{port}", "origin": origin}
    assert ask(Guard(fine, AllowedHosts(place), POLICY), headers)[0] == 403


def test_a_name_can_be_allowed(place, port):
    hosts = AllowedHosts(place, ["Detector.example"])
    assert hosts.allows("detector.example") and hosts.allows("detector.example:8443")
    assert hosts.allows_origin("https://detector.example", f"127.0.0.1:{port}"), "a proxy may change the Host header"
    assert hosts.allows(f"localhost:{port}")
    assert not hosts.allows("other.example")


def test_elsewhere_any_name_serves_unless_some_are_given():
    with socket.socket() as place:
        place.bind(("0.0.0.0", 0))
        assert AllowedHosts(place).allows("any.example:80")
        assert AllowedHosts(place).allows_origin("https://any.example", "any.example")
        assert not AllowedHosts(place).allows_origin("https://evil.example", "any.example")
        assert not AllowedHosts(place, ["mine.example"]).allows("any.example")


def test_all_answers_carry_the_headers(place, port):
    for headers in ({"host": f"localhost:{port}"}, {"host": "evil.example"}):
        _, answered = ask(Guard(fine, AllowedHosts(place), POLICY), headers)
        assert answered[b"x-content-type-options"] == b"nosniff"
        assert answered[b"x-frame-options"] == b"DENY" and b"X-Frame-Options" not in answered
        assert answered[b"content-security-policy"] == POLICY.encode()


def test_a_request_that_is_cancelled_is_answered(place, port):
    async def cancelled(scope, receive, send):
        raise asyncio.CancelledError

    assert ask(Guard(cancelled, AllowedHosts(place), POLICY), {"host": f"localhost:{port}"})[0] == 503
