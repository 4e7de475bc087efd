"""Forms in any pieces, limits, and nothing left of what is refused."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from serving.admission import Admission
from serving.uploads import MOST_AROUND, MOST_FIELDS, MOST_NAME, Refused, receive
from tests.data.service_process import FORM_HEADERS, form

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n', exclude_categories=["Cc"]), max_size=30)


def take(file, body, sizes=(1 << 16,), most=1 << 20, **headers):
    """The upload of a request whose body comes in pieces of `sizes`, which repeat."""
    pieces, at = [], 0
    while at < len(body):
        pieces.append(body[at : at + sizes[len(pieces) % len(sizes)]])
        at += len(pieces[-1])
    pieces.append(b"")

    async def next_message():
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    raw = [(name.lower().encode(), value.encode()) for name, value in {**FORM_HEADERS, **headers}.items()]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, next_message)
    return asyncio.run(receive(request, Admission(1, 1).enter(), file, most, seconds=60))


def refusal(*arguments, **keywords):
    """(status, reason) of a request that must be refused."""
    with pytest.raises(Refused) as raised:
        take(*arguments, **keywords)
    return raised.value.status, raised.value.reason


@given(data=st.binary(max_size=300), name=NAMES, sizes=st.lists(st.integers(1, 90), min_size=1, max_size=5))
def test_pieces_of_any_size_give_the_file(tmp_path_factory, data, name, sizes):
    file = tmp_path_factory.getbasetemp() / "upload"
    upload = take(file, form(name, data), sizes)
    assert upload.file == file and file.read_bytes() == data
    assert upload.name == (name or "upload")


def test_data_that_looks_like_a_boundary_is_data(tmp_path):
    data = b"\r\n--limi\r\n--limits\r\r\n--\r\n-"
    take(tmp_path / "a", form("a", data), (1,))
    assert (tmp_path / "a").read_bytes() == data


def test_exactly_as_large_as_allowed_is_taken(tmp_path):
    take(tmp_path / "a", form("a", bytes(1000)), most=1000)
    assert refusal(tmp_path / "b", form("b", bytes(1001)), most=1000) == (
        413,
        "the upload is too large; at most 0.000953674 MB are taken",
    )
    assert not (tmp_path / "b").exists()


def test_no_more_is_read_than_allowed(tmp_path):
    """However the request says it is long."""
    body = form("a", bytes(1 << 20))
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    left = iter(pieces)

    async def next_message():
        return {"type": "http.request", "body": next(left), "more_body": True}

    raw = [(b"content-type", FORM_HEADERS["Content-Type"].encode())]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, next_message)
    with pytest.raises(Refused, match="too large"):
        asyncio.run(receive(request, Admission(1, 1).enter(), tmp_path / "a", 5000, seconds=60))
    read = len(pieces) - len(list(left))
    assert (5000 + MOST_AROUND) / 1000 <= read <= (5000 + MOST_AROUND) / 1000 + 1


def test_a_declared_length_is_believed(tmp_path):
    assert refusal(tmp_path / "a", b"", **{"Content-Length": str(1 << 30)})[0] == 413


@pytest.mark.parametrize(("fields", "size"), [(MOST_FIELDS + 1, 1), (1, 1 << 15)], ids=["many fields", "a large field"])
def test_what_stands_around_an_upload_is_limited_too(tmp_path, fields, size):
    other = b'--limit\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + b"x" * size + b"\r\n"
    status, reason = refusal(tmp_path / "a", fields * other + form("a", b"x"))
    assert status == 400 and "form cannot be read" in reason


def test_other_fields_are_left_out(tmp_path):
    other = b'--limit\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    assert take(tmp_path / "a", other + form("a.mp4", b"data")).name == "a.mp4"
    assert (tmp_path / "a").read_bytes() == b"data"


def test_long_names_are_cut(tmp_path):
    assert len(take(tmp_path / "a", form("n" * 1000, b"x")).name) == MOST_NAME


def test_a_form_that_ends_in_the_upload_is_refused(tmp_path):
    assert refusal(tmp_path / "a", form("a", bytes(1000))[:500])[0] == 400
    assert not (tmp_path / "a").exists()


@given(body=st.binary(max_size=200))
def test_garbage_is_refused(tmp_path_factory, body):
    assert refusal(tmp_path_factory.getbasetemp() / "garbage", body, (7,))[0] == 400
