"""The loop, checkpoints, resume: real runs on the CPU, in this process, with a network of 0.4 million weights."""

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfake.checkpoints.checkpoint import load_model, read_checkpoint
from deepfake.checkpoints.trained_groups import digest_groups, join_groups
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.faces.boxes import BoxFile, first_settings, write_boxes
from deepfake.faces.detectors import PRESETS
from deepfake.losslog import parse_losses
from deepfake.models.weight_files import CheckpointError
from deepfake.storage.locks import Locked
from tests.data.training_sets import TINY, make_data_root
from training.datasets.crop_recipe import crop_recipe
from training.engine import trainer
from training.engine.checkpointing import RunFiles
from training.options import RunOptions
from training.tasks.classifier import run_classifier

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "p_DeepFakeClassifier_test_efficientnet_0"


@pytest.fixture
def options(shared_data_root, tiny_config, tmp_path):
    """`options(output, **changes)`: a run into a folder of its own."""

    def make(output, **changes):
        folder = tmp_path / output
        base = RunOptions(tiny_config, shared_data_root, prefix="p_", output_dir=folder, logdir=folder / "logs")
        return dataclasses.replace(base, device="cpu", **changes)

    return make


def same_weights(first, second):
    a, b = read_checkpoint(first).state_dict, read_checkpoint(second).state_dict
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def finished(shared_data_root, tmp_path_factory):
    """A run of three epochs and what it logged."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.json").write_text(json.dumps(TINY))
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("training").addHandler(handler)
    logging.getLogger("training").setLevel(logging.INFO)
    config, logs = folder / "tiny.json", folder / "logs"
    run_classifier(
        RunOptions(config, shared_data_root, prefix="p_", output_dir=folder, logdir=logs, device="cpu", keep_epochs=2)
    )
    logging.getLogger("training").removeHandler(handler)
    return folder, lines


def test_files_have_their_published_names(finished):
    folder, _ = finished
    names = {p.name.removeprefix(NAME) for p in folder.iterdir() if p.name.startswith(NAME)}
    epochs = names & {"_0", "_1", "_2"}
    assert names - epochs == {"_last", "_best_dice", "_config.json"}
    history = read_checkpoint(folder / f"{NAME}_last").extra["training_state"]["history"]
    ranked = sorted(history, key=lambda v: 1.4 * v[1] + v[2])
    assert epochs == {f"_{v[0]}" for v in ranked[:2]}, "those of the lowest weighted losses stay"
    assert list((folder / "logs").glob("events*"))


def test_log_holds_the_losses_that_the_checkpoints_tell(finished):
    folder, lines = finished
    losses = parse_losses(lines)
    assert [v.epoch for v in losses] == [0, 1, 2]
    last = read_checkpoint(folder / f"{NAME}_last")
    metric = last.spec.training["metric"]
    assert metric["fake_loss"] == pytest.approx(losses[-1].fake) and metric["real_loss"] == pytest.approx(
        losses[-1].real
    )
    best = min((v.fake + v.real) / 2 for v in losses)
    assert last.extra["bce_best"] == pytest.approx(best)
    assert read_checkpoint(folder / f"{NAME}_best_dice").spec.training["metric"]["bce"] == pytest.approx(best)


def test_checkpoints_tell_their_user_everything(finished, shared_data_root):
    folder, _ = finished
    network, spec = load_model(folder / f"{NAME}_best_dice")
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1)
    assert (spec.architecture, spec.input_size, spec.crop.margin) == ("DeepFakeClassifier", 64, 3)
    assert (spec.training["fold"], spec.training["seed"]) == (0, 777)
    table = read_folds(shared_data_root / "folds.csv")
    assert spec.training["groups"] == digest_groups(table["original"][table["fold"] != 0])
    assert spec.training["config"]["optimizer"]["learning_rate"] == 0.01 and spec.training["version"]
    saved = json.loads((folder / f"{NAME}_config.json").read_text())
    assert saved["config"]["drop_path_rate"] is None and saved["options"]["seed"] == 777


def test_a_resumed_run_equals_one_that_never_stopped(finished, options, monkeypatch):
    folder, _ = finished
    halves = options("halves", resume="auto", keep_epochs=2)
    trained = trainer.Trainer.train_epoch

    def stop_in_the_last_epoch(self, *arguments):
        if self.progress.epoch == 2:
            raise KeyboardInterrupt
        return trained(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_epoch", stop_in_the_last_epoch)
        with pytest.raises(KeyboardInterrupt):
            run_classifier(halves)
    last = halves.output_dir / f"{NAME}_last"
    assert read_checkpoint(last).extra["epoch"] == 2 and not same_weights(last, folder / last.name)
    torch.rand(7)
    run_classifier(dataclasses.replace(halves, workers=2))
    assert same_weights(last, folder / last.name)
    first, second = (read_checkpoint(place / last.name) for place in (folder, halves.output_dir))
    assert first.extra["bce_best"] == second.extra["bce_best"] and first.extra["epoch"] == second.extra["epoch"] == 3
    states = [c.extra["training_state"] for c in (first, second)]
    assert states[0]["history"] == states[1]["history"] and states[0]["step"] == states[1]["step"] == 9
    momenta = [s["optimizer"]["state"] for s in states]
    assert momenta[0].keys() == momenta[1].keys() != set()
    assert all(torch.equal(momenta[0][k]["momentum_buffer"], momenta[1][k]["momentum_buffer"]) for k in momenta[0])
    assert {p.name for p in halves.output_dir.glob(NAME + "*")} == {p.name for p in folder.glob(NAME + "*")}


def test_a_finished_run_is_left_alone(finished, options):
    folder, _ = finished
    last = folder / f"{NAME}_last"
    before = last.stat().st_mtime_ns
    run_classifier(dataclasses.replace(options("unused", resume="auto"), output_dir=folder))
    assert last.stat().st_mtime_ns == before


def test_from_zero_takes_the_weights_only(finished, options, tmp_path):
    folder, _ = finished
    source = tmp_path / "source"
    content = torch.load(folder / f"{NAME}_last", weights_only=True)
    content["spec"]["training"]["groups"] = digest_groups(["elsewhere"])
    torch.save(content, source)
    anew = options("anew", resume=str(source), from_zero=True, zero_score=True, epochs=1)
    run_classifier(anew)
    checkpoint = read_checkpoint(anew.output_dir / f"{NAME}_last")
    assert checkpoint.extra["epoch"] == 1 and checkpoint.extra["training_state"]["step"] == 3
    assert checkpoint.extra["bce_best"] == checkpoint.spec.training["metric"]["bce"]
    assert not same_weights(source, anew.output_dir / f"{NAME}_last")
    own = read_checkpoint(folder / f"{NAME}_last").spec.training
    groups = checkpoint.spec.training["groups"]
    assert groups == join_groups(own, {"groups": digest_groups(["elsewhere"])})["groups"] != own["groups"]


def test_weights_alone_can_be_continued(finished, options, caplog):
    folder, _ = finished
    longer = options("longer", resume=str(folder / f"{NAME}_best_dice"), epochs=4)
    with caplog.at_level(logging.WARNING):
        run_classifier(longer)
    assert "holds weights only" in caplog.text
    checkpoint = read_checkpoint(longer.output_dir / f"{NAME}_last")
    assert checkpoint.extra["epoch"] == 4
    assert checkpoint.extra["bce_best"] <= read_checkpoint(folder / f"{NAME}_best_dice").extra["bce_best"]


def test_another_architectures_checkpoint_is_refused(finished, options, tiny_config):
    folder, _ = finished
    tiny_config.write_text(json.dumps({**TINY, "network": "DeepFakeClassifierSRM"}))
    with pytest.raises(CheckpointError, match=r"missing: srm_conv\.weight"):
        run_classifier(options("other", resume=str(folder / f"{NAME}_last")))


def test_another_optimizers_state_is_refused(finished, options, tiny_config):
    folder, _ = finished
    adam = {**TINY["optimizer"], "type": "Adam", "momentum": 0, "nesterov": False}
    tiny_config.write_text(json.dumps({**TINY, "optimizer": adam}))
    with pytest.raises(ValueError, match=r"_last: its optimizer does not fit.*--from-zero"):
        run_classifier(options("adam", resume=str(folder / f"{NAME}_last"), epochs=4))


def test_a_loss_that_is_no_number_stops_with_the_files_named(options, tiny_config):
    huge = {**TINY["optimizer"], "learning_rate": 1e30}
    tiny_config.write_text(json.dumps({**TINY, "optimizer": huge}))
    with pytest.raises(trainer.NonFiniteLoss, match=r"epoch 0: loss .*crops/[rf]\d/\d+_0\.png, "):
        run_classifier(options("nan"))
    assert not (options("nan").output_dir / f"{NAME}_last").exists()


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        ("DeepFakeClassifierSRM", {"opt_level": "bf16", "freeze_epochs": 1, "only_changed_frames": True}),
        ("DeepFakeClassifierGWAP", {"opt_level": "O1", "padding_part": 5, "hardcore": False, "oversample": False}),
    ],
)
def test_variants_and_options(options, tiny_config, network, changes):
    short = {**TINY, "batches_per_epoch": 1, "ohem_samples": 1, "dropout": 0.3}
    tiny_config.write_text(json.dumps({**short, "network": network}))
    chosen = options("variant", epochs=1, test_every=2, **changes)
    run_classifier(chosen)
    (last,) = chosen.output_dir.glob("*_last")
    network, spec = load_model(last)
    assert spec.options["dropout"] == 0.3 and spec.crop.margin == changes.get("padding_part", 3)
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_a_frozen_encoder_stands_still(options):
    frozen = options("frozen", freeze_epochs=2, epochs=2)
    run_classifier(frozen)
    torch.manual_seed(frozen.seed)
    start = read_checkpoint(frozen.output_dir / f"{NAME}_0").spec.build().state_dict()
    first, second = (read_checkpoint(frozen.output_dir / f"{NAME}_{n}").state_dict for n in (0, 1))
    for key in start:
        assert torch.equal(second[key], start[key]) == key.startswith("encoder."), key
    assert not torch.equal(first["fc.weight"], second["fc.weight"])
    run_classifier(dataclasses.replace(frozen, resume="auto", epochs=3))
    third = read_checkpoint(frozen.output_dir / f"{NAME}_last").state_dict
    assert not torch.equal(third["encoder.conv_stem.weight"], start["encoder.conv_stem.weight"])


def test_validation_happens_every_nth_epoch_and_at_the_end(options):
    chosen = options("every", epochs=3, test_every=2)
    run_classifier(chosen)
    history = read_checkpoint(chosen.output_dir / f"{NAME}_last").extra["training_state"]["history"]
    assert [v[0] for v in history] == [1, 2]
    assert not (chosen.output_dir / f"{NAME}_0").exists()


def test_broken_files_are_counted(data_root, tiny_config, tmp_path, caplog):
    broken = sorted((data_root / "crops").glob("*1/*.png"))[::2]
    for file in broken:
        file.write_bytes(b"")
    with caplog.at_level(logging.INFO):
        run_classifier(RunOptions(tiny_config, data_root, output_dir=tmp_path / "w", logdir=tmp_path / "l", epochs=1))
    named = [r.getMessage() for r in caplog.records if "broken file: " in r.getMessage()]
    assert named and all("the file is empty" in line for line in named)
    (trained,) = [r.getMessage() for r in caplog.records if "trained epoch 0" in r.getMessage()]
    assert f"{len(named)} broken files" in trained


def test_learns_to_tell_the_patches_apart(tmp_path):
    optimizer = {"batch_size": 8, "type": "AdamW", "learning_rate": 0.003,
                 "schedule": {"type": "constant", "mode": "epoch", "epochs": 8, "params": {}}}  # fmt: skip
    config = tmp_path / "c.json"
    config.write_text(json.dumps({**TINY, "optimizer": optimizer, "batches_per_epoch": 9, "drop_path_rate": 0.0}))
    root = make_data_root(tmp_path / "data", identities=12)
    run_classifier(RunOptions(config, root, output_dir=tmp_path, logdir=tmp_path / "l", test_every=8, hardcore=False))
    (last,) = tmp_path.glob("*_last")
    metric = read_checkpoint(last).spec.training["metric"]
    assert metric["auc"] > 0.9 and metric["bce"] < 0.6


@pytest.mark.parametrize(
    ("settings", "scale"),
    [({"scale": None, "min_face": 20, "factor": 0.7}, None), ({"scale": 0.25}, 0.25), ({"layout": "published"}, 0.5)],
)
def test_prediction_will_scale_frames_as_the_data_sets_boxes_were_made(tmp_path, settings, scale):
    layout = DataRoot(tmp_path)
    write_boxes(layout.boxes_file("r1"), BoxFile({}, settings=settings))
    recipe = crop_recipe(first_settings(layout.boxes, ["r0", "r1"]), "data", padding_part=6)
    assert recipe.settings.scale == scale and recipe.margin == 6
    assert recipe.settings.thresholds == PRESETS["prediction"].thresholds
    assert recipe.settings.factor == settings.get("factor", 0.709)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 7}, "no real crops to validate on with fold 7"),
        ({"config": "no_such.json"}, "no readable config"),
        ({"resume": "no_such_checkpoint"}, "no such checkpoint"),
        ({"distributed": True}, "--distributed needs torchrun"),
        ({"folds_csv": "no_such.csv"}, "not a fold table"),
    ],
)
def test_bad_input_is_reported(options, tmp_path, changes, message):
    paths = {k: tmp_path / v for k, v in changes.items() if k in ("config", "folds_csv")}
    with pytest.raises(ValueError, match=message):
        run_classifier(options("bad", **{**changes, **paths}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_smoothing": 0.5}, "--label-smoothing"),
        ({"padding_part": 2}, "--padding-part"),
        ({"from_zero": True}, "--resume"),
    ],
)
def test_options_are_checked(options, changes, message):
    with pytest.raises(ValueError, match=message):
        options("bad", **changes)


@pytest.mark.parametrize("encoder", ["no_such_network", "test_byobnet"])
def test_encoders_that_cannot_be_had(options, tiny_config, monkeypatch, encoder):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    tiny_config.write_text(json.dumps({**TINY, "encoder": encoder, "pretrained": True}))
    with pytest.raises(ValueError, match=r"tiny\.json: encoder") as error:
        run_classifier(options("none"))
    assert "--from-scratch" in str(error.value) or "no such network" in str(error.value)


@pytest.mark.parametrize("name", ["b5", "b7", "tiny"])
def test_shipped_configs_name_networks_that_there_are(project_root, name):
    from deepfake.models.encoders import _NOISY_STUDENT
    from deepfake.models.timm_import import timm
    from training.config import read_config

    encoder = read_config(project_root / "configs" / f"{name}.json").encoder
    assert timm.is_model(_NOISY_STUDENT.sub(r"\1.ns_jft_in1k", encoder).split(".")[0])


def test_validation_metric_is_that_of_the_frames(finished, shared_data_root):
    """The figures in the checkpoint, computed anew from its weights alone."""
    from deepfake.media.images import fit_square, read_image
    from deepfake.scoring.metrics import video_metrics
    from training.tasks.classifier import InputNormalizer

    folder, _ = finished
    network, spec = load_model(folder / f"{NAME}_last")
    table = read_folds(shared_data_root / "folds.csv")
    rows = table[(table["fold"] == 0) & (table["frame"] % 20 == 0)]
    images = [fit_square(read_image(shared_data_root / "crops" / r.video / r.file), 64) for r in rows.itertuples()]
    with torch.inference_mode():
        batch = InputNormalizer(spec.normalization)(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
        scores = network(batch).flatten().sigmoid().numpy()
    metrics = video_metrics(list(rows["video"]), rows["label"].to_numpy(), scores)
    assert spec.training["metric"]["bce"] == pytest.approx(metrics.bce, rel=1e-4)


def test_names_of_encoders_from_elsewhere_stay_in_the_folder(tmp_path):
    assert RunFiles.of(tmp_path, "", "N", "hf_hub:timm/x", 0).last.parent == tmp_path


def test_the_command_lines_defaults_are_the_options_own(tmp_path):
    from training.pipelines.options import parse_args

    for config in (["--config", "c.json"], ["c.json"]):
        options, log_file = parse_args([*config, "--data-dir", "d"])
        assert log_file is None
        assert dataclasses.replace(options(), workers=0) == RunOptions(config=Path("c.json"), data_dir=Path("d"))


def test_two_trainings_into_the_same_files_are_refused(options, project_root, tmp_path):
    program = "import sys, time; from pathlib import Path; from deepfake.storage.locks import writing_file\n"
    program += "with writing_file(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program, str(tmp_path / "out" / NAME)]
    with subprocess.Popen(command, cwd=project_root, stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        with pytest.raises(Locked, match=rf"out/{NAME} is being written by process {first.pid} "):
            run_classifier(options("out"))
        assert not list((tmp_path / "out").glob(f"{NAME}*")), "nothing was written"
        first.kill()
    run_classifier(options("out", epochs=1))
    assert not list((tmp_path / "out").glob(".*"))
