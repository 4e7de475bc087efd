"""What prediction costs: each stage, and each way of running the networks against the plain way, in one run."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.measuring import pauses, processor, tree_memory
from deepfake.cli.commandline import positive_int, run_guarded
from deepfake.media.files import find_videos, name_videos
from deepfake.media.video import SpreadFrames
from deepfake.parallel.allocator import keep_freed_memory
from deepfake.parallel.pool import default_workers
from deepfake.prediction.ensemble import Member, weighted_members
from deepfake.scoring.aggregation import FRAMES_PER_VIDEO
from deepfake.scoring.results import VideoResult

if TYPE_CHECKING:
    from deepfake.prediction.face_scorer import Scorer
    from deepfake.prediction.scoring_model import ScoringModel

PLAIN = "plain"
SWEPT_BATCHES = (1, 2, 4, 8)
MADE_UP = "made_up_weights"

EPILOG = """plain: float32, eager, NCHW, one frame and one face at a time, one video after another, freed memory given
back to the system. The other ways are those of predict_folder.py. Each runs in a process of its own; loading, compiling
and one face before are not counted (column setup). A stage's seconds are those of one video, run alone.

examples:
  python bench/predict.py VIDEOS --weights-dir weights --models MODEL_A --repeat 2
  python bench/predict.py VIDEOS --encoder tf_efficientnet_b7_ns --size 380 --compile --ways "torch bf16"
  python bench/predict.py VIDEOS --models MODEL_A --batches
