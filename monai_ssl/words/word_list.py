"""Word list file: windows of visual words, by scan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai_ssl.files import atomic, read_json
from monai_ssl.store.scan import Scan, Slices

FORMAT = 1
_FORMER_KEY = "held_out"


@dataclass(frozen=True)
class Window:
    """Where a word is in one scan.

    Args:
        scan: key in the store.
        start: first voxel along each axis.
        size: voxels along each axis.
    """

    scan: str
    start: tuple[int, ...]
    size: tuple[int, ...]


@dataclass(frozen=True)
class Word:
    """A class: the windows at one place in the body.

    Args:
        label: from 0.
        reference: key of the scan that the place was drawn in.
        center: of the place, as fractions of the body along each axis.
        windows: of the reference and its nearest training patients, nearest first.
        validation: of the nearest patients that are not trained on.
    """

    label: int
    reference: str
    center: tuple[float, ...]
    windows: tuple[Window, ...]
    validation: tuple[Window, ...] = ()


@dataclass(frozen=True)
class WordList:
    """All words, and how they were found.

    Args:
        words: with the labels 0, 1, ... in this order.
        request: what they were found from and by which numbers; the same request finds the same words.
    """

    words: tuple[Word, ...]
    request: Mapping[str, Any]

    def save(self, path: str | Path) -> None:
        """Write JSON, whole or not at all."""
        content = {"format": FORMAT, "request": dict(self.request), "words": [asdict(word) for word in self.words]}
        with atomic(Path(path)) as file:
            file.write(json.dumps(content, allow_nan=False).encode())

    @classmethod
    def load(cls, path: str | Path) -> WordList:
        """Read a list.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file is no such list.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"There is no word list {path}: `python -m monai_ssl discover STORE --out {path}` makes one."
            )
        try:
            content = read_json(Path(path))
            words = tuple(_word(entry) for entry in content["words"])
            if content["format"] != FORMAT or [word.label for word in words] != list(range(len(words))):
                raise ValueError("another format, or labels are missing")
            return cls(words, content["request"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not a word list of this version ({error}): make it with `python -m monai_ssl discover`."
            ) from error


class LocatedWord:
    """One window of a word in its scan: what :class:`monai_ssl.transforms.RandWordCropd` cuts.

    It can be sliced as the scan, with the scan's coordinates.

    Args:
        scan: of the store.
        label: of the word.
        window: in the scan.
    """

    def __init__(self, scan: Scan, label: int, window: Window) -> None:
        self.scan, self.label = scan, label
        self.start, self.size = window.start, window.size

    @property
    def key(self) -> str:
        """Of the scan."""
        return self.scan.key

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the scan, (C, *spatial)."""
        return self.scan.shape

    def __getitem__(self, slices: Slices | slice | int) -> Any:
        return self.scan[slices]

    def __repr__(self) -> str:
        return f"LocatedWord({self.label} in {self.key}, start={self.start}, size={self.size})"


def _word(entry: Mapping[str, Any]) -> Word:
    unseen = entry["validation"] if "validation" in entry else entry[_FORMER_KEY]
    windows, validation = (tuple(map(_window, part)) for part in (entry["windows"], unseen))
    return Word(entry["label"], entry["reference"], tuple(entry["center"]), windows, validation)


def _window(entry: Mapping[str, Any]) -> Window:
    start, size = tuple(entry["start"]), tuple(entry["size"])
    if len(start) != len(size) or not all(type(n) is int and n >= 0 for n in start + size) or not all(size):
        raise ValueError(f"{entry} is no window")
    return Window(str(entry["scan"]), start, size)


__all__ = ["LocatedWord", "Window", "Word", "WordList"]
