"""FakeAVCeleb: the picture's label, whatever the sound is."""

from deepfake.datasets.reading import read_dataset
from tests.data.dataset_trees import make_fakeavceleb


def test_a_person_is_a_group_and_the_table_tells_methods_and_what_is_missing(tmp_path):
    make_fakeavceleb(tmp_path)
    data = read_dataset(tmp_path)
    assert {video.group for video in data.videos.values()} == {"id00076"}
    assert data.methods == ["faceswap", "faceswap-wav2lip"]
    assert data.missing == {"FakeVideo-RealAudio/id00076/00109_9.mp4": str(tmp_path / "meta_data.csv")}


def test_without_the_table_methods_are_not_known(tmp_path):
    make_fakeavceleb(tmp_path)
    with_table = read_dataset(tmp_path)
    (tmp_path / "meta_data.csv").unlink()
    data = read_dataset(tmp_path)
    assert data.methods == [] and "no meta_data.csv" in data.notes[0] and set(data.videos) == set(with_table.videos)