"""


@dataclass(frozen=True)
class Way:
    """How networks are run: a backend, in a precision, compiled or not."""

    backend: str = "torch"
    precision: str = "float32"
    compiled: bool = False

    @property
    def name(self) -> str:
        return f"{self.backend} {self.precision}{' compiled' if self.compiled else ''}"


WAYS = [
    Way(),
    Way(precision="bf16"),
    Way(precision="fp16"),
    Way("onnx"),
    Way("openvino"),
    Way("openvino", "bf16"),
]
ON_CPU = [way.name for way in WAYS if way.precision != "fp16"]
ON_CUDA = [way.name for way in WAYS if way.backend == "torch"]
"""ONNX Runtime and OpenVINO as the export extra installs them compute on the CPU."""


@dataclass(frozen=True)
class Job:
    """What is measured, the same for each way."""

    videos: list[Path]
    members: list[Member]
    device: str
    workers: int


@dataclass
class Measured:
    """What a way took for all videos.

    Attributes:
        results: by video.
        seconds: wall time, loading not counted.
        setup: seconds of loading and compiling.
        stages: seconds by stage, of what runs its stages one after the other.
        peak_mib: of the process and its children.
    """

    results: dict[Path, VideoResult] = field(default_factory=dict)
    seconds: float = 0.0
    setup: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    peak_mib: float = 0.0

    @property
    def faces(self) -> int:
        return sum(len(result.faces) for result in self.results.values())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("videos", nargs="+", type=Path, metavar="VIDEO", help="videos, or folders of them")
    add("--weights-dir", type=Path, default=Path("weights"), metavar="DIR", help="default: %(default)s")
    add("--models", nargs="+", metavar="NAME", help="checkpoints (default: --encoder with made-up weights)")
    add("--encoder", default="tf_efficientnet_b7_ns", metavar="NAME", help="default: %(default)s")
    add("--size", type=positive_int, default=380, metavar="PIXELS", help="its input (default: %(default)s)")
    add("--frames", type=positive_int, default=FRAMES_PER_VIDEO, metavar="N", help="a video (default: %(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: cuda if there is one")
    add("--workers", type=positive_int, default=default_workers(), metavar="N", help="processes that read ahead")
    add(
        "--ways",
        nargs="+",
        choices=[way.name for way in WAYS],
        metavar="WAY",
        help=f"beside the plain one, of: {', '.join(way.name for way in WAYS)} (default: all that the device runs)",
    )
    add("--compile", action="store_true", help="torch's ways compiled too: minutes")
    add("--repeat", type=positive_int, default=1, metavar="N", help="rounds over all ways; the fastest of each counts")
    add("--batches", action="store_true", help="instead: seconds a face of the network by batch size and threads")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    from deepfake.models.precision import choose_device

    device = choose_device(args.device)
    with tempfile.TemporaryDirectory(prefix="bench_predict_") as scratch:
        checkpoints = find_checkpoints(args, Path(scratch))
        members = weighted_members(checkpoints, None, SpreadFrames(args.frames))
        job = Job(list(name_videos(find_videos(args.videos)).values()), members, device, args.workers)
        print(f"{len(job.videos)} videos, {args.frames} frames each; {', '.join(path.name for path in checkpoints)}")
        print(f"{processor()}, {default_workers()} cores; {device}; {job.workers} workers")
        if args.batches:
            print_batches(job, choose_ways(args, device))
        else:
            compare(job, choose_ways(args, device), Path(scratch), args.repeat)
    return 0


def find_checkpoints(args: argparse.Namespace, scratch: Path) -> list[Path]:
    """The named checkpoints, or one with made-up weights."""
    if args.models:
        return [args.weights_dir / name for name in args.models]
    import torch

    from deepfake.checkpoints.checkpoint import save_checkpoint
    from deepfake.checkpoints.spec import ModelSpec

    torch.manual_seed(0)
    spec = ModelSpec("DeepFakeClassifier", {"encoder": args.encoder}, args.size)
    save_checkpoint(scratch / MADE_UP, spec.build(), spec)
    print("weights are made up: times are real, scores and their differences mean nothing")
    return [scratch / MADE_UP]


def choose_ways(args: argparse.Namespace, device: str) -> list[Way]:
    names = args.ways or (ON_CUDA if device == "cuda" else ON_CPU)
    ways = [way for way in WAYS if way.name in names]
    return ways + [replace(way, compiled=True) for way in ways if args.compile and way.backend == "torch"]


def compare(job: Job, ways: Sequence[Way], scratch: Path, rounds: int) -> None:
    jobs = {way: exported_job(job, way, scratch) for way in ways}
    plain, found = Measured(), dict.fromkeys(ways, Measured())
    for _ in range(rounds):
        plain = faster(plain, apart(run_plain, job))
        for way in ways:
            found[way] = faster(found[way], apart(run_way, jobs[way], way))
    stages = apart(run_stages, job, fastest_torch(found))
    print_stages(job, plain, stages)
    print_ways(job, plain, found)


def exported_job(job: Job, way: Way, scratch: Path) -> Job:
    """The job with the checkpoints' exported files, made here, in the checkpoints' place."""
    if way.backend == "torch":
        return job
    from deepfake.backends.facts import ExportFacts
    from deepfake.checkpoints.checkpoint import load_model
    from deepfake.models.weight_files import file_hash
    from export.checking import export_checked
    from export.format_registry import FORMATS
    from export.formats.onnx import OPSET
    from export.graph import ExportJob
    from export.sample_faces import real_crops

    made = FORMATS[way.backend]
    folder = scratch / way.name.replace(" ", "_")
    folder.mkdir()
    members = []
    for member in job.members:
        network, spec = load_model(member.checkpoint)
        facts = ExportFacts(spec, member.checkpoint.name, file_hash(member.checkpoint), False, way.precision)
        crops = real_crops(spec, job.videos[:1], member.checkpoint.parent)
        path = folder / (member.checkpoint.name + made.file.suffix)
        export_checked(ExportJob(network, facts, crops, OPSET), path, made, 1.0, "cpu")  # differences are printed below
        members.append(replace(member, checkpoint=folder / member.checkpoint.name))
    return replace(job, members=members)


def apart(function: Callable[..., Measured], *arguments: Any) -> Measured:
    """`function(*arguments)` in a new process, with the peak of its memory."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=send_result, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    peak = 0
    for pause in pauses():
        if not process.is_alive() or ours.poll(pause):
            break
        peak = max(peak, tree_memory(process.pid or 0))
    try:
        measured = ours.recv()
    except EOFError as error:
        raise ValueError("a measurement ended without a result; its message stands above") from error
    process.join()
    return replace(measured, peak_mib=peak / 2**20)


def send_result(connection: Connection, function: Callable[..., Measured], arguments: tuple[Any, ...]) -> None:
    connection.send(function(*arguments))


