"""Which code this is: the checksum that tells one state of the source from another."""

from deepfake.version import source_checksum


def test_the_checksum_of_the_code_follows_every_change(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text("x = 1\n")
    first = source_checksum(tmp_path)
    (tmp_path / "a" / "notes.txt").write_text("no code")
    assert source_checksum(tmp_path) == first
    (tmp_path / "a" / "b.py").write_text("x = 2\n")
    second = source_checksum(tmp_path)
    (tmp_path / "a" / "b.py").rename(tmp_path / "a" / "c.py")
    assert len({first, second, source_checksum(tmp_path)}) == 3
