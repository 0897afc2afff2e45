"""What all proxy tasks share: parameters drawn per sample, one kernel for the whole batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

Params = dict[str, Any]
"""Parameters by name; of one sample: NumPy arrays or numbers; of a batch: tensors with a leading batch axis."""


class RandBatchTransform(Randomizable, MapTransform):
    """A dictionary transform that treats one sample or a batch with the same vectorised kernel.

    A subclass splits its work in two: :meth:`draw` makes the parameters of one sample, :meth:`kernel` applies the
    stacked parameters to a batch. Hence ``batch`` equals the stacked single results for the same parameters.
    The input is never changed, and all keys of a sample share one draw.

    Args:
        keys: images to transform alike; they must agree in shape.
        prob: probability to transform a sample at all.
        params_key: where to put what was done, a dictionary of tensors (B, ...) with the boolean tensor ``"applied"``;
            not stored when ``None``.
        allow_missing_keys: skip keys that a sample lacks instead of raising ``KeyError``.

    Raises:
        ValueError: when ``prob`` is not in [0, 1] or the shapes of the keys differ.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 1.0,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not 0.0 <= prob <= 1.0:
            raise ValueError(f"`prob` of {type(self).__name__} must be in [0, 1], got {prob}.")
        self.prob = prob
        self.params_key = params_key

    @abstractmethod
    def draw(self, shape: tuple[int, ...]) -> Params:
        """Draw the parameters of one sample of shape (C, *spatial) from ``self.R``; nothing else draws.

        The shapes of the parameters must not depend on the draw, so that those of several samples stack: pad where a
        count varies.
        """

    @staticmethod
    @abstractmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        """Return a new tensor of the shape of ``x`` (B, C, *spatial), given parameters with a leading batch axis."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform one sample: values are (C, *spatial), or lists of such for a key that holds several samples."""
        single = {key: not isinstance(data[key], Sequence) for key in self.key_iterator(dict(data))}
        batch = {key: data[key].unsqueeze(0) if one else torch.stack(list(data[key])) for key, one in single.items()}
        done = self.batch(batch)
        out: dict[Hashable, Any] = dict(data)
        for key, one in single.items():
            out[key] = _like(done[key][0], data[key]) if one else list(done[key])
        if self.params_key is not None:
            params = done[self.params_key]
            out[self.params_key] = {k: v[0] for k, v in params.items()} if all(single.values()) else params
        return out

    def batch(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform a batch: values are tensors (B, C, *spatial); the kernel runs where they live."""
        out: dict[Hashable, Any] = dict(data)
        keys = list(self.key_iterator(out))
        if not keys:
            return out
        first = out[keys[0]]
        for key in keys[1:]:
            if out[key].shape[0] != first.shape[0] or out[key].shape[2:] != first.shape[2:]:
                raise ValueError(
                    f"{type(self).__name__} treats its keys alike, but `{keys[0]}` is {tuple(first.shape)} and "
                    f"`{key}` is {tuple(out[key].shape)}: use one transform for each."
                )
        applied, params = self._draw_batch(first)
        for key in keys:
            out[key] = self._apply(_plain(out[key]), applied, params)
        if self.params_key is not None:
            out[self.params_key] = {"applied": applied, **params}
        return out

    def _draw_batch(self, x: Tensor) -> tuple[Tensor, Params]:
        shape = tuple(x.shape[1:])
        applied, drawn = [], []
        for _ in range(x.shape[0]):
            # drawn whether applied or not: the stream of random numbers does not depend on `prob`
            applied.append(bool(self.R.rand() < self.prob))
            drawn.append(self.draw(shape))
        return torch.tensor(applied, device=x.device), _stack(drawn, x.device)

    def _apply(self, x: Tensor, applied: Tensor, params: Params) -> Tensor:
        if self.prob == 1.0:
            return self.kernel(x, params)
        chosen = applied.nonzero().flatten()
        out = x.clone()
        if len(chosen):
            out[chosen] = self.kernel(x[chosen], {k: v[chosen.to(v.device)] for k, v in params.items()})
        return out


def _plain(x: Tensor) -> Tensor:
    return x.as_tensor() if isinstance(x, MetaTensor) else x


def _like(x: Tensor, source: Tensor) -> Tensor:
    return MetaTensor(x, meta=source.meta) if isinstance(source, MetaTensor) else x


def _stack(drawn: Sequence[Params], device: torch.device) -> Params:
    return {name: _tensor([d[name] for d in drawn]).to(device, non_blocking=True) for name in drawn[0]}


def _tensor(values: Sequence[Any]) -> Tensor:
    array = np.asarray(values)
    return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float64 else array)
