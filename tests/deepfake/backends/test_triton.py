"""Triton's client, as far as it shows without a server."""

import sys

import pytest

import predict_folder
from deepfake.backends.triton import TritonError, check_url
from tests.data.predicting import tiny_checkpoint
from tests.data.triton_server import free_ports


def test_an_unreachable_server_is_reported_at_once(run_main, tmp_path):
    (tmp_path / "clip.mp4").touch()
    tiny_checkpoint(tmp_path / "tiny")
    (port,) = free_ports(1)
    arguments = [tmp_path / "clip.mp4", "--weights-dir", tmp_path, "--models", "tiny", "--output", tmp_path / "s.csv"]
    code, _, err = run_main(predict_folder.main, *arguments, "--backend", "triton", "--url", f"127.0.0.1:{port}")
    assert code == 2
    assert f"no Triton server answers at 127.0.0.1:{port}" in err and "--url" in err
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost:8000", "localhost:", "localhost:99999", "a b:1"])
def test_what_is_no_address(url):
    with pytest.raises(TritonError, match="expected HOST:PORT"):
        check_url(url)


@pytest.mark.parametrize("url", ["localhost:8001", "10.0.0.1:1", "[::1]:8001", "gpu-server.local:65535"])
def test_addresses(url):
    assert check_url(url) == url


def test_an_address_goes_with_the_backend(run_main, tmp_path):
    code, _, err = run_main(predict_folder.main, tmp_path, "--models", "a", "--url", "localhost:8001")
    assert code == 2 and "--url goes with --backend triton" in err


def test_a_missing_client_names_the_extra(run_main, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tritonclient", None)
    (tmp_path / "clip.mp4").touch()
    code, _, err = run_main(predict_folder.main, tmp_path / "clip.mp4", "--models", "a", "--backend", "triton")
    assert code == 2
    assert "tritonclient is not installed; install it: python -m pip install -e '.[triton]'" in err
