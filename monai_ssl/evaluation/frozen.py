"""Iterate over the images of a loader, whether it yields tensors or dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor


def images_of(batches: Iterable[Any], key: str = "image") -> Iterator[Tensor]:
    """Give the images (B, C, *spatial) of each batch: a tensor, or a dictionary that holds them as ``key``.

    Raises:
        TypeError: for another kind of batch.
        KeyError: when a dictionary has no such key.
    """
    for batch in batches:
        image = batch
        if isinstance(batch, Mapping):
            if key not in batch:
                raise KeyError(f"A batch has no images `{key}`, only {sorted(map(str, batch))}; name one by `key`.")
            image = batch[key]
        if not isinstance(image, Tensor):
            raise TypeError(f"A batch must be a tensor or a dictionary with tensors, got {type(image).__name__}.")
        yield image.as_subclass(Tensor)


__all__ = ["images_of"]
