import argparse

from deepfake.media.containers import ReadLimits
from serving.upload_options import add_upload_options, chosen_uploads


def limits(*arguments: str) -> ReadLimits:
    parser = argparse.ArgumentParser()
    add_upload_options(parser.add_argument)
    return chosen_uploads(parser.parse_args(arguments)).limits()


def test_limits_of_uploads():
    """4K passes twice over; more pixels may take more memory, fewer not less."""
    usual, larger = limits(), limits("--max-pixels", str(2**25), "--max-frames", "9", "--timeout", "5")
    assert usual.pixels == 2 * 4096 * 2048 and usual.seconds == 300
    assert (larger.pixels, larger.frames, larger.seconds) == (2**25, 9, 5)
    assert larger.memory == 2 * usual.memory and limits("--max-pixels", "1").memory == usual.memory
