"""Account of a weight loading: tensors loaded, missing, unexpected, reshaped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monai_ssl.transfer.card import ModelCard

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LoadAccount:
    """The fate of all tensors of the network's part and of the file's part.

    Args:
        part: of the network, e.g. ``"encoder"``.
        source: where the weights came from.
        loaded: names of tensors that were copied as they are.
        inflated: (file, network) shapes of first convolutions that were fitted to other image channels.
        resized: (file, network) shapes of position embeddings that were interpolated for another grid.
        missing: in the network, not in the file.
        unexpected: in the file, not in the network.
        reshaped: (file, network) shapes of tensors that do not fit and were not loaded.
        dropped: running statistics of batch norms that are group norms in this network.
        card: of the file, if it has one.
        warnings: where the images of pre-training differed, in words.
        prefix: that the names had in the file.
    """

    part: str
    source: str
    loaded: tuple[str, ...] = ()
    inflated: Mapping[str, tuple[Shape, Shape]] = field(default_factory=dict)
    resized: Mapping[str, tuple[Shape, Shape]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: Mapping[str, tuple[Shape, Shape]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    card: ModelCard | None = None
    warnings: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def total(self) -> int:
        """Tensors of the network's part."""
        return self._found + len(self.missing) + len(self.reshaped)

    @property
    def share(self) -> float:
        """Share of the network's tensors that were loaded, in [0, 1]."""
        return self._found / self.total if self.total else 0.0

    @property
    def _found(self) -> int:
        return len(self.loaded) + len(self.inflated) + len(self.resized)

    @property
    def complete(self) -> bool:
        """Whether every tensor of network and file found its place."""
        return self.share == 1.0 and not self.unexpected

    def table(self) -> str:
        """Return the account as text, one line a fate."""
        fates = {
            "loaded": self.loaded,
            "inflated": tuple(f"{n} {old} -> {new}" for n, (old, new) in self.inflated.items()),
            "resized": tuple(f"{n} {old} -> {new}" for n, (old, new) in self.resized.items()),
            "missing": self.missing,
            "unexpected": self.unexpected,
            "reshaped": tuple(f"{n} {old} in file, {new} here" for n, (old, new) in self.reshaped.items()),
            "dropped": self.dropped,
        }
        found = f", there under `{self.prefix}`" if self.prefix else ""
        head = f"{self.part} from {self.source}: {self.share:.0%} of {self.total} tensors{found}"
        return "\n".join(
            [head, *(f"  {fate:<10} {len(names):>4}  {_few(names)}".rstrip() for fate, names in fates.items())]
        )


def _few(names: tuple[str, ...], most: int = 3) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
