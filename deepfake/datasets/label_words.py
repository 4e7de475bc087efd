"""The words for real and fake and for the splits, and what lists and tables call a video's name and label."""

from __future__ import annotations

REAL, FAKE = "REAL", "FAKE"
LABEL_VALUES = {REAL: 0, FAKE: 1}
LABEL_WORDS = {**LABEL_VALUES, "FALSE": 0, "TRUE": 1}

NAME_KEYS = ("filename", "file", "video", "path", "name", "uri")
"""What lists and tables call a video's file name, the first that is there counts."""
LABEL_KEYS = ("label", "is_fake", "fake", "target", "class")

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)
_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VAL),
    **dict.fromkeys(("test", "testing"), TEST),
}


def parse_label(value: object) -> int | None:
    """0 for real, 1 for fake: from REAL or FAKE in any case, 0 or 1, true or false, as text too. None: no label."""
    if isinstance(value, str):
        text = value.strip().upper()
        if text in LABEL_WORDS:
            return LABEL_WORDS[text]
        try:
            value = float(text)
        except ValueError:
            return None
    return int(value) if isinstance(value, (int, float)) and value in (0, 1) else None


def parse_split(word: object) -> str | None:
    """Return train, val or test, from the words that data sets have for them in any case; None for other words."""
    return _SPLIT_WORDS.get(word.strip().lower()) if isinstance(word, str) else None
