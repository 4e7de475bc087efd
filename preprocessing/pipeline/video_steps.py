"""What the steps over a data root do with one video: boxes, crops, landmarks, masks.

A step reads what the one before it wrote. Where that is still in memory it is taken from there: the files are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from deepfake.datasets.crops import CropFolder, CropName, Crops, KeptCrops, cut_out
from deepfake.datasets.data_root import DataRoot, crop_name, diff_name, landmark_name
from deepfake.datasets.manipulation_masks import DATASET, SSIM, iter_masks, manipulated, resized, with_masks
from deepfake.datasets.records import VIDEO, VideoRecord
from deepfake.faces.boxes import BoxFile, Face, as_stored, crop_face, read_boxes, write_boxes
from deepfake.faces.detectors import FaceDetector
from deepfake.faces.landmarks import write_landmarks
from deepfake.faces.ssim_mask import difference_mask
from deepfake.media.images import as_written, encode_image, write_image
from deepfake.media.video import LIMITS, Frame, ReadLimits, VideoError, chunked, iter_every, iter_frames
from deepfake.storage import atomic

"""Where masks come from: a fake's crops against its original's, or the data set's own where a fake has one."""


def detect_boxes(
    video: VideoRecord,
    detector: FaceDetector,
    layout: DataRoot,
    facts: dict[str, Any],
    keep: bool = False,
    limits: ReadLimits = LIMITS,
) -> Crops | None:
    """Write one video's box file.

    Args:
        facts: how faces are found, for the box file; `every` is the distance of the frames that are looked at.
        keep: cut the crops out on the way.
        limits: of reading the video.

    Returns:
        The crops that `cut_crops` would cut out of the video; None if they were not wanted, are not to be kept, or if
        a mask is to choose among them.

    Raises:
        VideoError: unreadable, or over a limit.
    """
    found: dict[int, list[Face]] = {}
    sizes: set[tuple[int, int]] = set()
    kept = KeptCrops()
    keep = keep and video.mask is None
    if video.is_cut_out:
        _take_finished_crops(video, layout, facts, limits)
        return None
    for batch in chunked(frames_to_look_at(video, facts["every"], limits)):
        for frame, faces in zip(batch, detector.detect([frame.image for frame in batch])):
            found[frame.index] = faces
            sizes.add((frame.image.shape[0], frame.image.shape[1]))
            if len(sizes) > 1 and video.content == VIDEO:
                kept.give_up()  # cutting tells what is wrong
            for name, crop in cut_out(frame, map(as_stored, faces)) if keep else ():
                kept.add(name, crop)
    write_boxes(layout.boxes_file(video.video_id), BoxFile(found, size_for_boxes(video, sizes), facts))
    return kept.crops if keep else None


