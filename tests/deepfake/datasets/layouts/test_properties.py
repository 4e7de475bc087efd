"""What holds for any names and any pairs: ids unique and plain, labels right, official pairs in one group and split."""

import json
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake.datasets.collecting import ids_of_paths
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import id_fault
from tests.data.dataset_trees import touch

NUMBERS = st.integers(0, 25).map("{:03}".format)
PAIRS = st.tuples(NUMBERS, NUMBERS)
NAMES = st.text(st.characters(exclude_characters="/\\.", exclude_categories=("C", "Z")), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    fakes=st.lists(st.tuples(st.sampled_from(["Deepfakes", "FaceSwap"]), st.sampled_from(["c23", "c40"]), PAIRS)),
    reals=st.sets(st.tuples(st.sampled_from(["c23", "c40"]), NUMBERS), min_size=1),
    splits=st.permutations(range(26)),
)
def test_no_group_of_official_pairs_is_in_two_splits(fakes, reals, splits):
    """Official pairs are disjoint; the fakes of a tree are those of official pairs, or of a copy's own."""
    numbers = [f"{number:03}" for number in splits]
    pairs = list(zip(numbers[::2], numbers[1::2]))
    partner = {one: other for pair in pairs for one, other in (pair, pair[::-1])}
    root = Path(tempfile.mkdtemp())
    try:
        for compression, number in reals:
            touch(root / "original_sequences" / "youtube" / compression / "videos" / f"{number}.mp4", 0)
        for method, compression, (number, _) in fakes:
            name = f"{number}_{partner[number]}.mp4"
            touch(root / "manipulated_sequences" / method / compression / "videos" / name, 1)
        for split, chosen in (("train", pairs[:8]), ("val", pairs[8:10]), ("test", pairs[10:])):
            (root / f"{split}.json").write_text(json.dumps(chosen))
        data = read_dataset(root, "ff++")
    finally:
        shutil.rmtree(root)
    splits_of = defaultdict(set)
    for video in data.videos.values():
        splits_of[video.group].add(video.split)
    assert all(len(found) == 1 and None not in found for found in splits_of.values())
    assert len(data.videos) == len(set(fakes_named(fakes, partner))) + len(reals)
    assert {video.label for video in data.fakes} <= {1} and all(v.path.parts[-4] == v.method for v in data.fakes)


def fakes_named(fakes, partner):
    return [(method, compression, number, partner[number]) for method, compression, (number, _) in fakes]


@settings(max_examples=200, deadline=None)
@given(st.sets(st.lists(NAMES, min_size=1, max_size=4).map(tuple), max_size=12), st.sampled_from([".mp4", ".png", ""]))
def test_ids_of_paths_are_unique_and_can_be_file_names(paths, suffix):
    found = ids_of_paths([Path(*parts[:-1], parts[-1] + suffix) for parts in sorted(paths)])
    assert len(set(found)) == len(paths)
    assert all(id_fault(name, name) is None for name in found)


def test_ids_of_long_paths_fit_and_differ():
    found = ids_of_paths([Path("a" * 200, "b" * 200 + str(number) + ".mp4") for number in range(3)])
    assert len(set(found)) == 3 and all(id_fault(name, name) is None for name in found)
