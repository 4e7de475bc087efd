"""Second place's tasks: losses, centres, gradients, and whole runs with small encoders in place of the published."""

import copy
import dataclasses
import json
import logging
import multiprocessing
import time
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from deepfake.checkpoints.checkpoint import load_model, read_checkpoint, save_checkpoint
from deepfake.checkpoints.spec import ModelSpec, fake_probability
from deepfake.checkpoints.trained_groups import TrainedGroups, digest_groups
from deepfake.datasets.aligned_faces import FACES_CSV, read_face_list
from deepfake.losslog import parse_losses
from deepfake.models import build_model
from deepfake.models.networks import wsdan, xception
from deepfake.models.weight_files import CheckpointError
from deepfake.scoring.metrics import video_metrics
from tests.data.training_sets import second_place_config
from training.config import ConfigError, WSDANConfig, XceptionConfig, parse_config, read_config
from training.engine import distributed
from training.engine import trainer as engine
from training.engine.trainer import Trainer
from training.options import AlignedOptions, WSDANOptions
from training.pipelines import train_wsdan, train_xception
from training.pipelines.options import parse_wsdan_args, parse_xception_args
from training.tasks.wsdan import FeatureCentres, WSDANTask, initialize, run_wsdan
from training.tasks.xception import XceptionTask, run_xception
from training.transforms.attention import crop_attended, drop_attended
from training.transforms.normalize import InputNormalizer

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

TASKS = {
    "xception": (XceptionConfig, XceptionTask),
    "wsdan_xception": (WSDANConfig, WSDANTask),
    "wsdan_efb3": (WSDANConfig, WSDANTask),
}


SMALL = "test_efficientnet"


@pytest.fixture
def small(monkeypatch):
    """Networks of 0.4 million weights under the published names."""
    monkeypatch.setattr(xception, "BACKBONE", SMALL)
    monkeypatch.setattr(wsdan, "BACKBONE", SMALL)


@pytest.fixture
def trainer(project_root, shared_faces_root, tmp_path):
    """`trainer(name)`: a shipped config, made small, ready to train."""

    def make(name, batch_size=4, **changes):
        kind, task = TASKS[name]
        config = read_config(second_place_config(project_root, name, tmp_path / f"{name}.json", **changes), kind)
        config = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, batch_size=batch_size))
        torch.manual_seed(1)
        ranks = distributed.start(False, "cpu")
        network = distributed.prepare(build_model(config.network), ranks, config.size)
        faces = read_face_list(shared_faces_root / FACES_CSV)
        return Trainer(task(network, config, faces, shared_faces_root, ranks, 777), config.optimizer, ranks, 777)

    return make


def mean_loss(trainer, batch, network, centres) -> float:
    """Over three draws of what is cropped and dropped, with given centres; leaves the task as it was."""
    losses = []
    with torch.no_grad():
        for seed in range(3):
            torch.manual_seed(seed)
            if centres is not None:
                trainer.task.centres.values = centres
            losses.append(trainer.task.loss(copy.deepcopy(network).train(), batch)["total"].item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("name", "batch_size"), [("xception", 4), ("wsdan_xception", 4), ("wsdan_efb3", 8)])
def test_every_weight_gets_a_gradient_and_three_batches_lower_the_loss(trainer, name, batch_size):
    trainer = trainer(name, batch_size)
    task = trainer.task
    batch = next(iter(task.train_batches(0)))
    start = copy.deepcopy(task.network)
    task.network.train()
    for step in range(3):
        torch.manual_seed(step)
        trainer._step(batch)
        if step == 0:
            learning = [(n, p) for n, p in task.network.named_parameters() if p.requires_grad]
            still = [n for n, p in learning if p.grad is None or not p.grad.abs().sum() > 0]
            assert not still
            frozen = {n for n, p in task.network.named_parameters() if not p.requires_grad}
            assert all(".classifier." in n for n in frozen), "only what the output does not depend on stands still"
    centres = task.centres.values if name != "xception" else None
    before, after = (mean_loss(trainer, batch, network, centres) for network in (start, task.network))
    assert after < before


