"""RetinaFace agrees with the published one: networks, anchors, decoding, and what trained weights find."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfake.faces.boxes import Face
from deepfake.faces.detectors import RetinaFaceSettings
from deepfake.faces.detectors.retinaface import (
    VARIANTS,
    RetinaFace,
    anchors,
    decode_boxes,
    decode_landmarks,
    weights_path,
)
from deepfake.media.video import iter_frames
from deepfake.models.weight_files import CheckpointError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
RECORDED_SIZES = ((16, 32), (64, 128), (256, 512))
SMALL = RetinaFaceSettings("mobilenet0.25", scale=0.5)
EVERY_BOX = RetinaFaceSettings("mobilenet0.25", scale=0.5, nms=None)


@pytest.fixture(scope="module")
def trained(shared) -> Path:
    return shared / "reference" / "RetinaFace-mobilenet0.25_Final.pth"


@pytest.fixture(scope="module")
def published(reference) -> dict[str, dict[int, dict | None]]:
    """By clip and frame: boxes over 0.8, and the largest one in pixels of the half-size frame."""
    found = reference("retinaface")["detections_mobilenet0.25"]
    return {clip: {int(i): entry for i, entry in frames.items()} for clip, frames in found.items()}


@pytest.fixture(scope="module")
def frames(mini_dfdc, published) -> dict[tuple[str, int], np.ndarray]:
    read = {}
    for clip, entries in published.items():
        (path,) = mini_dfdc.glob(f"*/{clip}")
        read.update({(clip, frame.index): frame.image for frame in iter_frames(path, entries)})
    return read


SEVERAL_PEOPLE = "video.mp4"


def in_batches(detector: RetinaFace, frames: dict) -> dict[tuple[str, int], list[Face]]:
    return dict(zip(frames, detector.detect(list(frames.values()))))


@pytest.fixture(scope="module")
def every_box(trained, frames) -> dict[tuple[str, int], list[Face]]:
    return in_batches(RetinaFace(EVERY_BOX, trained), frames)


@pytest.fixture(scope="module")
def faces(trained, frames) -> dict[tuple[str, int], list[Face]]:
    return in_batches(RetinaFace(SMALL, trained), frames)


# The network.


def assert_recorded(tensor: torch.Tensor, expected: dict) -> None:
    assert list(tensor.shape) == expected["shape"]
    values = expected["values"]
    assert tensor.flatten()[: len(values)].tolist() == pytest.approx(values, rel=1e-6)
    assert tensor.abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-6)
    assert tensor.sum().item() == pytest.approx(expected["sum"], abs=1e-6 * expected["abs_sum"])


@pytest.mark.parametrize("name", ["resnet50", "mobilenet0.25"])
def test_agrees_with_the_published_network(name, recorded, reference):
    entry = reference("retinaface")["network"][f"retinaface_{name}"]
    network = VARIANTS[name].build().double().eval()
    state = network.state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == entry["keys"]
    recorded.fill(state)  # in place: these are the network's own tensors
    with torch.inference_mode():
        boxes, classes, landmarks = network(recorded.reference_input(entry["size"], entry["batch"]))
    at = anchors(entry["size"], entry["size"], RECORDED_SIZES, CPU)
    outputs = entry["outputs"]
    assert_recorded(boxes, outputs["loc"])
    assert_recorded(classes, outputs["conf"])
    assert_recorded(landmarks, outputs["landmarks"])
    assert_recorded(at.double(), outputs["anchors_cxcywh"])
    assert_recorded(decode_boxes(boxes[0], at.double()), outputs["boxes_decoded"])
    assert_recorded(decode_landmarks(landmarks[0], at.double()).flatten(1), outputs["landmarks_decoded"])


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("size", [(1, 1), (33, 70), (96, 65)])
def test_there_is_an_anchor_for_each_output(name, size):
    network, sizes = VARIANTS[name].build().eval(), VARIANTS[name].anchor_sizes
    with torch.inference_mode():
        outputs = network(torch.zeros(1, 3, *size))
    at = anchors(*size, sizes, CPU)
    assert [output.shape[1] for output in outputs] == [len(at)] * 3
    height, width = size
    assert at[0].tolist() == pytest.approx([4 / width, 4 / height, sizes[0][0] / width, sizes[0][0] / height])
    assert at[-1, 2:].tolist() == pytest.approx([sizes[2][1] / width, sizes[2][1] / height])


def test_anchors_belong_to_the_weights_and_are_made_once():
    assert VARIANTS["resnet50"].anchor_sizes == RECORDED_SIZES
    assert VARIANTS["mobilenet0.25"].anchor_sizes == ((10, 20), (32, 64), (128, 256))
    first = anchors(96, 64, RECORDED_SIZES, CPU)
    assert anchors(96, 64, RECORDED_SIZES, CPU) is first
    assert anchors(64, 96, RECORDED_SIZES, CPU) is not first


# Trained weights on real frames.


def test_boxes_are_the_published_ones(every_box, published):
    compared = 0
    for clip, entries in published.items():
        for index, expected in entries.items():
            ours = every_box[clip, index]
            assert len(ours) == (expected["over_threshold"] if expected else 0), (clip, index)
            if expected:
                largest = ours[0]
                assert np.allclose(np.array(largest.box) / 2, expected["box"], rtol=0, atol=0.1), (clip, index)
                assert largest.landmarks is not None
                assert np.allclose(np.array(largest.landmarks) / 2, expected["landmarks"], rtol=0, atol=0.1)
                assert largest.score == pytest.approx(expected["score"], abs=1e-3)
                compared += 1
    assert compared >= 60


CROWD = {0: 3, 30: 3, 60: 4, 90: 1}
"""video.mp4 is a street scene: its faces over 0.8 by frame, far from each other; all other clips show one face."""


def test_suppression_leaves_one_box_a_face(faces, every_box):
    for (clip, index), boxes in every_box.items():
        expected = CROWD[index] if clip == "video.mp4" else min(len(boxes), 1)
        found = faces[clip, index]
        assert len(found) == expected, (clip, index)
        if boxes:
            assert max(face.score for face in found) == max(face.score for face in boxes)
            areas = [face.area for face in found]
            assert areas == sorted(areas, reverse=True)


def test_a_batch_gives_what_its_frames_give_alone(trained, frames, faces):
    """Frames of several sizes, mixed with one that has no face."""
    detector = RetinaFace(SMALL, trained)
    by_shape = {frame.shape: key for key, frame in frames.items()}
    keys = [*by_shape.values(), *list(frames)[:2]]
    blank = np.full_like(frames[keys[0]], 128)
    mixed = detector.detect([blank, *(frames[key] for key in keys), blank[:, :-3]])
    assert len(by_shape) >= 2
    assert mixed[0] == mixed[-1] == []
    for key, found in zip(keys, mixed[1:-1]):
        alone_found = detector.detect([frames[key]])[0]
        for ours in (found, faces[key]):
            assert len(ours) == len(alone_found) > 0
            for face, alone in zip(ours, alone_found):
                assert face.landmarks is not None and alone.landmarks is not None
                assert np.allclose(face.box, alone.box, rtol=0, atol=0.01)
                assert np.allclose(face.landmarks, alone.landmarks, rtol=0, atol=0.01)
                assert face.score == pytest.approx(alone.score, abs=1e-4)


def test_the_confidence_rejects(trained, frames, every_box):
    key = next(key for key, boxes in every_box.items() if boxes)
    best = max(face.score for face in every_box[key])
    for confidence, count in [((best + 1) / 2, 0), (best - 1e-3, 1)]:
        settings = RetinaFaceSettings("mobilenet0.25", confidence, scale=0.5)
        assert len(RetinaFace(settings, trained).detect([frames[key]])[0]) == count


def test_no_frames_and_tiny_frames(trained):
    detector = RetinaFace(SMALL, trained)
    assert detector.detect([]) == []
    assert detector.detect([np.zeros((1, 1, 3), np.uint8), np.zeros((7, 200, 3), np.uint8)]) == [[], []]


# Weight files.


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("resnet50", r"RetinaFace-Resnet50-fixed\.pth: no such file.*file host that github\.com"),
        ("mobilenet0.25", r"mobilenet0\.25_Final\.pth: no such file.*github\.com/biubug6/Pytorch_Retinaface"),
    ],
)
def test_a_missing_weight_file_is_reported_with_its_cure(tmp_path, network, message):
    with pytest.raises(ValueError, match=message + r".*weights/ \(--detector mtcnn needs none\)"):
        RetinaFace(RetinaFaceSettings(network), weights_path(tmp_path, network))


def test_weights_of_data_parallel_training_load(trained, tmp_path):
    state = torch.load(trained, map_location="cpu", weights_only=True)
    path = tmp_path / "parallel.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    settings = RetinaFaceSettings("mobilenet0.25", confidence=0.0, nms=None)
    assert RetinaFace(settings, path).detect([noise]) == RetinaFace(settings, trained).detect([noise])


def test_weights_load_strictly_and_safely(trained, tmp_path):
    with pytest.raises(CheckpointError, match=r"do not fit RetinaFace resnet50: \d+ keys missing"):
        RetinaFace(RetinaFaceSettings("resnet50"), trained)
    state = torch.load(trained, map_location="cpu", weights_only=True)
    lacking, code, short = tmp_path / "lacking.pth", tmp_path / "code.pth", tmp_path / "short.pth"
    state.pop("ClassHead.0.conv1x1.bias")
    torch.save(state, lacking)
    torch.save({"a": Path.cwd}, code)
    shutil.copyfile(trained, short)
    with short.open("r+b") as file:
        file.truncate(1000)
    for path, message in [(lacking, r"ClassHead\.0\.conv1x1\.bias"), (code, "refused"), (short, "short.pth: ")]:
        with pytest.raises(CheckpointError, match=message):
            RetinaFace(SMALL, path)


def test_settings():
    settings = RetinaFaceSettings()
    assert (settings.network, settings.confidence, settings.nms, settings.scale) == ("resnet50", 0.8, 0.4, 1.0)
    assert settings.with_scale(0.5).to_dict()["scale"] == 0.5
    with pytest.raises(ValueError, match=r"'vgg' unknown; expected one of resnet50, mobilenet0\.25"):
        RetinaFaceSettings("vgg")


def test_weights_that_overflow_are_an_error_and_no_empty_frame(trained, tmp_path):
    state = torch.load(trained, "cpu", weights_only=True)
    for key in list(state)[:30]:
        if state[key].ndim == 4:
            state[key] *= 1e15
    path = tmp_path / "weights"
    torch.save(state, path)
    with pytest.raises(ValueError, match="RetinaFace computed numbers that are not finite"):
        RetinaFace(SMALL, path).detect([np.full((64, 64, 3), 200, np.uint8)])
    state[next(iter(state))].view(-1)[0] = torch.nan
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="numbers are not finite"):
        RetinaFace(SMALL, path)
