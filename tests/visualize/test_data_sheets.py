"""Sheets and the page of a small real data set, preprocessed by the real steps."""

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.datasets.progress import describe_bytes
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.faces.boxes import BoxFile, Face, read_boxes, write_boxes
from deepfake.media.images import write_image
from deepfake.parallel.workers import Failure, write_failures
from tests.data.clips import cut, draw, gradient, write_metadata
from tests.data.dataset_trees import make_wilddeepfake
from tests.data.steps import run_here
from visualize import data_sheets
from visualize.dataset import dataset_facts, sheets
from visualize.dataset.augmentation_sheet import make_augmentation_sheet
from visualize.dataset.pair_sheet import BOX_COLOR, LANDMARK_COLOR, WINDOW_COLOR, Source, make_pair_sheet, overlay
from visualize.dataset.pairs import MOST_FAKES, draw_pairs, pairs_of, read_pair_boxes

FRAMES, EVERY = 21, 10
PARTS = {0: ("d9", "d9_d14"), 3: ("d19", "d19_d18")}
STEPS = (
    ("detect_original_faces", "--every", str(EVERY)),
    *(("extract_crops",), ("generate_landmarks",), ("generate_diffs",), ("generate_folds",)),
)
ALERT = "<script>alert(1)"


@pytest.fixture(scope="module")
def prepared(mini_dfdc, tmp_path_factory) -> Path:
    """Two originals and their fakes through all steps; only to be read."""
    root = tmp_path_factory.mktemp("sheets") / "data"
    for part, (real, fake) in PARTS.items():
        folder = root / f"dfdc_train_part_{part}"
        folder.mkdir(parents=True)
        for name in (real, fake):
            cut(mini_dfdc / folder.name / f"{name}.mp4", folder / f"{name}.mp4", FRAMES)
        write_metadata(folder, [f"{real}.mp4"], {f"{fake}.mp4": f"{real}.mp4"})
    for step, *arguments in STEPS:
        run_here(step, "--root-dir", root, "--workers", 1, *arguments).check_returncode()
    return root


@pytest.fixture
def root(prepared, tmp_path) -> Path:
    """A copy of one's own, to break."""
    return Path(shutil.copytree(prepared, tmp_path / "data"))


@pytest.fixture
def command(run_main):
    """`command(root, "--stats")`: runs the command in this process; its exit code, output and errors."""

    def run(root: Path, *arguments: str):
        return run_main(data_sheets.main, "--root-dir", root, *arguments)

    return run


def pair_sheet(root: Path, video: str = "d9_d14", frame: int = EVERY):
    layout = DataRoot(root)
    pair = pairs_of(read_dataset(root), video)[0]
    source = Source(layout, read_pair_boxes(layout, pair), data_sheets.read_fold_of(layout.folds_csv))
    return make_pair_sheet(source, pair, frame)


def reasons(sheet) -> dict[str, str]:
    """Title of each cell without a picture -> why."""
    return {cell.title: cell.content for row in sheet.rows for cell in row.cells if isinstance(cell.content, str)}


def add_to_metadata(root: Path, **entries) -> None:
    file = root / "dfdc_train_part_0" / "metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def cut_out(drawn, place) -> np.ndarray:
    left, top, width, height = drawn.places[place]
    return drawn.image[top : top + height, left : left + width]


def extent(picture: np.ndarray, color) -> list[int]:
    """(left, top, right, bottom) of the pixels of a color, the last two exclusive."""
    rows, columns = np.nonzero((picture == color).all(axis=-1))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


# Sheets of pairs