def test_nothing_is_clipped(trainer, small, monkeypatch):
    monkeypatch.setattr(engine, "clip_grads_with_norm_", lambda *a: pytest.fail("second place clips no gradients"))
    trainer = trainer("wsdan_xception")
    trainer._step(next(iter(trainer.task.train_batches(0))))


def test_the_total_is_the_weighted_sum(trainer, small):
    trainer = trainer("wsdan_xception")
    batch = next(iter(trainer.task.train_batches(0)))
    losses = {k: v.item() for k, v in trainer.task.loss(trainer.task.network, batch).items()}
    expected = losses["raw"] + losses["crop"] / 3 + losses["drop"] / 2 + losses["centre"]
    assert losses["total"] == pytest.approx(expected, rel=1e-6)
    assert losses["centre"] == pytest.approx(1, rel=1e-5), "unit vectors, and centres at 0 before the first update"


def test_the_pictures_cropped_and_dropped_are_the_whole_ones(trainer, small, monkeypatch):
    trainer = trainer("wsdan_xception")
    task = trainer.task
    batch = next(iter(task.train_batches(0)))
    seen = []
    task.network.register_forward_pre_hook(lambda module, args, named: seen.append((*args, named)), with_kwargs=True)
    task.loss(task.network, batch)
    (whole, named), (cropped, _), (dropped, _) = seen
    assert named["drop_maps"], "only the whole pictures' logits leave maps out"
    assert not any("drop_maps" in named for _, named in seen[1:])
    kept = (dropped != 0).any(1, keepdim=True)
    torch.testing.assert_close(dropped, whole * kept)
    assert 0 < kept.float().mean() < 1 and not torch.equal(cropped, whole) and cropped.shape == whole.shape


def test_centers_move_by_the_mean_of_their_samples():
    centres = FeatureCentres(3, 0.05, distributed.start(False, "cpu"))
    matrix = normalize(torch.rand(5, 3), dim=1)
    labels = torch.tensor([1, 0, 1, 1, 0])
    assert centres.loss(matrix, labels).item() == pytest.approx(1)
    centres.update(matrix, labels)
    first = torch.stack([matrix[labels == n].mean(0) * 0.05 for n in (0, 1)])
    torch.testing.assert_close(centres.values, first)
    assert centres.loss(matrix, labels).item() == pytest.approx(
        sum(((m - normalize(first[y], dim=0)) ** 2).sum().item() for m, y in zip(matrix, labels.tolist())) / 5
    )
    centres.update(matrix[:1], labels[:1])
    assert torch.equal(centres.values[0], first[0]), "no samples, no move"
    torch.testing.assert_close(centres.values[1], first[1] + 0.05 * (matrix[0] - normalize(first[1], dim=0)))
    before = centres.values
    centres.grow(2)
    torch.testing.assert_close(centres.values, 2 * before)
    for _ in range(300):
        centres.grow(2)
    assert torch.isfinite(centres.values).all() and torch.isfinite(centres.loss(matrix, labels))
    torch.testing.assert_close(normalize(centres.values), normalize(before))


def test_centers_grow_after_each_epoch(trainer, small):
    lengths = []
    for growth in (1, 2):
        chosen = trainer("wsdan_xception", centre_growth=growth)
        chosen.train_epoch()
        chosen.end_epoch()
        lengths.append(chosen.task.centres.values.norm())
    assert lengths[1] == pytest.approx(2 * lengths[0])


