"""The page that app.py serves: upload, choice of ensemble, progress, report, examples."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from deepfake.media.files import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from deepfake.media.images import fit_square, write_image
from deepfake.media.video import iter_spread
from deepfake.parallel.pool import Cancelled, WorkerDied
from deepfake.synthesis.portraits import PERSONS, read_portrait
from serving.analyzer import AnalyzersByName, Progress, named_as_uploaded
from serving.page_app import JUDGE, PageUploads

MOST_WAITING = 20
"""Uploads that may wait; further ones are turned away."""
REPORT_HEIGHT = 1100
EXAMPLE_SIZE = 160
"""Side in pixels of an example's picture."""

INTRODUCTION = """# Is this face real?
Drop a video or a picture with faces in it. The report shows each person's score over time, where the networks looked, \
and what speaks against trusting them. A score is evidence, not proof.
"""


def build_page(
    analyzers: AnalyzersByName, timeout: float, is_stopping: Callable[[], bool], examples: Sequence[Path]
) -> Any:
    """Return the page as gradio Blocks.

    Args:
        analyzers: of the ensembles that can be chosen.
        timeout: seconds that scoring an upload may take, without waiting for others and loading networks.
        is_stopping: returns whether the server is being stopped; uploads are not scored any more then.
        examples: files to try.

    Raises:
        ValueError: gradio is not installed.
    """
    gr = _gradio()

    def analyze(upload: str | None, ensemble: str, progress: Any = gr.Progress()) -> Markup:  # noqa: B008  (gradio's way)
        if upload is None:
            raise gr.Error("No file yet: drop a video or a picture first.", print_exception=False)
        file = Path(upload)
        try:
            report = draw_report(
                analyzers, file, ensemble, timeout, is_stopping, lambda share, step: progress(share, desc=step)
            )
        except Cancelled as error:
            raise gr.Error(f"No result within {timeout:g} seconds.", print_exception=False) from error
        except (ValueError, OSError, WorkerDied) as error:
            raise gr.Error(named_as_uploaded(error, file, file.name), print_exception=False) from error
        return frame(report)

    def choose(event: Any) -> str:
        return str(examples[event.index])

    # gradio hands the event to what is annotated so; its name is not known where this module's annotations are read.
    choose.__annotations__["event"] = gr.SelectData

    with gr.Blocks(title="Deepfake detection", analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                upload = gr.File(
                    label="Video or picture", file_types=[*VIDEO_SUFFIXES, *PICTURE_SUFFIXES], elem_id="upload"
                )
                ensemble = gr.Dropdown(analyzers.names, value=analyzers.names[0], label="Ensemble", elem_id="ensemble")
                start = gr.Button("Judge", variant="primary", elem_id="judge")
                gallery = gr.Gallery(
                    [(thumbnail(path), path.name) for path in examples],
                    label="To try",
                    columns=2,
                    height="auto",
                    buttons=[],
                    allow_preview=False,
                    elem_id="examples",
                )
            with gr.Column(scale=3):
                result = gr.HTML(elem_id="report", min_height=300)
        gallery.select(choose, None, upload, api_visibility="private")
        start.click(analyze, [upload, ensemble], result, concurrency_limit=1, api_name=JUDGE)
    page.queue(max_size=MOST_WAITING)
    return page


def draw_report(
    analyzers: AnalyzersByName,
    file: Path,
    ensemble: str,
    timeout: float,
    is_stopping: Callable[[], bool],
    progress: Progress,
) -> str:
    """Return an upload's report as HTML. Raises what `AnalyzersByName.get` and `Analyzer.analyze` raise."""
    progress(0.1, "loading the networks")
    analyzer = analyzers.get(ensemble)
    deadline = time.monotonic() + timeout  # loading counts against nobody
    analysis = analyzer.analyze(
        file,
        file.name,
        is_cancelled=lambda: is_stopping() or time.monotonic() > deadline,
        progress=progress,
        with_report=True,
    )
    assert analysis.report is not None
    return analysis.report


def build_app(page: Any, uploads: PageUploads, folder: Path, ensembles: Sequence[str], examples: Sequence[Path]) -> Any:
    """Return the page as an ASGI application.

    Args:
        page: from `build_page`.
        uploads: in `folder`.
        folder: gradio's folder for files (its variable GRADIO_TEMP_DIR).
        ensembles: the names that the page offers.
        examples: the files that it offers.
    """
    gr = _gradio()
    from fastapi import FastAPI

    from serving.page_app import JoinCheck, PageApp

    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        "/",
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        show_error=True,
        ssr_mode=False,
        pwa=False,
        footer_links=[],
        max_file_size=uploads.max_bytes,
        run_history=False,
    )
    functions = {number: (function.api_name, len(function.inputs)) for number, function in page.fns.items()}
    return PageApp(app, uploads, folder, JoinCheck(functions, ensembles, len(examples)))


def thumbnail(file: Path) -> np.ndarray:
    """Return an example's picture, (h, w, 3) uint8 RGB: itself, or a video's first frame.

    Raises:
        VideoError: it is neither.
    """
    (first,) = iter_spread(file, 1)
    return fit_square(first.image, EXAMPLE_SIZE)


def frame(page: str) -> Markup:
    """Return HTML that shows a report's page inside of another one, isolated from it and without scripts."""
    return Markup(
        f'<iframe sandbox="allow-same-origin" title="report" srcdoc="{escape(page)}" '
        f'style="width: 100%; height: {REPORT_HEIGHT}px; border: 0"></iframe>'
    )


def find_examples(folder: Path | None, scratch: Path) -> list[Path]:
    """Return files to try: a folder's, or two public-domain portraits of the libraries, written into `scratch`.

    Raises:
        ValueError: the folder holds nothing that can be judged.
    """
    if folder is None:
        return _portraits(scratch)
    suffixes = (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES)
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in suffixes)
    if not found:
        raise ValueError(f"{folder}: no video or picture in it; expected files that end in {' '.join(suffixes)}")
    return found


def _portraits(scratch: Path) -> list[Path]:
    files = [scratch / f"{person}.jpg" for person in PERSONS]
    for person, file in zip(PERSONS, files):
        write_image(file, read_portrait(person))
    return files


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise ValueError("the page needs gradio: pip install -e '.[app]'") from error
    return gradio