def test_box_and_margin_are_drawn_where_the_box_file_says(prepared):
    drawn = sheets.draw_sheet(pair_sheet(prepared))
    x1, y1, x2, y2 = json.loads((prepared / "boxes" / "d9.json").read_text())["frames"][str(EVERY)][0]["box"]
    height, width = cv2.VideoCapture(str(prepared / "dfdc_train_part_0" / "d9.mp4")).read()[1].shape[:2]
    pad_x, pad_y = (int(x2) - int(x1)) // 3, (int(y2) - int(y1)) // 3
    left, top = max(int(x1) - pad_x, 0), max(int(y1) - pad_y, 0)
    window = [left, top, min(int(x2) + pad_x, width), min(int(y2) + pad_y, height)]
    for place in ((0, 0), (0, 1)):
        picture = cut_out(drawn, place)
        scale = picture.shape[1] / width
        assert scale == pytest.approx(picture.shape[0] / height, rel=0.01)
        for color, expected in ((BOX_COLOR, [x1, y1, x2, y2]), (WINDOW_COLOR, window)):
            assert extent(picture, color) == pytest.approx([v * scale for v in expected], abs=1.01)
        line = (picture[round(y1 * scale) + 1, round(x1 * scale) : round(x2 * scale)] == BOX_COLOR).all(axis=-1)
        assert line.all(), "the box has an upper edge"


def test_the_frames_are_those_of_the_videos(prepared):
    cells = pair_sheet(prepared).rows[0].cells
    for cell, name in zip(cells, PARTS[0]):
        video = cv2.VideoCapture(str(prepared / "dfdc_train_part_0" / f"{name}.mp4"))
        frames = [video.read()[1][..., ::-1] for _ in range(EVERY + 1)]
        assert (cell.content == frames[EVERY]).all() and name in cell.title
    assert (cells[0].content != cells[1].content).any()


def test_every_cell_shows_its_file(prepared):
    row = pair_sheet(prepared).rows[1]
    assert [cell.title for cell in row.cells] == [
        "real crop", "fake crop", "landmarks (real crop)", "SSIM mask", "mask over the fake crop",
    ]  # fmt: skip
    real, fake = (cv2.imread(str(prepared / "crops" / name / f"{EVERY}_0.png"))[..., ::-1] for name in PARTS[0])
    mask = cv2.imread(str(prepared / "diffs" / "d9_d14" / f"{EVERY}_0_diff.png"), cv2.IMREAD_GRAYSCALE)
    for cell, expected in zip(row.cells, (real, fake, real, mask)):
        assert np.array_equal(cell.content, expected)
    points = np.load(prepared / "landmarks" / "d9" / f"{EVERY}_0.npy")
    assert [mark.at for mark in row.cells[2].marks] == [tuple(point) for point in points.tolist()]
    score = read_boxes(prepared / "boxes" / "d9.json").frames[EVERY][0].score
    share = (mask > 20).mean()
    assert 0.02 < share < 0.9
    for fact in (f"{score:.4f}", f"{share:.1%} of the pixels", f"crop {real.shape[1]} x {real.shape[0]} pixels"):
        assert fact in row.heading


def test_landmarks_and_all_cells_are_on_the_drawn_sheet(prepared):
    drawn = sheets.draw_sheet(pair_sheet(prepared))
    assert set(drawn.places) == {(0, 0), (0, 1), *((1, k) for k in range(5))}
    points = np.load(prepared / "landmarks" / "d9" / f"{EVERY}_0.npy").astype(float)
    picture = cut_out(drawn, (1, 2))
    crop = cv2.imread(str(prepared / "crops" / "d9" / f"{EVERY}_0.png"))
    scale = picture.shape[1] / crop.shape[1]
    for x, y in points * scale:
        assert (picture[round(y), round(x)] == LANDMARK_COLOR).all()
    left, top, right, bottom = extent(picture, LANDMARK_COLOR)
    reach = sheets.DOT_RADIUS + 1
    assert left >= points[:, 0].min() * scale - reach and right <= points[:, 0].max() * scale + reach + 1
    assert top >= points[:, 1].min() * scale - reach and bottom <= points[:, 1].max() * scale + reach + 1


def test_the_overlay_colors_what_changed_alone():
    crop = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, 10:20] = 200
    shown = overlay(crop, mask)
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    assert (shown[mask == 0] == gray[mask == 0][:, None]).all()
    inside = shown[10:20, 10:20].astype(int)
    assert (np.ptp(inside, axis=-1) > 60).all(), "color over the change"


