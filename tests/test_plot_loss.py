import gzip
import re
import subprocess
import sys

import cv2
import pytest

from deepfake.losslog import EpochLoss, format_losses
from plot_loss import best_epochs, format_table, read_log


def losses(count):
    """Real losses fall, fake losses rise a little: the weights decide which epoch is best."""
    return [EpochLoss(n, 0.2 + 0.004 * n, 0.5 - 0.005 * n) for n in range(count)]


def test_late_epochs_are_ranked_by_the_weighted_loss():
    late = best_epochs(losses(40), fake_weight=1.4)
    assert [v.epoch for v in late] == [17, 18, 19, 20, 21], "1.4 * 0.004 outweighs 0.005"
    assert [v.epoch for v in best_epochs(losses(40), fake_weight=1.0)] == [39, 38, 37, 36, 35]


def test_short_runs_rank_all_epochs():
    assert [v.epoch for v in best_epochs(losses(3), 1.4)] == [0, 1, 2]


def test_table_shows_both_sides():
    table = format_table([EpochLoss(7, 0.25, 0.5)], 1.4).splitlines()
    assert table[0].split() == ["epoch", "weighted", "fake", "real"]
    assert table[1].split() == ["7", "0.42500", "0.25000", "0.50000"]


def test_reads_this_projects_and_the_published_log(tmp_path):
    ours, published = tmp_path / "ours", tmp_path / "published"
    ours.write_text("\n".join(f"2026-01-01 INFO {line}" for v in losses(3) for line in format_losses(v)))
    published.write_text("".join(f"lr 0.1\nfake_loss {v.fake:.6f}\nreal_loss {v.real:.6f}\n" for v in losses(3)))
    assert read_log(ours) == read_log(published)
    assert [v.epoch for v in read_log(ours)] == [0, 1, 2]


PLAIN = "".join(f"bce 0.5\nfake_loss {v.fake:.6f}\nreal_loss {v.real:.6f}\nEpoch {v.epoch} done\n" for v in losses(3))


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace("\n", "\r\n").encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-16")[:-1],
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n").encode(),
        re.sub(r"(\w+_loss) (\S+)", "\x1b[1;32m\\1\x1b[0m \x1b[31m\\2\x1b[0m", PLAIN).encode(),
        re.sub(r"^", "[default0]:", PLAIN, flags=re.MULTILINE).encode(),
        re.sub(r"(\w+_loss)", r"\r100%|##| 10/10\r\1", PLAIN).encode(),
        re.sub(r"_loss (\S+)\n(real)", r"_loss \1 \2", PLAIN).replace("\n", "\r").encode(),
        re.sub(r"_loss (\S+)", r"_loss tensor(\1, device='cuda:0')", PLAIN).encode(),
        re.sub(r"_loss (\S+)", r"_loss np.float64(\1)", PLAIN).encode(),
        b"\xff\x00 no text\n" + PLAIN.encode(),
    ],
    ids=["PowerShell", "UTF-16 BE", "cut in a character", "UTF-8 with mark", "CRLF", "colors", "torchrun",
         "progress bar", "one line", "tensor", "numpy", "bytes"],
)  # fmt: skip
def test_logs_as_shells_write_them(tmp_path, content):
    log = tmp_path / "log"
    log.write_bytes(content)
    assert [(v.epoch, v.fake, v.real) for v in read_log(log)] == [
        (v.epoch, pytest.approx(v.fake), pytest.approx(v.real)) for v in losses(3)
    ]


def test_a_compressed_log_is_named(tmp_path):
    log = tmp_path / "log.gz"
    log.write_bytes(gzip.compress(PLAIN.encode()))
    with pytest.raises(ValueError, match=r"log\.gz: compressed with gzip; unpack it first"):
        read_log(log)


def test_a_diverged_epoch_is_left_out(tmp_path):
    log = tmp_path / "log"
    log.write_text("fake_loss nan\nreal_loss 0.1\nfake_loss 0.2\nreal_loss 0.3\n")
    assert [(v.fake, v.real) for v in read_log(log)] == [(0.2, 0.3)]


@pytest.mark.parametrize(("content", "message"), [(None, "no readable log"), ("nothing here\n", "no pair of lines")])
def test_no_log_and_no_losses_are_reported(tmp_path, content, message):
    log = tmp_path / "log"
    if content is not None:
        log.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_log(log)


def test_command_draws_and_lists(project_root, tmp_path):
    log = tmp_path / "b7_111"
    log.write_text("\n".join(line for v in losses(25) for line in format_losses(v)))
    command = [sys.executable, "plot_loss.py", "--log-file", str(log), "--fake-weight", "1"]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "best of 25 epochs" in done.stdout and done.stdout.splitlines()[2].split()[0] == "24"
    picture = cv2.imread(str(tmp_path / "b7_111.png"))
    assert picture.shape == (600, 1080, 3) and picture.std() > 10
    missing = subprocess.run(
        [*command[:2], "--log-file", "none"], cwd=project_root, capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2 and missing.stderr.startswith("error: none: no readable log")
