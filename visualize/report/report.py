"""The report on a video: verdict, each person apart, score against time, where the networks looked, doubts.

A page of HTML that stands alone and the same as JSON, written beside each other. The pictures come from the video,
read a second time: scoring keeps none.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from deepfake.faces.boxes import crop_face
from deepfake.faces.quality import SMALL_FACE, bits_per_pixel, reasons_for_doubt, sharpness
from deepfake.faces.tracking import can_judge
from deepfake.media.images import fit_square
from deepfake.media.video import LIMITS, Frame, ReadLimits, VideoInfo, iter_frames, probe
from deepfake.parallel.pool import WorkerDied, portable, run_in_subprocess, stream
from deepfake.prediction.bounded_memory import bounded_memory
from deepfake.prediction.precision_check import PrecisionCheck
from deepfake.scoring.aggregation import MAX_PERSON, ensemble_score
from deepfake.scoring.calibration import DecisionRule
from deepfake.scoring.results import PersonScore, ScoredFace, VideoResult
from deepfake.scoring.tables import decide, video_to_json
from deepfake.storage import atomic
from deepfake.storage.disk_full import OutOfSpace
from deepfake.storage.names import MOST_BYTES, escape, file_name
from visualize.page import picture, render
from visualize.report.timeline import Timeline, draw_timeline

REPORT_FORMAT = 1
INDEX = "index"

THUMBNAIL = 104
"""Side in pixels of a face in the strip below the timeline."""
POSTER_WIDTH = 640
HIGHLIGHT = 224
"""Side in pixels of a face beside its activation map."""
MAX_WORKERS = 8
"""Processes that write pages: each takes the memory of a network that computes."""
TOP_FACES = 4
"""Of a video, that many of the highest-scoring faces are shown with their activation maps."""

PERSON_COLORS = ((46, 110, 220), (214, 92, 20), (18, 140, 90), (150, 60, 180), (190, 150, 10), (200, 40, 90))
"""RGB; persons beyond take them again from the first."""

SHOWN_DETAILS = ("status", "reason", "model_scores", "frames", "times", "size", "faces", "seconds")
"""Of a video's entry in the details."""

_ROOM = len(".partial-.json (99999)")
"""What is added to a page's file name, in bytes."""

TOO_FEW = "too few faces to judge by"
STRAY = "seen once or twice and with a low confidence, probably no face"
COUNTS = " (but part of the video's score)"


@dataclass(frozen=True)
class FacePicture:
    """A face together with the frame that it is in: (H, W, 3) uint8 RGB."""

    face: ScoredFace
    frame: np.ndarray


@dataclass(frozen=True)
class Highlight:
    """A face as a network sees it, uint8 RGB, the same with an activation map over it, and the network's name."""

    picture: np.ndarray
    overlay: np.ndarray
    network: str


class Highlighter(Protocol):
    """Draws where networks looked.

    Attributes:
        in_workers: worker processes may call it, once `prepare` was called.
    """

    in_workers: bool

    def prepare(self) -> None:
        """Load what takes long to load, before worker processes are started."""
        ...

    def __call__(self, faces: Sequence[FacePicture]) -> Sequence[Highlight]:
        """Return a highlight for each face, or none at all."""
        ...


@dataclass
class Pictures:
    """What a second look at the video gives.

    Attributes:
        poster: a frame with everybody's box.
        thumbnails: by person, (frame, picture) in order.
        top: the highest-scoring faces, highest first.
        sharpness: of each scored face.
    """

    poster: np.ndarray | None = None
    thumbnails: dict[int, list[tuple[int, np.ndarray]]] = field(default_factory=dict)
    top: list[FacePicture] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """A video to report on: what tables call it, where it and its page are."""

    name: str
    path: Path
    result: VideoResult
    page: Path


@dataclass(frozen=True)
class _Look:
    """What a second look at a video has given, or why it has failed."""

    pictures: Pictures = field(default_factory=Pictures)
    info: VideoInfo | None = None
    failure: str | None = None


