"""What is used of timm, imported without torch's compiler; nobody else imports timm.

timm and torchvision import `torch._dynamo` for a decorator each of networks that nobody has asked for, which takes a
process two seconds of one core and 150 MB. Here those decorators import it when they are used, if ever.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch

_UTILS = "torch._dynamo.utils"


class _Later(ModuleType):
    """Stands in for `torch._dynamo.utils`, for as long as it takes to import a function of it."""

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        return importlib.import_module(_UTILS).is_compile_supported(device_type)

    def __getattr__(self, name: str) -> Any:
        """Return what another release imports, from the real module."""
        if name.startswith("__"):  # asked of all modules alike
            raise AttributeError(name)
        del sys.modules[_UTILS]
        return getattr(importlib.import_module(_UTILS), name)


@contextlib.contextmanager
def _without_compiler() -> Iterator[None]:
    """Import neither for `is_compile_supported` nor for the decorator `torch.compiler.disable` what they need."""
    disable = torch.compiler.disable

    def disable_later(function: Callable | None = None, *args: Any, **kwargs: Any) -> Callable:
        if function is None:
            return functools.partial(disable_later, **kwargs)

        @functools.wraps(function)
        def run(*inputs: Any, **named: Any) -> Any:
            return disable(function, *args, **kwargs)(*inputs, **named)

        return run

    later = sys.modules[_UTILS] = _Later(_UTILS)
    torch.compiler.disable = disable_later  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(_UTILS) is later:
            del sys.modules[_UTILS]


with contextlib.nullcontext() if _UTILS in sys.modules else _without_compiler():
    import timm
    from timm.layers import Conv2dSame, convert_sync_batchnorm, pad_same
    from timm.layers.squeeze_excite import SEModule
    from timm.models._efficientnet_blocks import SqueezeExcite

__all__ = ["Conv2dSame", "SEModule", "SqueezeExcite", "convert_sync_batchnorm", "pad_same", "timm"]
