"""SiLU, channel means and gates in bfloat16 by the project's C: what torch computes, in place, within its borders."""

import logging
import shutil
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers import BatchNormAct2d
from timm.layers.squeeze_excite import SEModule
from torch import nn
from torch.nn import functional

from deepfake.models.inference import prepare, silu
from deepfake.models.inference.prepare import for_inference
from deepfake.models.inference.silu import InPlaceSiLU, SiLUSqueezeExcite, can_run_silu
from deepfake.models.inference.squeeze_excite import FastSqueezeExcite
from deepfake.models.registry import build_model
from deepfake.prediction.face_scorer import FaceScorer
from tests.data.networks import lively

pytestmark = pytest.mark.usefixtures("one_thread")
BF16 = torch.bfloat16
GUARD = 0x4040
"""The bits of 3.0, which SiLU and factors change: stand around what may be written."""


@pytest.fixture(scope="module")
def kernels():
    if not can_run_silu(BF16, 1):
        pytest.skip("the C was not built, or this processor has no AVX-512 BF16")
    return silu._kernels()


def test_it_was_built_where_it_can_be():
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not (shutil.which("cc") and headers.is_file()):
        pytest.skip("no C compiler, or no headers of Python")
    assert silu._built() is not None, "missing or of other sources: python -m pip install -e ."


def test_it_is_for_bfloat16_and_few_threads(kernels):
    assert can_run_silu(BF16, silu.MOST_THREADS) and not can_run_silu(BF16, silu.MOST_THREADS + 1)
    assert not can_run_silu(torch.float32, 1) and not can_run_silu(torch.float16, 1)


def bits(values: torch.Tensor) -> np.ndarray:
    return values.view(torch.int16).numpy()