def size_for_boxes(video: VideoRecord, sizes: Collection[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the (height, width) that a video's boxes are for; None for a folder with pictures of several sizes."""
    return None if len(sizes) > 1 and video.content != VIDEO else next(iter(sizes), None)


def frames_to_look_at(video: VideoRecord, every: int, limits: ReadLimits) -> Iterator[Frame]:
    """Return every Nth frame of a video, and all pictures of a folder: somebody has chosen them already."""
    return iter_every(video.path, every if video.content == VIDEO else 1, limits=limits)


def _take_finished_crops(video: VideoRecord, layout: DataRoot, facts: dict[str, Any], limits: ReadLimits) -> None:
    """Write a box around each picture; they may have any sizes."""
    found = {}
    for frame in frames_to_look_at(video, 1, limits):
        height, width = frame.image.shape[:2]
        found[frame.index] = [Face((0.0, 0.0, float(width), float(height)))]
    write_boxes(layout.boxes_file(video.video_id), BoxFile(found, None, {**facts, "detector": "none"}))


def cut_crops(
    video: VideoRecord,
    layout: DataRoot,
    suffix: str,
    crops: Crops | None = None,
    keep: bool = False,
    limits: ReadLimits = LIMITS,
) -> Crops | None:
    """Write the crops of one video: of all faces, or where there are several and a mask of those that are manipulated.

    Args:
        suffix: of the pictures.
        crops: those that `detect_boxes` has cut out: the video is not read again.
        keep: return the crops as the files hold them.
        limits: of reading the video.

    Returns:
        The crops; None if they were not wanted, or are too many to be kept.

    Raises:
        ValueError: no boxes, an unreadable video, or a fake whose frames are not of its original's size.
    """
    pictures = _cut_out_of_video(video, layout, limits) if crops is None else crops.items()
    kept = KeptCrops()
    with atomic.atomic_folder(layout.crops / video.video_id) as folder:
        for name, picture in pictures:
            data = encode_image(picture, suffix)
            (folder / crop_name(*name, suffix)).write_bytes(data)
            if keep:
                kept.add(name, as_written(picture, data, suffix))
    return kept.crops if keep else None


def find_landmarks(
    video: VideoRecord, detectors: Sequence[FaceDetector], layout: DataRoot, crops: Crops | None = None
) -> None:
    """Write the landmarks of the largest face of each of one video's crops.

    Args:
        detectors: each looks where those before it found nothing.
        crops: the crops; their files are read unless given.

    Raises:
        ValueError: no crops, or a damaged one.
    """
    crops = _read_crops(layout, video.video_id) if crops is None else crops
    with atomic.atomic_folder(layout.landmarks / video.video_id) as folder:
        for name, crop in crops.items():
            points = _largest_face_points(crop, detectors)
            if points is not None:
                write_landmarks(folder / landmark_name(*name), points)


def compare_crops(
    fake: VideoRecord,
    layout: DataRoot,
    theirs: Crops | None = None,
    own: Crops | None = None,
    masks: str = SSIM,
    limits: ReadLimits = LIMITS,
) -> None:
    """Write the masks of one fake, for every crop that its original, or the data set's own mask, has too.

    Args:
        theirs: the original's crops; their files are read unless given.
        own: the fake's, likewise.
        masks: where they come from.
        limits: of reading the data set's own.

    Raises:
        ValueError: no crops, a damaged one, two that cannot be compared, or an unreadable mask.
    """
    if masks == DATASET and fake.mask is not None:
        _write_own_masks(fake, layout, _read_crops(layout, fake.video_id) if own is None else own, limits)
        return
    theirs = _read_crops(layout, fake.identity) if theirs is None else theirs
    own = _read_crops(layout, fake.video_id) if own is None else own
    with atomic.atomic_folder(layout.diffs / fake.video_id) as folder:
        for name, crop in own.items():
            if name in theirs:
                write_image(folder / diff_name(*name), difference_mask(theirs[name], crop))


def _write_own_masks(fake: VideoRecord, layout: DataRoot, crops: Crops, limits: ReadLimits) -> None:
    """Write the parts of a fake's masks that its crops show."""
    boxes = read_boxes(layout.boxes_file(fake.identity))
    faces: dict[int, list[int]] = {}
    for frame, face in crops:
        faces.setdefault(frame, []).append(face)
    with atomic.atomic_folder(layout.diffs / fake.video_id) as folder:
        for frame, mask in iter_masks(fake.mask, faces, limits):
            whole = mask if boxes.size is None else resized(mask, boxes.size)
            for face in faces[frame]:
                part = whole if fake.is_cut_out else crop_face(whole, boxes.frames[frame][face].box)
                write_image(folder / diff_name(frame, face), resized(part, crops[frame, face].shape[:2]))


def _cut_out_of_video(
    video: VideoRecord, layout: DataRoot, limits: ReadLimits
) -> Iterator[tuple[CropName, np.ndarray]]:
    if video.is_cut_out:
        yield from (((frame.index, 0), frame.image) for frame in frames_to_look_at(video, 1, limits))
        return
    boxes_file = layout.boxes_file(video.identity)
    if not boxes_file.exists():
        raise ValueError(f"{boxes_file}: no boxes of {video.identity}; run detect_original_faces.py first")
    boxes = read_boxes(boxes_file)
    wanted = [index for index, faces in boxes.frames.items() if faces]
    several = [index for index in wanted if len(boxes.frames[index]) > 1]
    frames = iter_frames(video.path, wanted, limits=limits)
    for frame, mask in with_masks(frames, iter_masks(video.mask, several, limits)):
        _check_size(video, frame.image.shape[:2], boxes)
        faces = boxes.frames[frame.index]
        meant = range(len(faces)) if mask is None else manipulated(faces, mask)
        yield from ((name, crop) for name, crop in cut_out(frame, faces) if name[1] in meant)


def _check_size(video: VideoRecord, size: tuple[int, ...], boxes: BoxFile) -> None:
    if boxes.size is not None and size != boxes.size:
        raise VideoError(
            f"{video.path}: frames of {size[1]}x{size[0]} pixels, but the boxes of {video.identity} are for "
            f"{boxes.size[1]}x{boxes.size[0]}"
        )


def _read_crops(layout: DataRoot, video_id: str) -> Crops:
    folder = layout.crops / video_id
    if not folder.is_dir():
        raise ValueError(f"{folder}: no crops; run extract_crops.py first")
    return CropFolder(folder)


def _largest_face_points(crop: np.ndarray, detectors: Iterable[FaceDetector]) -> tuple[tuple[float, float], ...] | None:
    for detector in detectors:
        if faces := detector.detect([crop])[0]:
            return faces[0].landmarks
    return None