class Reporter:
    """Writes reports into a folder.

    Args:
        folder: made if need be.
        run: what is known of the run (`deepfake.prediction.scoring_model.describe_run`).
        rule: turns scores into probabilities and verdicts.
        highlights: draws where the networks looked; None leaves that out.
        limits: of reading a video.
    """

    def __init__(
        self,
        folder: Path,
        run: Mapping[str, Any],
        rule: DecisionRule,
        highlights: Highlighter | None = None,
        limits: ReadLimits = LIMITS,
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._run = run
        self._weights = {model["name"]: model["weight"] for model in run["models"]}
        check = run["settings"]["precision_check"]
        self._check = None if check is None else PrecisionCheck(**check)
        self._rule = rule
        self._highlights = highlights
        self._names: set[str] = {INDEX}
        self._rows: list[dict[str, Any]] = []

    def write(self, name: str, path: Path, result: VideoResult) -> Path:
        """Writes the report on one video and returns the page.

        Args:
            name: what tables call it.
            path: the video.
        """
        job = self._job(name, path, result)
        self._rows.append(self._finish(job, self._look_apart(job)))
        return job.page

    def write_all(
        self, videos: Iterable[tuple[str, Path, VideoResult]], workers: int
    ) -> Iterator[tuple[str, str | None]]:
        """Writes the reports on many videos in worker processes; the files are those of `write`.

        Args:
            videos: what tables call each, the video, and its result.
            workers: number of processes; at most `MAX_WORKERS` are started.

        Yields:
            Each video's name as soon as its report is done, and None, or why there is no report.

        Raises:
            OutOfSpace: the disk is full.
        """
        jobs = [self._job(*video) for video in videos]
        if self._highlights is not None:
            self._highlights.prepare()
        in_workers = self._highlights is None or self._highlights.in_workers
        work = self._finished if in_workers else self._looked
        rows: dict[Path, dict[str, Any]] = {}
        failures: dict[Path, str] = {}
        with contextlib.closing(stream(jobs, work, max(1, min(workers, MAX_WORKERS)))) as parts:
            for part in parts:
                job, value, error = part.item, part.value, part.error
                if isinstance(error, WorkerDied):
                    value, error = _Look(failure=str(error)), None
                if isinstance(value, _Look):
                    value, error = self._try_to_finish(job, value)
                if isinstance(error, OutOfSpace):
                    raise OutOfSpace(f"{self._folder}: {error}") from error
                if error is not None:
                    failures[job.page] = str(error)
                if value is not None:
                    rows[job.page] = value
                if part.last:
                    yield job.name, failures.get(job.page)
        self._rows += [rows[job.page] for job in jobs if job.page in rows]

    def _job(self, name: str, path: Path, result: VideoResult) -> _Job:
        return _Job(name, path, result, self._folder / f"{self._file_name(name)}.html")

    def _look_apart(self, job: _Job) -> _Look:
        """Looks at the video in a process of its own: a decoder that crashes ends only that."""
        try:
            return _Look() if job.result.score is None else run_in_subprocess(self._look, job)
        except WorkerDied as error:
            return _Look(failure=str(error))

    def _looked(self, job: _Job) -> Iterator[_Look]:
        """What a worker process does where the networks are on a GPU, which no other process may use."""
        yield self._look(job)

    def _finished(self, job: _Job) -> Iterator[dict[str, Any]]:
        yield self._finish(job, self._look(job))

    def _try_to_finish(self, job: _Job, look: _Look) -> tuple[dict[str, Any] | None, Exception | None]:
        """`_finish`, and the error that it raises as a worker process hands it on."""
        try:
            return self._finish(job, look), None
        except Exception as error:
            return None, portable(error)

    def _finish(self, job: _Job, look: _Look) -> dict[str, Any]:
        """Writes page and JSON; returns the video's row in the index."""
        result, pictures, info = job.result, look.pictures, look.info
        content = self._content(job.name, job.path, result)
        if look.failure is not None:
            content["not_judged"].append(f"no pictures: {look.failure}")
        content["fps"] = None if info is None or info.fps <= 0 else info.fps
        doubts = [] if info is None else self._doubts(job.path, info, result, pictures)
        content["doubts"] = [*result.doubts, *doubts, *self._doubts_of_precision(result)]
        shown = self._shown(result, pictures)
        atomic.write_text(job.page.with_suffix(".json"), json.dumps(content, indent=1, allow_nan=False))
        content["filename"] = escape(job.name)
        _write_page(job.page, render("report.html", title=escape(job.name), video=content, run=self._run, **shown))
        return {**content, "page": job.page.name}

    def write_index(self) -> Path:
        """Writes the table of all videos reported on so far and returns the page."""
        page = self._folder / f"{INDEX}.html"
        html = render("index.html", title="Videos", videos=self._rows, thresholds=self._thresholds(), run=self._run)
        _write_page(page, html)
        return page

    def _content(self, name: str, path: Path, result: VideoResult) -> dict[str, Any]:
        """What the JSON holds, without what only the pictures tell."""
        details = video_to_json(result)
        persons = [self._person(person, result) for person in result.persons]
        return {
            "format": REPORT_FORMAT,
            "filename": name,
            **self._decided(result.score),
            "thresholds": self._thresholds(),
            "persons": persons,
            "not_judged": _not_judged(result, self._run["settings"]["aggregate"]),
            **{key: details[key] for key in SHOWN_DETAILS},
            "run": dict(self._run),
        }

    def _person(self, person: PersonScore, result: VideoResult) -> dict[str, Any]:
        """A person's entry; without a verdict if there are too few faces to judge by."""
        note = _note(person, result)
        entry = {**self._decided(person.score), "person": person.person, "faces": person.faces, "note": note}
        return {**entry, "verdict": None} if note else entry

    def _decided(self, score: float | None) -> dict[str, Any]:
        return {"score": None if score is None else round(score, 6), **decide(score, self._rule)}

    def _thresholds(self) -> dict[str, Any]:
        rule = self._rule
        return {"real_below": rule.real_below, "fake_above": rule.fake_above, "source": rule.source}

    def _look(self, job: _Job) -> _Look:
        """Reads the frames with faces once more, in a process of its own."""
        if job.result.score is None:
            return _Look()
        try:
            with bounded_memory(job.path, self._limits):
                return _Look(self._pictures(job.path, job.result), probe(job.path, self._limits))
        except (ValueError, OSError, RuntimeError, cv2.error) as error:  # the rest of the report needs no pictures
            return _Look(failure=str(portable(error)))

    def _pictures(self, path: Path, result: VideoResult) -> Pictures:
        by_frame: dict[int, list[ScoredFace]] = {}
        for face in result.faces:
            by_frame.setdefault(face.frame, []).append(face)
        scored = (face for face in result.faces if face.scores and face.person is not None)
        best = sorted(scored, key=self._face_score, reverse=True)[:TOP_FACES]
        most = max(by_frame, key=lambda index: (len(by_frame[index]), -index))
        pictures = Pictures()
        for frame in iter_frames(path, by_frame, limits=self._limits):
            self._add(pictures, frame, by_frame[frame.index], best)
            if frame.index == most:
                pictures.poster = draw_poster(frame.image, by_frame[most])
        pictures.top.sort(key=lambda shown: best.index(shown.face))
        return pictures

    def _add(self, pictures: Pictures, frame: Frame, faces: Sequence[ScoredFace], best: Sequence[ScoredFace]) -> None:
        seen: set[int] = set()
        for face in faces:
            crop = crop_face(frame.image, face.box)
            if not crop.size or face.person is None:
                continue
            if face.scores:
                pictures.sharpness.append(sharpness(crop))
            if face.person not in seen:  # once, though several recipes found it
                thumbnail = fit_square(crop, THUMBNAIL)
                pictures.thumbnails.setdefault(face.person, []).append((frame.index, thumbnail))
            seen.add(face.person)
            if face in best:
                pictures.top.append(FacePicture(face, frame.image.copy()))

    def _doubts(self, path: Path, info: VideoInfo, result: VideoResult, pictures: Pictures) -> list[str]:
        sizes = [min(f.box[2] - f.box[0], f.box[3] - f.box[1]) for f in result.faces if f.scores]
        return reasons_for_doubt(sizes, pictures.sharpness, bits_per_pixel(path, info), len(result.frames))

    def _face_score(self, face: ScoredFace) -> float:
        """The networks' weighted mean for one face."""
        return ensemble_score(list(face.scores.values()), [self._weights[name] for name in face.scores])

    def _shown(self, result: VideoResult, pictures: Pictures) -> dict[str, Any]:
        """What the page shows beside the JSON's content."""
        times = _times(result)
        highlights = self._highlights(pictures.top) if self._highlights and pictures.top else []
        top = [
            {
                "face": picture(fit_square(highlight.picture, HIGHLIGHT)),
                "overlay": picture(fit_square(highlight.overlay, HIGHLIGHT)),
                "network": highlight.network,
                "score": self._face_score(shown.face),
                "time": _time(shown.face.frame, times),
                "person": shown.face.person,
            }
            for shown, highlight in zip(pictures.top, highlights)
        ]
        return {
            "poster": None if pictures.poster is None else picture(pictures.poster),
            # Who was seen once or twice in a crowd is in the table.
            "timelines": [self._timeline(p, result, pictures, times) for p in result.persons if not _note(p, result)],
            "top": top,
            "precision": self._precision(),
            "person_colors": [css(person) for person in range(len(result.persons))],
        }

    def _precision(self) -> str:
        """What the networks computed in, and how that was found to do."""
        return self._run["settings"]["precision"] if self._check is None else self._check.summary()

    def _doubts_of_precision(self, result: VideoResult) -> list[str]:
        """That reduced precision changed scores: of this video, or of others that were checked."""
        if self._check is None or result.score is None:
            return []
        if result.precision_check is None:
            return (
                [] if (warning := self._check.warning()) is None else [f"computed in {self._check.chosen}: {warning}"]
            )
        if result.precision_check.kept:
            return []
        off = result.precision_check.difference
        how = "was no number" if off is None else f"was off by {off:.2g}"
        return [f"the score in {self._check.chosen} {how}; this one is float32's"]

    def _timeline(
        self, person: PersonScore, result: VideoResult, pictures: Pictures, times: Mapping[int, float]
    ) -> dict[str, Any]:
        points: dict[int, list[float]] = {}
        for face in result.faces:
            if face.person == person.person and face.scores:
                points.setdefault(face.frame, []).append(self._face_score(face))
        scores = {frame: float(np.mean(values)) for frame, values in points.items()}
        line = Timeline(
            [(times.get(frame, frame), self._rule.apply(score)) for frame, score in sorted(scores.items())],
            end=max(times.values() if times else result.frames, default=0),
            unit="seconds" if times else "frames",
            real_below=self._rule.real_below,
            fake_above=self._rule.fake_above,
            color=css(person.person),
        )
        strip = [
            {"image": picture(image), "time": _time(frame, times), "score": scores.get(frame)}
            for frame, image in pictures.thumbnails.get(person.person, [])
        ]
        return {"person": person.person, "svg": draw_timeline(line), "strip": strip}

    def _file_name(self, name: str) -> str:
        """A file name of its own, without suffix, for a video that may be called by a path."""
        plain = file_name(name, MOST_BYTES - _ROOM)
        unique, number = plain, 2
        while unique.lower() in self._names:
            unique, number = f"{plain} ({number})", number + 1
        self._names.add(unique.lower())
        return unique


def _write_page(page: Path, html: str) -> None:
    # Errors may name files that are not UTF-8.
    atomic.write_bytes(page, html.encode("utf-8", "backslashreplace"))


def draw_poster(image: np.ndarray, faces: Iterable[ScoredFace]) -> np.ndarray:
    """A frame with each person's box and number, POSTER_WIDTH pixels wide at most."""
    scale = min(POSTER_WIDTH / image.shape[1], 1.0)
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    poster = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for face in faces:
        if face.person is None:
            continue
        left, top, right, bottom = (round(v * scale) for v in face.box)
        color = PERSON_COLORS[face.person % len(PERSON_COLORS)]
        cv2.rectangle(poster, (left, top), (right, bottom), color, 2, cv2.LINE_AA)
        cv2.rectangle(poster, (left, top), (left + 24, top + 22), color, -1)
        cv2.putText(
            poster,
            str(face.person + 1),
            (left + 5, top + 17),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.55,
            (255, 255, 255),
            2,
            cv2.LINE_AA,
        )
    return poster


def css(person: int) -> str:
    """A person's color for a style sheet."""
    red, green, blue = PERSON_COLORS[person % len(PERSON_COLORS)]
    return f"#{red:02x}{green:02x}{blue:02x}"


def _times(result: VideoResult) -> dict[int, float]:
    """When each frame is shown, in seconds; empty for a picture, which has no times."""
    return dict(zip(result.frames, result.times)) if any(result.times) else {}


def _time(frame: int, times: Mapping[int, float]) -> str:
    return f"{times[frame]:.1f} s" if frame in times else f"frame {frame}"


def _note(person: PersonScore, result: VideoResult) -> str:
    """Why a person is not judged, if so; `scoring.max_person_score` leaves such persons out."""
    if person.score is None:
        return "not scored: the networks had as many faces as they take"
    if can_judge(person.faces, max(p.faces for p in result.persons)):
        return ""
    times = "once" if person.faces == 1 else f"{person.faces} times"
    return f"seen {times} only: {TOO_FEW}"


def _not_judged(result: VideoResult, aggregate: str) -> list[str]:
    """What there is in the video that is not judged, and why."""
    if result.score is None:
        return [f"the video: {result.reason}"]
    doubts = []
    without = len(set(result.frames) - {face.frame for face in result.faces})
    if without:
        doubts.append(f"{without} of {len(result.frames)} frames: no face found in them")
    strays = [face for face in result.faces if face.person is None]
    if strays:
        counts = aggregate != MAX_PERSON and any(face.scores for face in strays)
        doubts.append(f"{len(strays)} of {len(result.faces)} detections as a person: {STRAY}{COUNTS if counts else ''}")
    unscored = sum(not face.scores for face in result.faces)
    if unscored:
        doubts.append(f"{unscored} of {len(result.faces)} faces: beyond the number that the networks take")
    small = sum(min(f.box[2] - f.box[0], f.box[3] - f.box[1]) < SMALL_FACE / 2 for f in result.faces)
    if small:
        doubts.append(f"{small} of {len(result.faces)} faces are under {SMALL_FACE // 2} pixels: hardly a judgment")
    return doubts