def steps_apart(values: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """How many bfloat16 numbers lie between; -0 and 0 are one."""
    ordered = [
        torch.where(bits < 0, -(bits & 0x7FFF), bits)
        for bits in (part.to(BF16).view(torch.int16).int() for part in (values, expected))
    ]
    return (ordered[0] - ordered[1]).abs()


def test_each_number_there_is(kernels):
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(BF16)
    y = x.clone()
    kernels.swish(bits(y))
    expected = functional.silu(x.float())
    assert torch.equal(y.isnan(), expected.isnan())
    told = ~expected.isnan() & (expected.abs() > 1e-30)
    assert steps_apart(y[told], expected[told]).max() <= 1
    assert (steps_apart(y[told], expected[told]) == 0).float().mean() > 0.97
    assert y[~told & ~expected.isnan()].abs().max() <= 1.1e-30


SHAPES = st.tuples(*(st.integers(1, most) for most in (3, 5, 5)), st.integers(1, 140))


def guarded(shape: tuple[int, ...], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, h, w, c) random values, and the memory that they lie in the middle of."""
    count = int(np.prod(shape))
    memory = torch.full((count + 128,), GUARD, dtype=torch.int16)
    memory[64:-64] = (3 * torch.randn(count, generator=torch.Generator().manual_seed(seed))).to(BF16).view(torch.int16)
    return memory[64:-64].view(BF16).view(shape), memory


def untouched(memory: torch.Tensor) -> bool:
    return bool((memory[:64] == GUARD).all() and (memory[-64:] == GUARD).all())


@given(SHAPES, st.integers(0, 99))
def test_means_and_factors_by_picture_and_channel(kernels, shape, seed):
    x, memory = guarded(shape, seed)
    n, c = shape[0], shape[3]
    expected = functional.silu(x.float())
    sums = np.full(n * c + 32, 7, np.float32)
    kernels.swish_and_sum(bits(x), sums[16:-16], n)
    assert steps_apart(x, expected).max() <= 1
    assert sums[16:-16].reshape(n, c) == pytest.approx(7 + expected.sum((1, 2)).numpy(), rel=1e-3, abs=1e-3)
    assert (sums[:16] == 7).all() and (sums[-16:] == 7).all()

    factors = torch.rand(n, c, generator=torch.Generator().manual_seed(seed)).to(BF16)
    before = x.clone()
    kernels.scale(bits(x), bits(factors), n)
    assert torch.equal(x, before * factors[:, None, None])
    assert untouched(memory)


@given(st.integers(1, 300), st.integers(0, 99))
def test_any_number_of_values(kernels, count, seed):
    x, memory = guarded((1, 1, 1, count), seed)
    expected = functional.silu(x.float())
    kernels.swish(bits(x))
    assert steps_apart(x, expected).max() <= 1
    assert untouched(memory)


@pytest.mark.parametrize("function, item", [("swish_and_sum", np.float32), ("scale", np.int16)])
def test_sizes_that_do_not_fit_are_refused(kernels, function, item):
    values = np.zeros(2 * 3 * 8, np.int16)
    for by_channel, pictures in ((8, 1), (16, 2)):
        getattr(kernels, function)(values, np.zeros(by_channel, item), pictures)
    for by_channel, pictures in ((0, 1), (8, 0), (8, -1), (15, 2), (10, 1), (32, 4)):
        with pytest.raises(ValueError, match="do not fit"):
            getattr(kernels, function)(values, np.zeros(by_channel, item), pictures)
    with pytest.raises((TypeError, BufferError, ValueError)):
        kernels.swish(np.zeros((8, 8), np.int16)[:, ::2])
    values.flags.writeable = False
    with pytest.raises((TypeError, BufferError, ValueError)):
        kernels.swish(values)


@torch.no_grad()
def test_gated_as_torch_gates(kernels):
    torch.manual_seed(0)
    gate = FastSqueezeExcite(nn.Conv2d(40, 8, 1), nn.SiLU(), nn.Conv2d(8, 40, 1), nn.Sigmoid())
    x = torch.randn(3, 40, 9, 13)
    expected = gate(functional.silu(x))
    for order in (torch.channels_last, torch.contiguous_format):
        given_x = x.to(BF16).contiguous(memory_format=order)
        with torch.autocast("cpu", BF16):
            assert (SiLUSqueezeExcite(gate)(given_x).float() - expected).abs().max() < 0.03


@torch.no_grad()
def test_a_network_with_gates_computes_the_same(kernels, monkeypatch):
    torch.manual_seed(1)
    network = lively(build_model("DeepFakeClassifier", encoder="tf_efficientnet_b0_ns"))
    x = torch.randn(2, 3, 96, 96)
    own = for_inference(network, "bf16", x[:1])
    kinds = [type(module) for module in own.modules()]
    assert kinds.count(SiLUSqueezeExcite) == 16 and FastSqueezeExcite not in kinds
    assert kinds.count(InPlaceSiLU) == 17 and "swish" not in {getattr(m, "activation", None) for m in own.modules()}
    monkeypatch.setattr(prepare, "can_run_silu", lambda dtype, threads: False)
    onednn = for_inference(network, "bf16", x[:1])
    assert not any(isinstance(module, InPlaceSiLU | SiLUSqueezeExcite) for module in onednn.modules())
    expected = network(x)
    assert (own(x).float() - expected).abs().max() <= 1.5 * (onednn(x).float() - expected).abs().max() + 0.01
    assert torch.equal(own(x), own(x)) and torch.equal(own(x[1:])[0], own(x)[1])


class ReadBeside(nn.Module):
    """A gate whose input may be read once more."""

    def __init__(self, beside):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3), BatchNormAct2d(16, act_layer=nn.SiLU)
        self.gate, self.head = SEModule(16, rd_channels=4), nn.Conv2d(16, 1, 1)
        self.beside = beside

    def forward(self, x):
        x = self.norm(self.conv(x))
        return self.head(self.gate(x) + x if self.beside else self.gate(x)).mean((2, 3))


@pytest.mark.parametrize("beside", [False, True])
@torch.no_grad()
def test_an_activation_that_others_read_too_keeps_its_gate(kernels, beside):
    network = lively(ReadBeside(beside))
    x = torch.randn(2, 3, 20, 20)
    mixed = for_inference(network, "bf16", x[:1])
    assert (mixed(x).float() - network(x)).abs().max() < 0.05
    assert isinstance(mixed.network.norm, InPlaceSiLU if beside else nn.Identity)
    assert isinstance(mixed.network.gate, FastSqueezeExcite if beside else SiLUSqueezeExcite)


@pytest.mark.parametrize("beside", [False, True])
@torch.no_grad()
def test_compiled_networks_call_it_too(kernels, beside):
    network = lively(ReadBeside(beside))
    x = torch.randn(2, 3, 20, 20)
    torch._dynamo.utils.counters.clear()
    compiled = for_inference(network, "bf16", x[:1], compiled=True)
    with torch.profiler.profile() as seen:
        outputs = compiled(x)
        outputs = compiled(x)
    assert (outputs.float() - network(x)).abs().max() < 0.05
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    called = {event.key for event in seen.key_averages() if event.key.startswith("deepfake::")}
    assert called == ({"deepfake::silu_"} if beside else {"deepfake::silu_means_", "deepfake::scale_"})


@pytest.mark.parametrize("found", [None, SimpleNamespace(INTERFACE=silu.INTERFACE + 1, available=lambda: True)])
def test_without_the_c_or_with_another_one_torch_computes(found, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)  # some library of other tests leaves handlers at ERROR

    def load(name):
        if found is None:
            raise ImportError(name)
        return found

    monkeypatch.setattr(silu.importlib, "import_module", load)
    silu._built.cache_clear()
    try:
        assert not can_run_silu(torch.float32, 1) and not can_run_silu(BF16, 16) and not caplog.messages
        assert not can_run_silu(BF16, 1)
        if torch.cpu._is_avx512_bf16_supported():
            assert "pip install -e ." in caplog.text
        network = lively(build_model("DeepFakeClassifier", encoder="tf_efficientnet_b0_ns"))
        images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
        assert FaceScorer(network, precision="bf16")(images) == pytest.approx(FaceScorer(network)(images), abs=0.01)
    finally:
        silu._built.cache_clear()
