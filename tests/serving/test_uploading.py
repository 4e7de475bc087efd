"""Forms in any pieces; never more on the disk than allowed."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.uploading import MOST_NAME, BadForm, TooLarge, receive
from tests.data.service_process import FORM_HEADERS, form

HEADERS = {name.lower(): value for name, value in FORM_HEADERS.items()}
NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n', exclude_categories=["Cc"]), max_size=30)


def take(file, body, sizes=(1 << 16,), most=1 << 20, headers=HEADERS):
    async def chunks():
        at, turn = 0, 0
        while at < len(body):
            size = sizes[turn % len(sizes)]
            yield body[at : at + size]
            at, turn = at + size, turn + 1

    return asyncio.run(receive(chunks(), headers, file, most))


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
    with pytest.raises(TooLarge, match="too large"):
        take(tmp_path / "a", form("a", bytes(1001)), most=1000)
    assert (tmp_path / "a").stat().st_size <= 1000


def test_what_stands_around_an_upload_is_limited_too(tmp_path):
    other = form("x", bytes(1 << 17), field="other").removesuffix(b"--limit--\r\n")
    with pytest.raises(TooLarge):
        take(tmp_path / "a", other + form("a", b"x"), most=1000)


def test_a_length_told_beforehand_is_believed(tmp_path):
    with pytest.raises(TooLarge):
        take(tmp_path / "a", b"", headers={**HEADERS, "content-length": str(1 << 30)})
    assert not (tmp_path / "a").exists()


def test_other_fields_are_left_out(tmp_path):
    other = form("x", b"other", field="note").removesuffix(b"--limit--\r\n")
    assert take(tmp_path / "a", other + form("a.mp4", b"data")).name == "a.mp4"
    assert (tmp_path / "a").read_bytes() == b"data"


def test_long_names_are_cut(tmp_path):
    assert len(take(tmp_path / "a", form("n" * 1000, b"x")).name) == MOST_NAME


@given(body=st.binary(max_size=200))
def test_garbage_is_refused(tmp_path_factory, body):
    with pytest.raises(BadForm):
        take(tmp_path_factory.getbasetemp() / "garbage", body, (7,))