def test_crop_and_drop_use_drawn_maps_and_thresholds(trainer, small):
    attention = {"crop_threshold": [0.5, 0.5], "drop_threshold": [0.6, 0.6]}
    task = trainer("wsdan_xception", attention=attention).task
    images = torch.rand(4, 3, 72, 72)
    maps = torch.eye(25)[::3][:8].view(1, 8, 5, 5).expand(4, -1, -1, -1)  # each looks elsewhere
    torch.manual_seed(0)
    found = task._look_closer(images, maps)
    thresholds = (torch.full((4,), 0.5), torch.full((4,), 0.6))
    drawn = []
    for n in range(4):
        crops = [crop_attended(images[n : n + 1], maps[n, m][None, None], thresholds[0][:1], 0.1) for m in range(8)]
        drops = [drop_attended(images[n : n + 1], maps[n, m][None, None], thresholds[1][:1]) for m in range(8)]
        drawn.append([[m for m in range(8) if torch.allclose(a[m][0], b[n])] for a, b in zip((crops, drops), found)])
    assert all(len(which) == 1 for pair in drawn for which in pair), "each is of exactly one of the maps"
    assert any(crop != drop for crop, drop in drawn), "drawn for crop and drop separately"


def test_mixed_precision_keeps_pooling_and_centers_in_single(trainer, small):
    """Features of which half precision would make infinities and zeros."""
    task = trainer("wsdan_xception").task
    network = task.network.train()
    batch = next(iter(task.train_batches(0)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole = network(task._input(batch.images), attended=True)
        assert whole.attention.dtype == torch.bfloat16 and whole.feature_matrix.dtype == torch.float32
        losses = task.loss(network, batch)
    assert task.centres.values.dtype == torch.float32
    assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())
    features = torch.full((1, 2, 3, 3), 6e4, dtype=torch.float16)
    with torch.autocast("cpu", dtype=torch.float16):
        pooled = wsdan._pooled(features, features)
    torch.testing.assert_close(pooled, torch.full((1, 2, 2), 60_000.0**2))
    assert wsdan._pooled(features.double(), features.double()).dtype == torch.float64


def test_validation_is_the_mean_of_whole_and_crop(trainer, small):
    task = trainer("wsdan_xception", attention={"eval_threshold": 0.95, "eval_padding": 0.02}).task
    network = task.network.eval()
    batch = next(iter(task.validation_batches()))
    with torch.inference_mode():
        images = task._input(batch.images)
        whole = network(images, attended=True)
        cropped = crop_attended(images, whole.attention.mean(1, keepdim=True), torch.full((4,), 0.95), 0.02)
        expected = fake_probability((whole.logits + network(cropped)) / 2, "softmax")
        torch.testing.assert_close(task.predict(network, batch), expected)


# Whole runs.


@pytest.fixture
def options(project_root, shared_faces_root, tmp_path):
    """`options(name, output, **changes)`: a run into a folder of its own."""

    def make(name, output, faces=shared_faces_root, **changes):
        config = second_place_config(project_root, name, tmp_path / f"{name}.json")
        folder = tmp_path / output
        kind = AlignedOptions if name == "xception" else WSDANOptions
        base = kind(config, faces, prefix="p_", output_dir=folder, logdir=folder / "logs", device="cpu")
        return dataclasses.replace(base, **changes)

    return make


RUNS = {"xception": run_xception, "wsdan_xception": run_wsdan}


def run_small(run, options) -> None:
    """Runs with the networks of `small`, in a process of its own."""
    xception.BACKBONE = wsdan.BACKBONE = SMALL
    torch.set_num_threads(1)
    run(options)


def killed_on_the_way(run, options, last) -> int:
    """Runs in a process of its own, killed after one of its epochs: how many are done."""
    # Not forked: after gradients in this process, a fork of it may not compute any.
    process = multiprocessing.get_context("spawn").Process(target=run_small, args=(run, options))
    process.start()
    deadline = time.monotonic() + 120
    while not last.exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    process.join()
    return read_checkpoint(last).extra["epoch"]


@pytest.mark.parametrize("name", RUNS)
def test_killed_and_continued_equals_never_stopped(small, options, name):
    epochs = 6
    whole, halves = options(name, "whole", epochs=epochs), options(name, "halves", epochs=epochs, resume="auto")
    RUNS[name](whole)
    assert 1 <= killed_on_the_way(RUNS[name], halves, halves.output_dir / f"p_{name}_last") < epochs
    torch.rand(7)
    RUNS[name](dataclasses.replace(halves, workers=2))
    first, second = (read_checkpoint(o.output_dir / f"p_{name}_last") for o in (whole, halves))
    assert first.extra["epoch"] == second.extra["epoch"] == epochs
    assert all(torch.equal(first.state_dict[k], second.state_dict[k]) for k in first.state_dict)
    states = [c.extra["training_state"] for c in (first, second)]
    assert states[0]["history"] == states[1]["history"] and states[0]["step"] == states[1]["step"]
    momenta = [s["optimizer"]["state"] for s in states]
    assert all(torch.equal(momenta[0][k]["momentum_buffer"], momenta[1][k]["momentum_buffer"]) for k in momenta[0])
    if name != "xception":
        centres = [s["recipe"]["centres"] for s in states]
        assert torch.equal(*centres) and (centres[0].norm(dim=1) > 0).all()
    assert {p.name for p in whole.output_dir.glob("p_*")} == {p.name for p in halves.output_dir.glob("p_*")}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_logs_both_kinds_of_figures_and_its_checkpoint_tells_everything(small, options, caplog, name):
    chosen = options(name, "run", epochs=2)
    with caplog.at_level(logging.INFO):
        RUNS[name](chosen)
    lines = [r.getMessage() for r in caplog.records]
    assert [v.epoch for v in parse_losses(lines)] == [0, 1]
    assert sum("over 4 videos" in line and "log loss" in line for line in lines) == 2
    assert sum("over 16 frames" in line for line in lines) == 2
    _, spec = load_model(chosen.output_dir / f"p_{name}_last")
    assert (spec.architecture, spec.input_size, spec.output, spec.options) == (name, 72, "softmax", {})
    assert spec.crop.kind == "aligned" and spec.crop.size == 72, "as recipe.json says"
    assert spec.training["config"]["file"] == f"{name}.json" and spec.training["config"]["network"] == name
    assert spec.training["seed"] == 777 and spec.training["epoch"] == 1
    assert spec.training["groups"] == digest_groups(["r0", "r1", "r2", "f0", "f1", "f2"])
    metric = spec.training["metric"]
    assert {"bce", "log_loss", "auc", "accuracy", "frame_log_loss", "frame_auc", "frame_accuracy"} <= metric.keys()
    saved = json.loads((chosen.output_dir / f"p_{name}_config.json").read_text())
    assert parse_config(saved["config"], "saved", TASKS[name][0]).network == name


def test_validation_metric_is_that_of_the_frames(small, options, shared_faces_root):
    """Xception's figures in the checkpoint, computed anew from its weights alone."""
    from deepfake.datasets.aligned_faces import list_faces
    from deepfake.media.images import read_image

    chosen = options("xception", "run", epochs=1)
    run_xception(chosen)
    network, spec = load_model(chosen.output_dir / "p_xception_last")
    files = [list_faces(shared_faces_root / v)[6 * i // 4] for v in ("f3", "f4", "r3", "r4") for i in range(4)]
    images = torch.stack([torch.from_numpy(read_image(f)).permute(2, 0, 1) for f in files])
    with torch.inference_mode():
        scores = fake_probability(network(InputNormalizer(spec.normalization)(images)), spec.output).numpy()
    labels = torch.tensor([1] * 8 + [0] * 8).numpy()
    metrics = video_metrics([f.parent.name for f in files], labels, scores)
    assert spec.training["metric"] == pytest.approx(metrics.to_dict(), rel=1e-4)


def test_without_recipe_json_faces_are_said_to_be_as_published(small, options, faces_root, caplog):
    (faces_root / "recipe.json").unlink()
    run_xception(options("xception", "run", faces=faces_root, epochs=1))
    assert "recipe.json: not there" in caplog.text
    spec = read_checkpoint(options("xception", "run").output_dir / "p_xception_last").spec
    assert spec.crop.size == 320 and spec.crop.settings.detector == "retinaface"


def test_broken_pictures_are_counted(small, options, faces_root, caplog):
    for file in sorted(faces_root.glob("?1/*.png"))[::2]:
        file.write_bytes(b"")
    with caplog.at_level(logging.INFO):
        run_wsdan(options("wsdan_xception", "run", faces=faces_root, epochs=1))
    named = [r.getMessage() for r in caplog.records if "broken file: " in r.getMessage()]
    assert named and all("the file is empty" in line for line in named)
    (trained,) = [r.getMessage() for r in caplog.records if "trained epoch 0" in r.getMessage()]
    assert f"{len(named)} broken files" in trained


def test_a_loss_that_is_no_number_stops_with_the_files_named(small, options, tmp_path):
    chosen = options("wsdan_xception", "nan")
    content = json.loads(chosen.config.read_text())
    content["optimizer"]["learning_rate"] = 1e30
    chosen.config.write_text(json.dumps(content))
    with pytest.raises(engine.NonFiniteLoss, match=r"epoch 0: loss .*[rf]\d/\d{3}\.png, "):
        run_wsdan(chosen)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": "no_such.json"}, "no readable config"),
        ({"resume": "no_such_checkpoint"}, "no such checkpoint"),
        ({"distributed": True}, "--distributed needs torchrun"),
        ({"face_list": "no_such.csv"}, "not a list of faces"),
        ({"data_dir": "no_such_folder"}, r"faces\.csv: not a list of faces"),
    ],
)
def test_bad_input_is_reported(small, options, tmp_path, name, changes, message):
    paths = {k: tmp_path / v for k, v in changes.items() if k in ("config", "face_list", "data_dir")}
    with pytest.raises(ValueError, match=message):
        RUNS[name](options(name, "bad", **{**changes, **paths}))


def test_options_are_checked(options):
    with pytest.raises(ValueError, match="--resume"):
        options("xception", "bad", from_zero=True)


def test_shares_that_take_no_pictures(small, options, faces_root):
    chosen = options("xception", "bad")
    content = json.loads(chosen.config.read_text())
    content["frame_share"]["fake"] = 0.05
    chosen.config.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"xception\.json: frame_share\.fake: 0\.05 of .*\(at most 6\) is none"):
        run_xception(chosen)


