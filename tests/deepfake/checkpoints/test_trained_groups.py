"""What a network was trained on: digests that know a name again, joined with those of earlier trainings."""

import pytest

from deepfake.checkpoints.trained_groups import GROUPS, TrainedGroups, digest_groups, join_groups

NAMES = ["d0", "d19", "with space ünï", "\ud800"]


def test_names_are_known_again_and_are_not_there():
    text = digest_groups([*NAMES, *NAMES])
    groups = TrainedGroups(text)
    assert len(groups) == 4 and len(text) == 32 and all(name in groups for name in NAMES)
    assert not {"d1", "d", "", "D0"} & {name for name in ("d1", "d", "", "D0") if name in groups}
    assert text == digest_groups(reversed(NAMES)) and "d19" not in text


def test_nothing_is_known_of_nothing():
    assert len(TrainedGroups(digest_groups([]))) == 0


def test_earlier_trainings_count():
    own = {"fold": 0, GROUPS: digest_groups(["a", "b"])}
    joined = join_groups(own, {GROUPS: digest_groups(["b", "c"])})
    assert joined["fold"] == 0 and joined[GROUPS] == digest_groups("abc")
    assert join_groups(own, {"source": "published"}) == {"fold": 0}, "of the earlier one nothing is known"
    assert join_groups({"fold": 0}, own) == {"fold": 0}


@pytest.mark.parametrize("text", [None, 3, "AAAA", "not base64!", "ÄÄÄÄÄÄÄÄ", b"AAAAAAAA"])
def test_what_is_no_digest_is_refused(text):
    with pytest.raises(ValueError, match="groups: expected digests in base64"):
        TrainedGroups(text)
