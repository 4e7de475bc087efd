"""Finding videos and pictures in folders, and saying what was left out of them and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deepfake.media.image_files import PICTURE_SUFFIXES, image_format
from deepfake.media.images import ImageError
from deepfake.media.video import VideoError, begins_as_video
from deepfake.storage.names import one_line
from deepfake.storage.own_folders import MADE_HERE, METADATA_NAME, is_data_root

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".qt", ".3gp", ".3g2", ".mpg", ".mpeg", ".m2v", ".vob"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".mxf", ".dv"),
)

AMBIGUOUS_SUFFIXES = ("", ".ts", ".mts")
"""Of files whose first bytes decide: those without a suffix, and names that TypeScript's files have too."""

_MANY_SUFFIXES = 6
_LONGEST_SUFFIX = 12


@dataclass
class LeftOut:
    """What a folder holds that was not taken, by reason.

    Attributes:
        suffixes: of files that are neither videos nor pictures by their names.
        pictures: where only videos are wanted.
        own: pictures that this project made: crops, masks, activation maps.
        hidden: files and folders whose names begin with a dot.
        dangling: links to nothing.
        special: pipes, devices and sockets.
        closed: folders that may not be opened, or cannot be.
    """

    suffixes: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    own: int = 0
    hidden: int = 0
    dangling: int = 0
    special: int = 0
    closed: int = 0

    def summary(self) -> str:
        """Return one line; empty if nothing was left out."""
        common = [one_line(suffix) or "none" for suffix, _ in self.suffixes.most_common(_MANY_SUFFIXES)]
        names = f" ({', '.join(common)}{', ...' if len(self.suffixes) > _MANY_SUFFIXES else ''})"
        parts = [
            _count(
                self.suffixes.total(),
                f"file with another suffix{names}",
                f"files with other suffixes{names}",
            ),
            _count(self.pictures, "picture", "pictures"),
            _count(self.own, "picture made by this project", "pictures made by this project"),
            _count(self.hidden, "hidden file or folder", "hidden files or folders"),
            _count(self.dangling, "dangling link", "dangling links"),
            _count(self.special, "pipe or device", "pipes or devices"),
            _count(self.closed, "folder without permission", "folders without permission"),
        ]
        return "left out: " + ", ".join(filter(None, parts)) if any(parts) else ""


@dataclass(frozen=True)
class FoundVideos:
    """Videos and pictures, each once, in a stable order.

    Attributes:
        searched: the files and folders that were named, for messages.
        sources: each file, and which of the searched files and folders it comes from.
        left_out: what the folders hold besides.
    """

    searched: str
    sources: dict[Path, Path]
    left_out: LeftOut

    @property
    def videos(self) -> list[Path]:
        return list(self.sources)


def find_videos(sources: Sequence[Path], skip: Path | None = None, pictures: bool = True) -> FoundVideos:
    """Find the videos and pictures among files and folders, which are searched recursively, through links too.

    A file that is named itself is taken whatever it is. In folders the suffix decides; where it says nothing, the first
    bytes. Hidden files and folders are left out, and so are pictures that this project made. A data set's metadata.json
    is not counted.

    Args:
        skip: a folder below a source that is not searched: an output folder may hold a million pictures.
        pictures: False leaves them out.

    Raises:
        ValueError: a source does not exist.
    """
    found: dict[Path, Path] = {}
    left_out = LeftOut()
    for source in sources:
        if source.is_dir():
            for path in sorted(_Search(source, skip, pictures, left_out)):
                found.setdefault(path, source)
        elif source.exists():
            found.setdefault(source, source)
        else:
            raise ValueError(f"{source}: no such file or folder")
    return FoundVideos(", ".join(map(str, sources)), found, left_out)


def name_videos(found: FoundVideos) -> dict[str, Path]:
    """Return videos by the name that tables call them, in a stable order; each once, even where links lead to it twice.

    The name is the file's; where several share one, the path below the given folder, and where that is shared too, the
    path as given.

    Raises:
        ValueError: there is none.
    """
    places: dict[str, tuple[Path, Path]] = {}
    for path, source in found.sources.items():
        places.setdefault(absolute(path), (path, source))
    if not places:
        left_out = found.left_out.summary()
        raise ValueError(f"{found.searched}: no video or picture in it{left_out and f' ({left_out})'}")
    videos = list(places.values())
    names = [path.name for path, _ in videos]
    below = [path.relative_to(source).as_posix() if path != source else path.name for path, source in videos]
    for longer in (below, [str(path) for path, _ in videos]):
        count = Counter(names)
        names = [name if count[name] == 1 else other for name, other in zip(names, longer)]
    return dict(zip(names, (path for path, _ in videos)))


def absolute(path: Path) -> str:
    """Return where a file stands, links kept as they are."""
    return os.path.abspath(path)  # noqa: PTH100  (links to one file are videos of their own)


@dataclass
class _Search:
    """The walk through one folder."""

    folder: Path
    skip: Path | None
    pictures: bool
    left_out: LeftOut

    def __iter__(self) -> Iterator[Path]:
        closed = {self.folder.resolve()} | ({self.skip.resolve()} if self.skip else set())
        own: set[Path] = set()
        for inside, folders, names in os.walk(self.folder, followlinks=True, onerror=self._cannot_open):
            here = Path(inside)
            if here in own or is_data_root(folders) or not MADE_HERE.isdisjoint(names):
                own.update(here / name for name in folders)
                own.add(here)
            yield from self._files(here, names, here in own)
            for name in sorted(folders):
                real = (here / name).resolve()
                if name.startswith("."):
                    self.left_out.hidden += 1
                    folders.remove(name)
                elif real in closed:  # searched already: a link to a folder above would never end
                    folders.remove(name)
                closed.add(real)
            folders.sort()

    def _files(self, folder: Path, names: Sequence[str], is_own: bool) -> Iterator[Path]:
        left_out = self.left_out
        for name in names:
            path = folder / name
            if name.startswith("."):
                left_out.hidden += 1
            elif not path.exists():
                left_out.dangling += 1
            elif not path.is_file():
                left_out.special += 1
            elif is_video(path):
                yield path
            elif name == METADATA_NAME:
                continue
            elif not is_picture(path):
                left_out.suffixes[path.suffix.lower()[:_LONGEST_SUFFIX]] += 1
            elif not self.pictures:
                left_out.pictures += 1
            elif is_own:
                left_out.own += 1
            else:
                yield path

    def _cannot_open(self, error: OSError) -> None:
        self.left_out.closed += 1


def is_video(path: Path) -> bool:
    """Return whether a file is a video by its suffix; by its first bytes where the suffix says nothing."""
    suffix = path.suffix.lower()
    if suffix in AMBIGUOUS_SUFFIXES:
        try:
            return begins_as_video(path)
        except VideoError:
            return False
    return suffix in VIDEO_SUFFIXES


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture by its suffix; by its first bytes where there is none."""
    suffix = path.suffix.lower()
    if not suffix:
        try:
            return image_format(path) is not None
        except ImageError:
            return False
    return suffix in PICTURE_SUFFIXES


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""
