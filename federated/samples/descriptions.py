"""What the markdown beside an owner's data samples tells: their structure, and how much there is."""

from __future__ import annotations

from collections.abc import Sequence

from federated.samples.samples import INSIDE, Description

_HEADLINE = """# Faces of {owner}

Face crops of real videos and of fakes made of them, to train and to test a deepfake detector with, as two data samples.

| sample | originals | videos | crops | real | fake |
|---|---|---|---|---|---|
"""

_STRUCTURE = """
## Structure

Each data sample is a folder.

- `sample.json`: the owner, the kind (`train` or `test`), the folder with the files (`root`), the settings of the face
  detector (`detection`), and the counts above. A sample that does not hold what it says is refused.
- `folds.csv`: a row a crop.

| column | content |
|---|---|
| `video` | id of the video |
| `file` | `FRAME_FACE.png`: number of the frame, number of the face in it |
| `label` | 0 real, 1 fake |
| `original` | id of the video that a fake was made of; a real video's own id |
| `frame` | number of the frame |
| `fold` | of the data set that the sample was taken from |

Files, below {place}:

| file | content |
|---|---|
| `{crops}/VIDEO/FILE.png` | the crop: the face with a margin, RGB, 8 bits |
| `landmarks/ORIGINAL/FILE.npy` | eyes, nose, corners of the mouth in pixels of the crop: (5, 2) int16; some lack |
| `diffs/VIDEO/FILE_diff.png` | where the fake differs from its original, 0 to 255; none for reals |

No original, nor a fake of it, is with two owners, and none is in both samples.
"""


def describe(samples: Sequence[Description]) -> str:
    """The description of an owner's samples, in markdown."""
    first = samples[0]
    rows = "".join(
        f"| {s.kind} | {s.originals} | {s.videos} | {s.crops} | {s.real_crops} | {s.fake_crops} |\n" for s in samples
    )
    elsewhere = f"`{first.root}`, which has to be there where they are read"
    place = "the sample's own folder" if first.root == INSIDE else elsewhere
    return _HEADLINE.format(owner=first.owner) + rows + _STRUCTURE.format(place=place, crops=first.crops_dir)