@pytest.mark.parametrize("name", RUNS)
def test_too_few_samples_for_a_batch(small, options, name):
    chosen = options(name, "bad")
    content = json.loads(chosen.config.read_text())
    content["optimizer"]["batch_size"] = 64
    chosen.config.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="24 training samples do not fill one batch of 64"):
        RUNS[name](chosen)


@pytest.mark.parametrize("opt_level", ["bf16", "O1"])
def test_mixed_precision_trains(small, options, opt_level):
    chosen = options("wsdan_xception", opt_level, epochs=1, opt_level=opt_level)
    run_wsdan(chosen)
    checkpoint = read_checkpoint(chosen.output_dir / "p_wsdan_xception_last")
    assert all(torch.isfinite(v).all() for v in checkpoint.state_dict.values())
    assert (checkpoint.extra["training_state"]["recipe"]["centres"].norm(dim=1) > 0).all()


def test_checkpoints_that_do_not_fit(small, options, caplog):
    chosen = options("wsdan_xception", "first", epochs=1)
    run_wsdan(chosen)
    last, best = (chosen.output_dir / f"p_wsdan_xception_{name}" for name in ("last", "best_dice"))
    with pytest.raises(CheckpointError, match=r"do not fit .* missing"):
        run_xception(options("xception", "other", resume=str(last)))
    run_wsdan(options("wsdan_xception", "weights", resume=str(best), epochs=2))
    assert "holds weights only" in caplog.text
    content = json.loads(chosen.config.read_text())
    content["optimizer"].update(type="Adam", momentum=0)
    chosen.config.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"_last: its optimizer does not fit.*--from-zero"):
        run_wsdan(dataclasses.replace(chosen, resume=str(last), epochs=2))
    run_wsdan(dataclasses.replace(chosen, resume=str(last), from_zero=True))


