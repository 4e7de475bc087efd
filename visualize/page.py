"""Pages of HTML that stand alone: one file, pictures and styles inside, nothing from the network.

Templates are in `templates/`; whatever a user or a file name brings in is escaped.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deepfake.media.images import encode_image
from visualize import colors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).parent / "templates"
_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


def render(template: str, **values: Any) -> str:
    """A page from `templates/TEMPLATE`; a value that the template wants and is not given is an error."""
    return _environment().get_template(template).render(**values)


def picture(image: np.ndarray, suffix: str = ".jpg") -> str:
    """The address that holds an RGB or gray uint8 picture itself (a data URI), for an <img>."""
    return _data_uri(encode_image(image, suffix), _MEDIA_TYPES[suffix])


def plot(figure: Figure) -> str:
    """The address that holds a plot itself, as SVG; the same plot gives the same address."""
    return _data_uri(svg(figure), "image/svg+xml")


def svg(figure: Figure) -> bytes:
    """A plot as a file of SVG; the same plot gives the same bytes."""
    from matplotlib import rc_context

    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "plot"}):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return file.getvalue()


def _data_uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["colors"] = colors
    return environment
