"""What is fuzzed: a good sample, how it is damaged, and how the package reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mutations import damaged, damaged_text

Mutate = Callable[[bytes, np.random.Generator], bytes]


class SilentlyAcceptedError(AssertionError):
    """What was read is not what a checksum or a hash promised, or breaks what the package promises of it."""


@dataclass
class Target:
    """Something that the package reads.

    Args:
        name: unique.
        file: name of the file to write into the folder of a case.
        sample: the whole, good content.
        use: reads the file of that folder as the package does, and raises :class:`SilentlyAcceptedError`.
        mutate: damages the content.
        others: files beside it, by name.
    """

    name: str
    file: str
    sample: bytes
    use: Callable[[Path], None]
    mutate: Mutate = damaged
    others: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the good files; return the one to be damaged."""
        for name, content in {**self.others, self.file: self.sample}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder / self.file


def as_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage JSON."""
    return damaged_text(content.decode(), rng)


def all_targets(scratch: Path) -> list[Target]:
    """Return every target; samples are built in ``scratch``."""
    from targets_images import image_targets
    from targets_lists import list_targets
    from targets_weights import weight_targets

    return [*image_targets(scratch), *list_targets(scratch), *weight_targets(scratch)]