@pytest.mark.parametrize("name", [*RUNS, "wsdan_efb3"])
def test_weights_that_cannot_be_had(options, monkeypatch, name):
    def fail(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("timm.models._builder.load_pretrained", fail)
    chosen = options(name, "none")
    chosen.config.write_text(json.dumps({**json.loads(chosen.config.read_text()), "pretrained": True}))
    with pytest.raises(ValueError, match=rf"{name}\.json: encoder .* ImageNet weights .*--from-scratch"):
        RUNS.get(name, run_wsdan)(chosen)


# The commands.


@pytest.fixture
def command(monkeypatch, capsys):
    """`command(main, *arguments)`: exit code and what it wrote to standard error."""

    def run(main, *arguments):
        monkeypatch.setattr("sys.argv", ["train", *map(str, arguments)])
        monkeypatch.delenv("RANK", raising=False)
        return main(), capsys.readouterr().err

    return run


COMMANDS = {"xception": train_xception.main, "wsdan_xception": train_wsdan.main}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_trains_and_continues(small, command, options, name):
    chosen = options(name, "run")
    places = ["--output-dir", chosen.output_dir, "--logdir", chosen.logdir, "--workers", 0, "--device", "cpu"]
    arguments = [chosen.config, "--data-dir", chosen.data_dir, *places, "--resume", "auto", "--keep-epochs", 1]
    for epochs in (1, 2):
        assert command(COMMANDS[name], *arguments, "--epochs", epochs)[0] == 0
    names = {p.name.removeprefix(f"{name}_") for p in chosen.output_dir.iterdir() if p.is_file()}
    assert names - {"0", "1"} == {"last", "best_dice", "config.json"} and len(names) == 4
    assert read_checkpoint(chosen.output_dir / f"{name}_last").extra["epoch"] == 2
    assert list(chosen.logdir.glob("events*"))


@pytest.mark.parametrize("name", COMMANDS)
def test_errors_of_users_are_one_line(small, command, options, project_root, tmp_path, name):
    chosen = options(name, "bad")
    other = {"xception": "wsdan_xception", "wsdan_xception": "xception"}[name]
    cases = [
        ([tmp_path / "none.json"], "none.json: no readable config"),
        ([project_root / "configs" / "b7.json"], "trained by training/pipelines/train_classifier.py"),
        ([project_root / "configs" / f"{other}.json"], f"trained by training/pipelines/train_{other[:5]}"),
        ([chosen.config, "--face-list", tmp_path / "none.csv"], "none.csv: not a list of faces"),
        ([chosen.config, "--resume", tmp_path / "none"], "no such checkpoint"),
        ([chosen.config, "--zero-score"], "--resume"),
    ]
    for arguments, message in cases:
        code, errors = command(COMMANDS[name], "--data-dir", chosen.data_dir, "--device", "cpu", *arguments)
        assert code == 2 and errors.startswith("error: ") and message in errors and len(errors.splitlines()) == 1


def test_a_run_that_diverges_and_one_that_is_interrupted(small, command, options, monkeypatch):
    def raising(error):
        def train_epoch(self, *arguments):
            raise error

        return train_epoch

    chosen = options("xception", "bad")
    places = ["--output-dir", chosen.output_dir, "--logdir", chosen.logdir, "--device", "cpu"]
    for error, code, message in (
        (engine.NonFiniteLoss("loss nan"), 1, "loss nan"),
        (KeyboardInterrupt(), 130, "--resume"),
    ):
        monkeypatch.setattr(engine.Trainer, "train_epoch", raising(error))
        ended, errors = command(train_xception.main, chosen.config, "--data-dir", chosen.data_dir, *places)
        assert ended == code and message in errors


# Starting from Xception's weights.


def save_xception(path):
    torch.manual_seed(5)
    network = build_model("xception")
    save_checkpoint(path, network, ModelSpec("xception", {}, 72))
    return network


def test_wsdan_starts_with_the_weights_of_an_xception(options, tmp_path):
    source = save_xception(tmp_path / "xception_best")
    network = build_model("wsdan_xception")
    initialize(network, tmp_path / "xception_best")
    theirs, ours = source.state_dict(), network.features.state_dict()
    assert set(theirs) - set(ours) == {"fc.weight", "fc.bias"} and not set(ours) - set(theirs)
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)

    torch.save({"state_dict": {k.replace("fc.", "last_linear."): v for k, v in theirs.items()}},
               tmp_path / "xception-hg-2.pth")  # fmt: skip
    published = build_model("wsdan_xception")
    initialize(published, tmp_path / "xception-hg-2.pth")
    assert all(torch.equal(v, published.features.state_dict()[k]) for k, v in ours.items())