def test_title_fold_frame_and_time(prepared):
    sheet = pair_sheet(prepared, "d19_d18")
    assert sheet.title == "d19_d18 (fake), made from d19 (real)"
    fps = cv2.VideoCapture(str(prepared / "dfdc_train_part_3" / "d19.mp4")).get(cv2.CAP_PROP_FPS)
    for fact in (f"frame {EVERY}", f"at {EVERY / fps:.2f} s", "1 face", "fold 1", "mtcnn", f"one frame in {EVERY}"):
        assert fact in sheet.lines[0]
    assert not sheet.warnings and next(text for _, text in sheet.legend) == "face box"


def test_the_command_as_the_readme_has_it(prepared, project_root, tmp_path):
    command = ["visualize/data_sheets.py", "--root-dir", prepared, "--video", "d9_d14", "--out", tmp_path]
    done = subprocess.run([sys.executable, *map(str, command)], cwd=project_root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["d9_d14_0.png"], "the first frame with a face"
    written = cv2.imread(str(tmp_path / "d9_d14_0.png"))[..., ::-1]
    assert (written == sheets.draw_sheet(pair_sheet(prepared, frame=0)).image).all()


def test_an_original_is_drawn_with_its_fakes(root, command):
    code, message, _ = command(root, "--video", "d9", "--frame", "20")
    assert code == 0 and [path.name for path in (root / "sheets").iterdir()] == ["d9_d14_20.png"]
    assert "d9_d14 (fake), made from d9 (real)" in message
    add_to_metadata(root, **{f"more{n}.mp4": {"label": "FAKE", "original": "d9.mp4"} for n in range(4)})
    code, message, _ = command(root, "--video", "d9")
    assert code == 0 and f"d9 has 5 fakes, these are the first {MOST_FAKES}" in message
    names = sorted(path.name for path in (root / "sheets").iterdir())
    assert names == ["d9_d14_0.png", "d9_d14_20.png", "more0_0.png", "more1_0.png"]


def test_an_original_without_fakes_is_drawn_alone(root):
    shutil.move(root / "dfdc_train_part_0" / "d9_d14.mp4", root / "gone.mp4")
    write_metadata(root / "dfdc_train_part_0", ["d9.mp4"], {})
    sheet = pair_sheet(root, "d9")
    assert sheet.title == "d9 (real)" and sheet.warnings == ["the data set has no fake of it"]
    assert [len(row.cells) for row in sheet.rows] == [1, 2] and not reasons(sheet)


def test_all_faces_of_a_frame_have_a_row(root):
    boxes = read_boxes(root / "boxes" / "d9.json")
    frames = boxes.frames | {EVERY: [boxes.frames[EVERY][0], Face((4, 6, 44, 56))]}
    write_boxes(root / "boxes" / "d9.json", BoxFile(frames, boxes.size, boxes.settings))
    sheet = pair_sheet(root)
    assert len(sheet.rows) == 3
    assert sheet.rows[2].heading.startswith("face 1") and "detector score not known" in sheet.rows[2].heading
    assert "extract_crops.py --overwrite" in reasons(sheet)["real crop"]
    marks = sheet.rows[0].cells[0].marks
    assert [mark.label for mark in marks if mark.color == WINDOW_COLOR] == ["0", "1"]


@pytest.mark.parametrize(
    "gone, cell, step",
    [
        ("crops/d9", "real crop", "extract_crops.py"),
        ("crops/d9_d14", "fake crop", "extract_crops.py"),
        ("landmarks/d9", "landmarks (real crop)", "generate_landmarks.py"),
        ("diffs/d9_d14", "SSIM mask", "generate_diffs.py"),
    ],
)
def test_a_missing_file_is_reported_in_its_cell(root, gone, cell, step, command):
    shutil.rmtree(root / gone)
    found = reasons(pair_sheet(root))
    assert f"run {step}" in found[cell]
    needs_it = {"real crop": {"landmarks (real crop)"}, "landmarks (real crop)": set()}
    assert set(found) == {cell} | needs_it.get(cell, {"mask over the fake crop"})
    write_failures(DataRoot(root).failures_file(step.removesuffix(".py")), [Failure(Path(gone).name, "it is too dark")])
    assert f"{step} failed: it is too dark" in reasons(pair_sheet(root))[cell]
    code, out, _ = command(root, "--video", "d9_d14")
    assert code == 0 and "pictures missing" in out and (root / "sheets" / "d9_d14_0.png").is_file()


def test_missing_boxes_leave_the_crops(root):
    (root / "boxes" / "d9.json").unlink()
    sheet = pair_sheet(root)
    assert sheet.warnings == ["no boxes of d9: run detect_original_faces.py"]
    assert not reasons(sheet) and len(sheet.rows) == 2 and not sheet.rows[0].cells[0].marks
    (root / "boxes" / "d9.json").write_text("{")
    assert "d9.json: not a box file" in pair_sheet(root).warnings[0]


def test_without_boxes_the_crops_say_which_frame(root, command):
    (root / "boxes" / "d9.json").unlink()
    for name in PARTS[0]:
        (root / "crops" / name / "0_0.png").unlink()
    assert command(root, "--video", "d9_d14")[0] == 0
    assert [path.name for path in (root / "sheets").iterdir()] == [f"d9_d14_{EVERY}.png"]


@pytest.mark.parametrize(
    "file, contents, cell, message",
    [
        (f"crops/d9_d14/{EVERY}_0.png", b"junk", "fake crop", "not a picture"),
        (f"landmarks/d9/{EVERY}_0.npy", b"junk", "landmarks (real crop)", "not a landmark file"),
        (f"diffs/d9_d14/{EVERY}_0_diff.png", b"", "SSIM mask", "the file is empty"),
        ("dfdc_train_part_0/d9.mp4", b"junk", "real: d9.mp4", "not a video file"),
        (f"landmarks/d9/{EVERY}_0.npy", None, "landmarks (real crop)", "found no face in this crop"),
        ("dfdc_train_part_0/d9_d14.mp4", None, "fake: d9_d14.mp4", "no such file"),
    ],
)
def test_a_damaged_file_is_reported_in_its_cell(root, file, contents, cell, message):
    if contents is None:
        (root / file).unlink()
    else:
        (root / file).write_bytes(contents)
    assert message in reasons(pair_sheet(root))[cell]


def test_a_fake_of_another_size_or_length_is_reported(root):
    draw(root / "dfdc_train_part_0" / "d9_d14.mp4", gradient(5, 64, 64))
    assert f"ends before frame {EVERY}" in reasons(pair_sheet(root))["fake: d9_d14.mp4"]
    draw(root / "dfdc_train_part_0" / "d9_d14.mp4", gradient(EVERY + 1, 64, 64))
    cell = pair_sheet(root).rows[0].cells[1]
    assert not cell.marks and "not drawn" in cell.notes[-1]
    cv2.imwrite(str(root / "diffs" / "d9_d14" / f"{EVERY}_0_diff.png"), np.zeros((5, 5), np.uint8))
    assert "generate_diffs.py --overwrite" in reasons(pair_sheet(root))["mask over the fake crop"]


def test_a_fake_without_original_shows_what_there_is(root):
    add_to_metadata(root, **{"lone.mp4": {"label": "FAKE", "original": "nobody.mp4"}})
    shutil.copy(root / "dfdc_train_part_0" / "d9_d14.mp4", root / "dfdc_train_part_0" / "lone.mp4")
    sheet = pair_sheet(root, "lone", 0)
    assert "not a real video of the data set" in sheet.warnings[0]
    assert isinstance(sheet.rows[0].cells[0].content, np.ndarray) and set(reasons(sheet)) == {"fake crop"}


def test_folds_that_differ_or_cannot_be_read_are_reported(root):
    folds = (root / "folds.csv").read_text()
    moved = [re.sub(r",0$", ",7", line) if line.startswith("d9_d14,") else line for line in folds.splitlines()]
    (root / "folds.csv").write_text("\n".join(moved) + "\n")
    assert "in different folds: d9 in 0, d9_d14 in 7" in pair_sheet(root).lines[0]
    (root / "folds.csv").write_text("a,b\n1,2\n")
    assert "folds.csv: no column" in pair_sheet(root).lines[0]
    (root / "folds.csv").unlink()
    assert "no folds.csv: run generate_folds.py" in pair_sheet(root).lines[0]


# What cannot be done


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--video", "d9_d41"), "'d9_d41' is not in the data set's metadata; did you mean d9_d14"),
        (("--video", "zzzzzz"), "it has 4 others"),
        (
            ("--video", "d9", "--frame", "11"),
            "frame 11: the detector did not look at it; nearest frames with a face: 0",
        ),
        (("--video", "d9", "--frame", "-1"), "--frame"),
        (("--video", "d9", "--seed", "1"), "--seed goes with --sample or --augmentations"),
        (("--video", "d9", "--face", "1"), "--face goes with --augmentations"),
        (("--video", "d9", "--config", "a.json"), "--config goes with --augmentations"),
        (("--video", "d9", "--stats"), "not allowed with"),
        (("--sample", "1", "--stats"), "not allowed with"),
        (("--sample", "1", "--frame", "0"), "--frame goes with --video"),
        (("--sample", "0"), "--sample"),
        (("--stats", "--augmentations"), "--augmentations goes with --video"),
        (("--stats", "--seed", "3"), "--seed goes with"),
        ((), "one of the arguments --video --sample --stats is required"),
        (("--stats", "--crops-dir", ".."), "expected a plain folder name"),
    ],
)
def test_what_cannot_be_done_is_reported(prepared, command, arguments, message):
    code, _, errors = command(prepared, *arguments)
    assert code == 2 and message in errors and "Traceback" not in errors
    assert not (prepared / "sheets").exists()