@contextmanager
def timed(stages: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    stages[name] = stages.get(name, 0.0) + time.perf_counter() - start


def run_plain(job: Job) -> Measured:
    """What a program does that thinks of no speed: one thing after the other."""
    from deepfake.prediction.loading import load_models
    from deepfake.prediction.predictor import warm_up

    start = time.perf_counter()
    models = load_models(job.members, job.device)
    stages = Stages(models, job, frames_at_once=1)
    networks = {model.name: plain_scorer(model) for model in models}
    warm_up(models, networks)
    setup = time.perf_counter() - start
    start = time.perf_counter()
    results = {video: stages.run(video, networks) for video in job.videos}
    return Measured(results, time.perf_counter() - start, setup, stages.seconds)


def plain_scorer(model: ScoringModel) -> Scorer:
    """Scores one face a call: float32, eager, in torch's usual layout."""
    import numpy as np
    import torch

    from deepfake.checkpoints.spec import fake_probability
    from deepfake.prediction.face_scorer import FaceInput

    network = model.network
    prepare = FaceInput(network, model.normalization, model.spec.input_size)

    @torch.no_grad()
    def score(images: np.ndarray) -> np.ndarray:
        scores = [
            fake_probability(network(batch.contiguous()), model.spec.output).cpu().numpy()
            for image in images
            for batch in prepare.batches(image[None])
        ]
        return np.concatenate([np.empty(0, np.float32), *scores])

    return score


def run_way(job: Job, way: Way) -> Measured:
    """As predict_folder.py does."""
    from deepfake.prediction.loading import build_predictor, load_models
    from deepfake.prediction.predictor import warm_up

    keep_freed_memory()
    start = time.perf_counter()
    models = load_models(job.members, job.device, backend=way.backend)
    precision = way.precision if way.backend == "torch" else "auto"
    predictor = build_predictor(
        models, device=job.device, precision=precision, compiled=way.compiled, workers=job.workers
    )
    warm_up(models, predictor.scorers)
    setup = time.perf_counter() - start
    start = time.perf_counter()
    results = dict(predictor.predict_all(job.videos))
    return Measured(results, time.perf_counter() - start, setup)


def run_stages(job: Job, way: Way) -> Measured:
    """Each stage alone, as a way of torch runs it."""
    from deepfake.prediction.loading import load_models
    from deepfake.prediction.predictor import warm_up
    from deepfake.prediction.scoring_model import make_scorer

    keep_freed_memory()
    models = load_models(job.members, job.device)
    stages = Stages(models, job)
    networks = {model.name: make_scorer(model, way.precision, way.compiled) for model in models}
    warm_up(models, networks)
    results = {video: stages.run(video, networks) for video in job.videos}
    return Measured(results, sum(stages.seconds.values()), 0.0, stages.seconds)


class Stages:
    """The stages of prediction one after the other, timed. Reading, detecting and cropping have one thread, as in the
    processes that read ahead; networks have all."""

    def __init__(self, models: Sequence[ScoringModel], job: Job, frames_at_once: int | None = None) -> None:
        from deepfake.media.frames import FRAMES_AT_ONCE
        from deepfake.prediction.face_collector import FaceCollector

        self._models = models
        self._size = frames_at_once or FRAMES_AT_ONCE
        self._collector = FaceCollector([model.view for model in models], job.device)
        self._device = job.device
        self.seconds: dict[str, float] = {}

    def run(self, video: Path, networks: Mapping[str, Scorer]) -> VideoResult:
        import torch

        from deepfake.media.video import chunked, iter_chosen
        from deepfake.prediction.predictor import score_video

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with timed(self.seconds, "decoding"):
            frames = list(iter_chosen(video, self._collector.choices, threads=1))
        collection = self._collector.begin()
        with timed(self.seconds, "detection"):
            detected = [collection.detect(chunk) for chunk in chunked(frames, self._size)]
        with timed(self.seconds, "cropping"):
            for chunk, faces in zip(chunked(frames, self._size), detected):
                collection.take(chunk, faces)
            found = collection.finish()
        torch.set_num_threads(threads)
        with timed(self.seconds, "network"):
            return score_video(found, self._models, networks)


def faster(one: Measured, other: Measured) -> Measured:
    """The faster of two runs; the first may be none. The higher peak counts."""
    if not one.results:
        return other
    best = min(one, other, key=lambda measured: measured.seconds)
    return replace(best, peak_mib=max(one.peak_mib, other.peak_mib))


def fastest_torch(found: dict[Way, Measured]) -> Way:
    """The way of torch whose stages are shown."""
    ways = [way for way in found if way.backend == "torch"]
    return min(ways, key=lambda way: found[way].seconds) if ways else Way()


def print_stages(job: Job, plain: Measured, stages: Measured) -> None:
    videos = len(job.videos)
    print(f"\n{'seconds a video, alone':26}{'plain':>10}{'ours':>10}{'ratio':>8}")
    for name, seconds in plain.stages.items():
        label = "decoding (the floor)" if name == "decoding" else name
        ours = stages.stages[name]
        print(f"{label:26}{seconds / videos:10.3f}{ours / videos:10.3f}{seconds / max(ours, 1e-9):8.2f}")
    print(bound(job, stages))


def bound(job: Job, stages: Measured) -> str:
    """What more of would make prediction faster."""
    seconds = stages.stages
    if job.device == "cuda":  # three lines of work at once: the slowest holds up the others
        lines = {
            f"decoding in {job.workers} processes": seconds["decoding"] / job.workers,
            "detection and cropping on the GPU's thread": seconds["detection"] + seconds["cropping"],
            "the network": seconds["network"],
        }
    else:  # all share the cores
        cores = default_workers()
        lines = {name: value * (cores if name == "network" else 1) for name, value in seconds.items()}
    name = max(lines, key=lambda line: lines[line])
    share = lines[name] / sum(lines.values())
    return f"bound by {name}: {share:.0%} of the work" if job.device == "cpu" else f"bound by {name}"


def print_ways(job: Job, plain: Measured, found: dict[Way, Measured]) -> None:
    columns = ("s/video", "faces/s", "x plain", "score diff.", "peak MiB", "setup s")
    print(f"\n{'way':24}" + "".join(f"{column:>12}" for column in columns))
    for name, measured in [(PLAIN, plain), *((way.name, measured) for way, measured in found.items())]:
        print(
            f"{name:24}{measured.seconds / len(job.videos):12.3f}{measured.faces / measured.seconds:12.2f}"
            f"{plain.seconds / measured.seconds:12.2f}{difference(plain, measured):>12}{measured.peak_mib:12.0f}"
            f"{measured.setup:12.1f}"
        )
    print("score diff.: the largest of a face's probability from the plain way's")


def difference(plain: Measured, other: Measured) -> str:
    """The largest of a face's probability; in words if other faces were found."""
    largest = 0.0
    for video, expected in plain.results.items():
        pairs = list(zip(expected.faces, other.results[video].faces))
        if len(expected.faces) != len(other.results[video].faces) or any(a.frame != b.frame for a, b in pairs):
            return "other faces"
        largest = max([largest, *(abs(a.scores[name] - b.scores[name]) for a, b in pairs for name in a.scores)])
    return f"{largest:.2g}"


def print_batches(job: Job, ways: Sequence[Way]) -> None:
    """Seconds a face of each network by batch size, with one thread and with all."""
    for way in ways:
        if way.backend == "torch":
            for threads in sorted({1, default_workers()}):
                swept = apart(run_batches, job, way, threads)
                cells = "".join(f"{size:>6}: {seconds:.3f}" for size, seconds in swept.stages.items())
                print(f"{way.name}, {threads} threads, seconds a face by batch size:{cells}")


def run_batches(job: Job, way: Way, threads: int) -> Measured:
    import numpy as np
    import torch

    from deepfake.prediction import face_scorer
    from deepfake.prediction.loading import load_models
    from deepfake.prediction.scoring_model import make_scorer

    keep_freed_memory()
    torch.set_num_threads(threads)
    (model, *_) = load_models(job.members, job.device)
    images = np.zeros((threads * max(SWEPT_BATCHES), model.spec.input_size, model.spec.input_size, 3), np.uint8)
    face_scorer.CPU_PIXELS = images.size
    seconds = {}
    for size in SWEPT_BATCHES:
        face_scorer.SCORE_BATCH[job.device] = size
        scorer = make_scorer(model, way.precision, way.compiled)
        scorer(images)
        start = time.perf_counter()
        scorer(images)
        seconds[str(size)] = (time.perf_counter() - start) / len(images)
    return Measured(stages=seconds)


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))