def test_init_happens_at_the_start_only(small, options, tmp_path, monkeypatch, caplog):
    taken = []
    begun = ModelSpec("xception", {}, 72, training={"groups": digest_groups(["elsewhere"])})
    monkeypatch.setattr("training.tasks.wsdan.initialize", lambda network, path: taken.append(path) or begun)
    chosen = options("wsdan_xception", "run", epochs=1, init=tmp_path / "x", resume="auto")
    run_wsdan(chosen)
    run_wsdan(dataclasses.replace(chosen, epochs=2))
    assert taken == [tmp_path / "x"]
    checkpoint = read_checkpoint(chosen.output_dir / "p_wsdan_xception_last")
    assert checkpoint.extra["epoch"] == 2
    groups = TrainedGroups(checkpoint.spec.training["groups"])
    assert len(groups) == 7 and "elsewhere" in groups and "r0" in groups, "its own and those of its first weights"


def test_weights_that_wsdan_cannot_start_with(small, options, tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        run_wsdan(options("wsdan_xception", "bad", init=tmp_path / "none"))
    save_checkpoint(tmp_path / "w", build_model("wsdan_xception"), ModelSpec("wsdan_xception", {}, 72))
    with pytest.raises(CheckpointError, match="weights of wsdan_xception; --init takes those of xception"):
        run_wsdan(options("wsdan_xception", "bad", init=tmp_path / "w"))
    with pytest.raises(ConfigError, match=r"wsdan_efb3\.json: wsdan_efficientnet_b3 cannot start from Xception's"):
        run_wsdan(options("wsdan_efb3", "bad", init=tmp_path / "w"))
    save_checkpoint(tmp_path / "less", build_model("xception").conv_stem, ModelSpec("xception", {}, 72))
    with pytest.raises(CheckpointError, match=r"do not fit the features of wsdan_xception: .* missing"):
        run_wsdan(options("wsdan_xception", "bad", init=tmp_path / "less"))


@pytest.mark.parametrize(
    ("parse", "kind"),
    [(parse_xception_args, AlignedOptions), (parse_wsdan_args, WSDANOptions)],
    ids=["xception", "wsdan"],
)
def test_the_command_lines_defaults_are_the_options_own(parse, kind, capsys):
    for config in (["--config", "c.json"], ["c.json"]):
        options, log_file = parse([*config, "--data-dir", "d"])
        assert log_file is None
        assert dataclasses.replace(options(), workers=0) == kind(config=Path("c.json"), data_dir=Path("d"))
    for configs, message in (([], "required: --config"), (["a", "--config", "b"], "two configs")):
        with pytest.raises(SystemExit) as ended:
            parse([*configs, "--data-dir", "d"])
        assert ended.value.code == 2 and message in capsys.readouterr().err
