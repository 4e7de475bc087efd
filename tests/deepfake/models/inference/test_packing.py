"""Packed convolutions and channel gates compute what torch's and timm's do."""

import platform

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from deepfake.models.inference import packing
from deepfake.models.inference.folding import Folded
from deepfake.models.inference.packing import (
    PackedConv2d,
    PackedProduct,
    can_pack,
    pack_convolutions,
    packed_convolution,
)
from deepfake.models.inference.prepare import for_inference
from deepfake.models.inference.squeeze_excite import FastSqueezeExcite, replace_squeeze_excite
from deepfake.models.timm_import import Conv2dSame, SEModule, SqueezeExcite

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86 processors pack")
def test_this_torch_still_has_what_packs():
    assert can_pack(CPU, torch.float32)
    assert can_pack(CPU, torch.bfloat16) == torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert not can_pack(CPU, torch.float16) and not can_pack(CPU, torch.float64)
    assert not can_pack(torch.device("cuda"), torch.float32)


@torch.no_grad()
def test_a_processor_that_onednn_refuses_bfloat16_computes_it_unpacked(monkeypatch):
    monkeypatch.setattr(packing, "_multiplies_bf16", lambda: False)
    assert not can_pack(CPU, torch.bfloat16)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 3)).eval()
    x = torch.randn(1, 3, 12, 12)
    mixed = for_inference(network, "bf16", x)
    assert not any(isinstance(module, PackedConv2d | PackedProduct) for module in mixed.modules())
    assert mixed(x).float() == pytest.approx(network(x), abs=0.05)


CONVOLUTIONS = st.tuples(
    st.sampled_from([nn.Conv2d, Conv2dSame]),
    st.sampled_from([(3, 16, 1), (16, 24, 1), (16, 16, 16), (16, 32, 2)]),  # in, out, groups
    st.sampled_from([1, 3, 5]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2]),
    st.booleans(),
)


@pytest.mark.usefixtures("packs")
@settings(max_examples=60, deadline=None)
@given(
    CONVOLUTIONS,
    st.integers(9, 24),
    st.integers(9, 24),
    st.integers(1, 3),
    st.sampled_from(["none", "swish", "leaky_relu"]),
)
@torch.no_grad()
def test_a_packed_convolution_computes_the_same(convolution, height, width, count, activation):
    kind, (inputs, outputs, groups), kernel, stride, dilation, bias = convolution
    padding = {} if kind is Conv2dSame else {"padding": kernel // 2}
    torch.manual_seed(0)
    conv = kind(inputs, outputs, kernel, stride=stride, dilation=dilation, groups=groups, bias=bias, **padding)
    conv = conv.to(memory_format=torch.channels_last)
    x = torch.randn(count, inputs, height, width).contiguous(memory_format=torch.channels_last)
    expected = {"none": lambda y: y, "swish": functional.silu, "leaky_relu": functional.relu}[activation](conv(x))
    for seen in (x.shape, torch.Size((1, inputs, 2 * height, width + 5))):  # packed for pictures of other sizes, too
        packed = packed_convolution(conv, activation, seen)
        assert isinstance(packed, PackedProduct) == (kernel == stride == groups == 1)
        assert packed(x).shape == expected.shape
        assert (packed(x) - expected).abs().max() <= 1e-5 * (1 + expected.abs().max())


@pytest.mark.usefixtures("packs")
@torch.no_grad()
def test_the_rounding_is_that_of_the_size_alone():
    """Not of the batch that was seen first: a continued run scores as it began."""
    torch.manual_seed(0)
    for kernel in (1, 3):
        conv = nn.Conv2d(32, 64, kernel).to(torch.bfloat16)
        x = torch.randn(3, 32, 12, 12).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        one, many = (packed_convolution(conv, "swish", torch.Size((count, 32, 12, 12))) for count in (1, 7))
        assert torch.equal(one(x), many(x))
        assert torch.equal(torch.cat([one(part) for part in x.split(1)]), one(x))


@pytest.mark.usefixtures("packs")
@torch.no_grad()
def test_what_is_no_plain_convolution_stays():
    class Own(nn.Conv2d):
        pass

    network = nn.Sequential(
        Own(3, 8, 1), nn.Conv2d(8, 8, 3, padding="same"), nn.Conv2d(8, 8, 3, padding_mode="reflect", padding=1),
        nn.Conv2d(8, 8, 1), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.Tanh(),
    )  # fmt: skip
    x = torch.randn(1, 3, 8, 8)
    expected = network(x)
    shapes = {name: torch.Size((1, 8, 8, 8)) for name in "01235"} | {"0": x.shape}
    packed = pack_convolutions(Folded(network, {"3": "4", "5": "6"}, shapes))
    kinds = [type(module) for module in packed]
    assert kinds == [Own, nn.Conv2d, nn.Conv2d, PackedProduct, nn.Identity, PackedConv2d, nn.Tanh]
    assert packed(x) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", [SqueezeExcite, SEModule])
@torch.no_grad()
def test_a_channel_gate_computes_what_timms_module_does(kind):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 24, 1), kind(24, rd_channels=6), nn.Sequential(kind(24, rd_channels=6)))
    x = torch.randn(2, 3, 13, 17).contiguous(memory_format=torch.channels_last)
    expected = network(x)
    replace_squeeze_excite(network)
    assert isinstance(network[1], FastSqueezeExcite) and isinstance(network[2][0], FastSqueezeExcite)
    assert network(x) == pytest.approx(expected, abs=1e-6)


def test_a_gate_that_also_takes_the_largest_stays():
    network = nn.Sequential(SEModule(24, add_maxpool=True))
    replace_squeeze_excite(network)
    assert isinstance(network[0], SEModule)
