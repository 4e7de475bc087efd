"""What the names of well-known videos say."""

import random

import pytest

from deepfake.datasets.video_names import group_of, linked_groups, original_of


@pytest.mark.parametrize(
    ("name", "original", "group"),
    [("000_003", "000", "000"), ("01_02__talking__YVGY8LOK", "01__talking", "01"), ("01__talking", None, "01"),
     ("01_02__walk_down__hall__YVGY8LOK", "01__walk_down__hall", "01"), ("id0_id1_0000", "id0_0000", "id0"),
     ("id10_id1_0007", "id10_0007", "id10"), ("id0_0000", "id0_0000", "id0"), ("00170", None, "00170"),
     ("00012_00345", "00012", "00012"), ("000", None, "000"), ("holiday", None, "holiday"),
     ("0000_0003", None, "0000_0003"), ("", None, "")],
)  # fmt: skip
def test_what_a_name_says(name, original, group):
    assert (original_of(name), group_of(name)) == (original, group)


@pytest.mark.parametrize("seed", range(20))
def test_whoever_is_linked_is_one_group_and_nobody_else(seed):
    """Against a search through the graph."""
    chance = random.Random(seed)
    pairs = [(f"{chance.randrange(30):03}", f"{chance.randrange(30):03}") for _ in range(chance.randrange(25))]
    groups = linked_groups([f"{one}_{other}" for one, other in pairs[1:]], pairs[:1])
    for name, group in groups.items():
        reached, edge = {name}, {name}
        while edge:
            edge = {b for pair in pairs for a, b in (pair, pair[::-1]) if a in edge} - reached
            reached |= edge
        assert {other for other, its in groups.items() if its == group} == reached and group == min(reached)