def test_no_data_set_no_face_no_room_for_the_output(root, command, tmp_path):
    code, _, errors = command(tmp_path / "nothing", "--stats")
    assert code == 2 and "no such folder" in errors
    (tmp_path / "file").touch()
    assert command(root, "--video", "d9_d14", "--out", str(tmp_path / "file"))[0] == 2
    boxes = read_boxes(root / "boxes" / "d9.json")
    write_boxes(root / "boxes" / "d9.json", BoxFile(boxes.frames | {0: []}, boxes.size, boxes.settings))
    code, _, errors = command(root, "--video", "d9", "--frame", "0")
    assert code == 2 and "d9: frame 0: no face was found in it; nearest frames with a face: 10, 20" in errors
    assert command(root, "--video", "d9")[0] == 0 and (root / "sheets" / "d9_d14_10.png").is_file()
    write_boxes(root / "boxes" / "d9.json", BoxFile({0: [], 10: []}, boxes.size, boxes.settings))
    code, _, errors = command(root, "--video", "d9")
    assert code == 2 and "no face was found in any of its 2 frames with boxes" in errors


# Random pairs


def test_a_sample_follows_from_its_seed(prepared, command, tmp_path):
    def sample(name, *arguments):
        code, message, _ = command(prepared, "--sample", *arguments, "--out", str(tmp_path / name))
        assert code == 0
        return message, {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    _, one = sample("a", "1", "--seed", "5")
    assert len(one) == 1 and sample("b", "1", "--seed", "5")[1] == one
    message, everything = sample("c", "9", "--seed", "5")
    assert len(everything) == 2 and "these are all 2 pairs" in message


def test_other_seeds_draw_other_pairs():
    reals = {f"r{n}": VideoRecord(f"r{n}", Path(f"p/r{n}.mp4"), 0) for n in range(30)}
    fakes = {f"f{n}": VideoRecord(f"f{n}", Path(f"p/f{n}.mp4"), 1, f"r{n}") for n in range(30)}
    drawn = {seed: [pair.name for pair in draw_pairs(Dataset(reals | fakes), 5, seed)] for seed in range(1, 9)}
    assert all(len(set(names)) == 5 for names in drawn.values())
    assert len({tuple(names) for names in drawn.values()}) == 8
    backwards = dict(reversed((reals | fakes).items()))
    assert [pair.name for pair in draw_pairs(Dataset(backwards), 5, 1)] == drawn[1]


def test_a_pair_without_a_face_stops_no_sample(root, command):
    boxes = read_boxes(root / "boxes" / "d9.json")
    write_boxes(root / "boxes" / "d9.json", BoxFile({0: []}, boxes.size, boxes.settings))
    code, _, errors = command(root, "--sample", "2")
    assert code == 3 and errors.startswith("no sheet of d9_d14: d9: no face was found")
    assert len(list((root / "sheets").iterdir())) == 1


# A crop as training sees it


def test_the_variants_are_trainings_own(prepared, command, project_root, tmp_path, monkeypatch):
    from training.config import read_config
    from training.datasets.crop_reading import FolderCrops
    from training.datasets.crops import SampleOptions, TrainingCrops, ValidationCrops

    config = project_root / "configs" / "tiny.json"
    layout, size, count = DataRoot(prepared), read_config(config).size, 16
    made = []

    def make(*arguments):
        made.append(make_augmentation_sheet(*arguments))
        return made[0]

    monkeypatch.setattr(data_sheets, "make_augmentation_sheet", make)
    code, message, _ = command(
        prepared, "--video", "d9_d14", "--frame", str(EVERY), "--augmentations", "--config", str(config), "--seed", "5",
        "--out", str(tmp_path),
    )  # fmt: skip
    assert code == 0 and "16 variants" in message
    written = cv2.imread(str(tmp_path / f"d9_d14_{EVERY}_0_augmentations.png"))[..., ::-1]
    (sheet,) = made
    assert (written == sheets.draw_sheet(sheet).image).all()
    cells = [cell for row in sheet.rows for cell in row.cells]
    assert len(cells) == 2 + count
    table = read_folds(prepared / "folds.csv")
    row = table[(table["video"] == "d9_d14") & (table["file"] == f"{EVERY}_0.png")]
    rows = row.loc[row.index.repeat(count)].reset_index(drop=True)
    training = TrainingCrops(rows, np.arange(count), FolderCrops(layout), size, SampleOptions(), 5, 0)
    for i, cell in enumerate(cells[2:]):
        sample = training[i]
        assert (cell.content == sample.image).all()
        assert cell.notes == [f"blacked out: {sample.occlusion}" if sample.occlusion else "nothing blacked out"]
    assert (cells[1].content == ValidationCrops(rows, np.arange(1), FolderCrops(layout), size, 3)[0].image).all()
    assert len({cell.content.tobytes() for cell in cells[1:]}) == 1 + count, "all differ"
    assert len({cell.notes[0] for cell in cells[2:]}) > 2, "occlusions are among them"


def test_what_training_refuses_is_reported(prepared, command, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    code, _, errors = command(
        prepared, "--video", "d9", "--augmentations", "--config", str(tmp_path / "bad.json"), "--out", str(tmp_path)
    )
    assert code == 2 and "bad.json" in errors and "the key is missing" in errors
    code, _, errors = command(prepared, "--video", "d9", "--augmentations", "--face", "7", "--out", str(tmp_path))
    assert code == 2 and "no crop of frame 0, face 7" in errors
    assert command(prepared, "--video", "d8", "--augmentations")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]


# The page


class Page(HTMLParser):
    """The tables of a page as lists of rows, its text, tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.in_cell = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data", "action", "srcset")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data.strip()


def stats(command, root: Path, *arguments: str) -> tuple[str, Page]:
    code, message, errors = command(root, "--stats", *arguments)
    assert code == 0, errors
    html = Path(message.strip()).read_text(encoding="utf-8")
    return html, Page(html)


def test_the_page_counts_what_is_there(root, command, monkeypatch):
    def no_decoding(*_):
        raise AssertionError("the page decodes nothing")

    monkeypatch.setattr(cv2, "VideoCapture", no_decoding)
    monkeypatch.setattr(cv2, "imdecode", no_decoding)
    _, page = stats(command, root)
    sizes = {part: sum(p.stat().st_size for p in (root / part).glob("*.mp4")) for part in
             ("dfdc_train_part_0", "dfdc_train_part_3")}  # fmt: skip
    for part, size in sizes.items():
        assert [part, "1", "1", "0", f"{size / 1000:.1f} kB"] in page.rows
    crops = {name: len(list((root / "crops" / name).glob("*.png"))) for pair in PARTS.values() for name in pair}
    assert ["real", str(crops["d9"] + crops["d19"]), "2", "0", "3, 3.0, 3"] in page.rows
    assert ["fake", str(crops["d9_d14"] + crops["d19_d18"]), "2", "0", "3, 3.0, 3"] in page.rows
    with (root / "folds.csv").open() as file:
        rows = [(row["fold"], row["label"]) for row in csv.DictReader(file)]
    for fold in {fold for fold, _ in rows}:
        assert [fold, "1", "1", str(rows.count((fold, "0"))), str(rows.count((fold, "1")))] in page.rows
    boxes = [json.loads((root / "boxes" / f"{name}.json").read_text())["frames"] for name in ("d9", "d19")]
    faces = [face["box"] for frames in boxes for some in frames.values() for face in some]
    assert ["frames looked at", str(sum(map(len, boxes)))] in page.rows and ["faces", str(len(faces))] in page.rows
    sides = [max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in faces]
    found = next(row for row in page.rows if row[0] == "longer side, pixels")
    assert found[3] == f"{np.median(sides):.0f}" and "from the box files of 2 originals" in page.text
    for folder in ("crops", "landmarks", "diffs"):
        files = [path for path in (root / folder).rglob("*") if path.is_file()]
        used = sum(path.stat().st_size for path in files)
        assert [folder, str(len(files)), describe_bytes(used)] in page.rows
    assert sum(row[-1] == "complete" for row in page.rows) == 4 and "No step has listed a failure" in page.text


def test_the_page_stands_alone_and_escapes_names(root, command):
    add_to_metadata(root, **{f"{ALERT}.mp4": {"label": "FAKE", "original": f"{ALERT}2.mp4"}})
    layout = DataRoot(root)
    write_failures(layout.failures_file("generate_diffs"), [Failure(ALERT, f"its original {ALERT} & co")])
    (layout.failures_file("extract_crops")).write_text("junk\n")
    html, page = stats(command, root)
    assert "script" not in page.tags and "<script" not in html
    text = re.sub(r"data:image/svg\+xml;base64,[\w+/=]+", "", html).replace(str(root), "")
    assert not re.search(r"https?:|file:/|//", text)
    assert len(page.addresses) == 5 and all(a.startswith("data:image/svg+xml;base64,") for a in page.addresses)
    assert [ALERT, f"its original {ALERT} & co"] in page.rows
    assert f"Fakes whose original is not in the data set: {ALERT}" in page.text
    assert f"but without a file: {ALERT}" in page.text and "extract_crops.csv: not a list of failures" in page.text


def test_the_same_data_set_gives_the_same_page(prepared, command, tmp_path):
    first, second = (stats(command, prepared, "--out", str(tmp_path / name))[0] for name in "ab")
    assert first == second


def test_the_page_of_a_data_set_in_the_making(root, command, monkeypatch):
    for folder in ("boxes", "landmarks", "diffs"):
        shutil.rmtree(root / folder)
    shutil.rmtree(root / "crops" / "d19")
    (root / "crops" / "d9" / "0_0.png").write_bytes(b"junk")
    _, page = stats(command, root)
    crops = [cv2.imread(str(path)) for path in (root / "crops").rglob("*.png") if path.stat().st_size > 9]
    sides = [max(crop.shape[:2]) for crop in crops]
    found = next(row for row in page.rows if row[0] == "longer side, pixels")
    assert found[3] == f"{np.median(sides):.0f}"
    assert "There are no box files" in page.text and "from the headers of 9 of 9 crops" in page.text
    assert ["extract_crops.py", "crops", "3 of 4", "1 missing: d19"] in page.rows
    assert ["generate_diffs.py", "SSIM masks", "0 of 2", "2 missing: d19_d18, d9_d14"] in page.rows
    assert "The table lists 12 crops, on disk its videos have 9" in page.text and "0_0.png: not a picture" in page.text
    monkeypatch.setattr(dataset_facts, "MOST_HEADERS", 2)
    assert "from the headers of 2 of 9 crops" in stats(command, root)[1].text


def test_the_page_of_videos_alone(root, command):
    for path in root.iterdir():
        if not path.name.startswith("dfdc"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (root / "dfdc_train_part_3" / "d19.mp4").unlink()
    _, page = stats(command, root)
    for message in (
        "There are no crops yet: run extract_crops.py", "There is no folds.csv yet: run generate_folds.py",
        "There are no box files and no crops yet: run detect_original_faces.py", "but without a file: d19",
    ):  # fmt: skip
        assert message in page.text
    assert page.tags.count("img") == 1, "disk use is all there is to draw"


def test_fakes_that_name_no_original_are_on_the_page_and_sheet(root, command):
    add_to_metadata(root, **{"lone.mp4": {"is_fake": 1}, "a/b.mp4": {"label": "REAL"}, "\ud800.mp4": {"label": "REAL"}})
    shutil.copy(root / "dfdc_train_part_0" / "d9_d14.mp4", root / "dfdc_train_part_0" / "lone.mp4")
    _, page = stats(command, root)
    assert "Fakes that name no original, without masks: lone" in page.text
    assert "Names that no video can have: a/b.mp4, \\ud800.mp4" in page.text and "not in the data set" not in page.text
    sheet = pair_sheet(root, "lone", 0)
    assert sheet.title == "lone (fake), original not named"
    assert "no boxes of lone: run detect_original_faces.py" in sheet.warnings[0]


def test_damage_leaks_and_empty_videos_are_on_the_page(root, command):
    (root / "boxes" / "d19.json").write_text("[]")
    boxes = read_boxes(root / "boxes" / "d9.json")
    write_boxes(root / "boxes" / "d9.json", BoxFile(boxes.frames | {30: []}, boxes.size, boxes.settings))
    text = (root / "folds.csv").read_text()
    (root / "folds.csv").write_text(re.sub(r"^(d19_d18,.*),1$", r"\1,4", text, flags=re.MULTILINE))
    for path in (root / "crops" / "d9").iterdir():
        path.unlink()
    _, page = stats(command, root)
    assert "d19.json: not a box file" in page.text and ["without a face", "1"] in page.rows
    assert "In another fold than their originals: d19_d18" in page.text
    assert ["real", "3", "1", "1", "3, 3.0, 3"] in page.rows


def test_another_layout_whose_outputs_are_elsewhere(tmp_path, run_main):
    """WildDeepfake: finished crops in folders, no fake names its original."""

    def write(path: Path, label: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, gradient(1, 40, 30)[0] // (1 + label))

    make_wilddeepfake(tmp_path / "set", write)
    roots = ["--root-dir", tmp_path / "set", "--out-root", tmp_path / "out"]
    for step in ("detect_original_faces", "extract_crops"):
        run_here(step, *roots, "--workers", 1).check_returncode()
    before = sorted((tmp_path / "set").rglob("*"))
    assert run_main(data_sheets.main, *roots, "--stats")[0] == 0
    page = (tmp_path / "out" / "sheets" / "stats.html").read_text()
    assert "real_train/1/real" in page and "fake_test" in page
    code, message, _ = run_main(data_sheets.main, *roots, "--sample", "9")
    assert code == 0 and message.count("original not named") == 2 and "these are all 4 pairs" in message
    assert sorted((tmp_path / "set").rglob("*")) == before
