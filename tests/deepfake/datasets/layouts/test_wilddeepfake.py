"""WildDeepfake: faces, grouped by the video that they come from."""

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import CROPS
from tests.data.dataset_trees import make_wilddeepfake, touch, write_all


def test_sequences_of_one_video_are_one_group_of_faces(tmp_path):
    make_wilddeepfake(tmp_path)
    assert {name: (video.group, video.content) for name, video in read_dataset(tmp_path).videos.items()} == {
        "real_train_1_real_10": ("real_train_1", CROPS),
        "real_train_1_real_11": ("real_train_1", CROPS),
        "fake_train_1_fake_10": ("fake_train_1", CROPS),
        "fake_test_7": ("fake_test_7", CROPS),
    }


def test_videos_in_such_folders_are_plain_ones(tmp_path):
    write_all(tmp_path, touch, 0, "real_train/a.mp4 real_test/b.mp4")
    write_all(tmp_path, touch, 1, "fake_train/a.mp4 fake_test/b.mp4")
    data = read_dataset(tmp_path)
    assert data.layout == "folders" and data.splits == ["train", "test"]
