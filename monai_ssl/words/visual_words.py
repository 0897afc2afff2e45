"""Visual words of a pre-training run: read from a list, or discovered before training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from monai_ssl.data.pretraining import PretrainingScans
from monai_ssl.store.scan import Scan
from monai_ssl.store.scan_profile import scan_profiles
from monai_ssl.words.discovery import Accept, Described, WordOptions, discover_words
from monai_ssl.words.word_list import LocatedWord, WordList

PROFILE = "intensity profile of the body"


class Background(Protocol):
    """Tells by how much a window (C, *size) exceeds the background that it may hold; it is dropped above 0."""

    def excess(self, x: torch.Tensor) -> float: ...


class VisualWords:
    """Windows of all words in the training scans, ``train``, and in those held out, ``validation``.

    Without a list the words are discovered first, among patients whose bodies look alike from afar (their intensity
    on a coarse grid), and written to ``output_dir/words.json``, where the next run with the same scans and options
    finds them. A list made by ``python -m monai_ssl discover`` compares patients by an encoder, as the paper does.

    Args:
        scans: of the run. A window belongs to the part that its scan is in, whatever the list says.
        options: of the discovery; a list must have as many words.
        output_dir: where discovered words go.
        words: file of a list, or ``None``.
        background: judges windows when words are discovered, e.g.
            :class:`monai_ssl.transforms.crops.background.BackgroundRule`; ``None`` takes all.

    Raises:
        FileNotFoundError: when ``words`` does not exist.
        ValueError: when words cannot be discovered, or the list does not fit the scans or ``options``.

    >>> from tempfile import TemporaryDirectory
    >>> from monai_ssl.samples.phantom import write_phantom_cohort
    >>> from monai_ssl.store import PrepareOptions, prepare
    >>> with TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
    ...     _ = write_phantom_cohort(Path(folder, "raw"), patients=4, shape=(16, 16, 16))
    ...     _ = prepare(Path(folder, "raw"), Path(folder, "store"), PrepareOptions(workers=0))
    ...     scans = PretrainingScans(Path(folder, "store"), folder, 3, validation=0)
    ...     words = VisualWords(scans, WordOptions(num_words=2, size=(8, 8, 8)), folder)
    `words` is null: 2 words were discovered among 4 training scans...
    >>> sorted(word.label for word in words.train)  # each word in each patient
    [0, 0, 0, 0, 1, 1, 1, 1]
    """

    def __init__(
        self,
        scans: PretrainingScans,
        options: WordOptions,
        output_dir: str | Path,
        *,
        words: str | Path | None = None,
        background: Background | None = None,
    ) -> None:
        if words is None:
            self.words = _discovered(scans, options, Path(output_dir) / "words.json", background)
        else:
            self.words = WordList.load(words)
        found = len(self.words.words)
        if found != options.num_words:
            raise ValueError(f"{words} holds {found} words, not {options.num_words}: set `num_words` to {found}.")
        self.scans = scans
        self.train = _located(self.words, scans.train)
        self.validation = _located(self.words, scans.validation)
        missing = set(range(found)) - {word.label for word in self.train}
        if missing:
            raise ValueError(
                f"{words} has no window of word {min(missing)} in the scans of this run: was it made for another "
                "store, or are its patients held out or excluded?"
            )

    def facts(self) -> dict[str, Any]:
        """What the model card says of the scans."""
        return self.scans.facts()


def request_of(scans: PretrainingScans, options: WordOptions, features: str, background: Any) -> dict[str, Any]:
    """Return what a list of words follows from, for its file."""
    parts = {"train": scans.train, "validation": scans.validation}
    hashes = {name: hashlib.sha256(" ".join(s.key for s in part).encode()).hexdigest() for name, part in parts.items()}
    return {"features": features, "background": repr(background), "scans": hashes, "options": options.to_dict()}


def acceptance(background: Background | None) -> Accept | None:
    """Return the judge of windows for :func:`discover_words`."""
    if background is None:
        return None
    return lambda window: background.excess(torch.from_numpy(np.ascontiguousarray(window))) <= 0


def _discovered(scans: PretrainingScans, options: WordOptions, path: Path, background: Background | None) -> WordList:
    request = request_of(scans, options, PROFILE, background)
    if path.is_file() and (earlier := WordList.load(path)).request == request:
        return earlier
    train = Described(scans.train, scan_profiles(scans.train))
    validation = Described(scans.validation, scan_profiles(scans.validation)) if scans.validation else None
    found = WordList(discover_words(train, options, validation, acceptance(background)).words, request)
    found.save(path)
    print(
        f"`words` is null: {options.num_words} words were discovered among {len(scans.train)} training scans, compared "
        f"by the {PROFILE}, and written to {path}. The paper compares them by an auto-encoder: "
        "`python -m monai_ssl discover --help`."
    )
    return found


def _located(words: WordList, scans: Sequence[Scan]) -> list[LocatedWord]:
    """All windows in ``scans``, nearest patients first, and of each rank all words in turn."""
    known = {scan.key: scan for scan in scans}
    ranked = [
        (rank, word.label, window)
        for word in words.words
        for rank, window in enumerate((*word.windows, *word.validation))
        if window.scan in known
    ]
    ranked.sort(key=lambda item: item[:2])
    return [LocatedWord(known[window.scan], label, window) for _, label, window in ranked]


__all__ = ["VisualWords", "acceptance", "request_of"]
