"""GPU prefetcher: copies the next batch to the device on a side stream, from pinned memory, non-blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Any]


class Prefetcher:
    """Prefetching loader: each batch is on the device, or on its way there, before it is asked for.

    On a GPU they are copied in a stream of their own; the memory of one batch more is needed. What it does not have is
    looked up in the loader.

    Args:
        loader: yields batches, in pinned memory if copies shall not wait.
        move: moves a batch to the device.
        device: where to.
    """

    def __init__(self, loader: Iterable, move: Callable[[Mapping[str, Any]], Batch], device: torch.device) -> None:
        self.loader, self.move, self.device = loader, move, device

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        if name == "loader":  # while a copy is being made
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Batch]:
        stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        ready: tuple[Batch, torch.cuda.Event | None] | None = None
        for batch in self.loader:
            coming = self._sent(batch, stream)
            if ready is not None:
                yield self._arrived(*ready)
            ready = coming
        if ready is not None:
            yield self._arrived(*ready)

    def _sent(
        self, batch: Mapping[str, Any], stream: torch.cuda.Stream | None
    ) -> tuple[Batch, torch.cuda.Event | None]:
        with torch.cuda.stream(stream):
            return self.move(batch), None if stream is None else stream.record_event()

    def _arrived(self, batch: Batch, event: torch.cuda.Event | None) -> Batch:
        if event is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(event)
            for value in batch.values():
                if isinstance(value, Tensor):
                    # else its memory is given away while this stream still reads it
                    value.record_stream(current)
        return batch
