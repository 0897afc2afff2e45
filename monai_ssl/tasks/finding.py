"""What a check of data found, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_NAMED = 3


class Finding(NamedTuple):
    """Something about the data that a user should know before training.

    Args:
        text: a sentence, without its full stop.
        refuse: whether it makes training pointless.
    """

    text: str
    refuse: bool


def grouped(
    found: Mapping[str, str], total: int, what: str, remedy: str = "", refuse: bool = True
) -> Iterator[Finding]:
    """Yield one finding about files that share a fault, with the first few by name; none if there are no such files.

    >>> [finding] = grouped({"labels/a.nii": "2 x 2"}, 4, "labels are small", "make them larger")
    >>> finding.text
    '1 of 4 labels are small: `a.nii` (2 x 2); make them larger'
    """
    if found:
        texts = list(found.values())
        new = [text if text and text not in texts[:i] else "" for i, text in enumerate(texts[:_NAMED])]
        names = [
            f"`{Path(path).name}`" + (f" ({text})" if text else "") for path, text in zip(found, new, strict=False)
        ]
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        end = f"; {remedy}" if remedy else ""
        yield Finding(f"{len(found)} of {total} {what}: {', '.join(names)}{more}{end}", refuse)
