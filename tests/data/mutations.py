"""Files with seeded damage, as transfers, cameras and attackers make it."""

from collections.abc import Callable

import numpy as np

Mutation = Callable[[bytearray, np.random.Generator], bytearray]


def flip_bytes(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A few bytes anywhere, more often in the header."""
    for _ in range(int(rng.integers(1, 24))):
        end = min(512, len(data)) if rng.random() < 0.4 else len(data)
        data[int(rng.integers(end))] = int(rng.integers(256))
    return data


def blank(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A block of zeros or noise."""
    start = int(rng.integers(len(data)))
    size = int(rng.integers(1, max(len(data) // 4, 2)))
    block = rng.integers(0, 256 if rng.random() < 0.5 else 1, size, np.uint8).tobytes()
    data[start : start + size] = block[: len(data) - start]
    return data


def cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    """The end is missing."""
    return data[: int(rng.integers(1, len(data)))]


def leave_out(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A block in the middle is missing."""
    start = int(rng.integers(len(data)))
    return data[:start] + data[start + int(rng.integers(1, max(len(data) // 4, 2))) :]


def repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A block is there twice."""
    start = int(rng.integers(len(data)))
    end = start + int(rng.integers(1, max(len(data) // 4, 2)))
    return data[:end] + data[start:]


def forge_number(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Four bytes in the first part become an extreme number: sizes, counts, offsets."""
    at = int(rng.integers(max(min(2048, len(data)) - 4, 1)))
    values = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x00FFFFFF, 65535)
    value = int(rng.choice(values))
    data[at : at + 4] = value.to_bytes(4, "big" if rng.random() < 0.5 else "little")
    return data


MUTATIONS: tuple[Mutation, ...] = (flip_bytes, blank, cut, leave_out, repeat, forge_number)


def mutated(data: bytes, seed: int) -> bytes:
    """Return a copy with one or two mutations; the same for the same seed."""
    rng = np.random.default_rng(seed)
    copy = bytearray(data)
    for _ in range(int(rng.integers(1, 3))):
        if copy:
            copy = MUTATIONS[int(rng.integers(len(MUTATIONS)))](copy, rng)
    return bytes(copy) or b"\0"
