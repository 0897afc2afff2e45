"""RandBatchTransform, the base class of batched random transforms: draw per sample, one kernel for the batch."""

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

from monai_ssl.arguments import check_interval

Params = dict[str, Any]
"""Parameters by name; of one sample: NumPy arrays or numbers; of a batch: tensors with a leading batch axis."""


class RandBatchTransform(Randomizable, MapTransform):
    """A dictionary transform that treats one sample or a batch with the same vectorized kernel.

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
        check_interval("[0, 1]", prob=prob)
        self.prob = prob
        self.params_key = params_key

    reads: tuple[str, ...] = ()
    """Keys that :meth:`measure` looks at; they are not changed."""

    float32_kernel: bool = False
    """Whether :meth:`kernel` takes float32 only; images of other floating types are converted there and back."""

    on_host: tuple[str, ...] = ("seed",)
    """Parameters that stay on the host; all others move to the device of the batch."""

    @abstractmethod
    def draw(self, shape: tuple[int, ...]) -> Params:
        """Draw the parameters of one sample of shape (C, *spatial) from ``self.R``; nothing else draws.

        The shapes of the parameters must not depend on the draw, so that those of several samples stack: pad where a
        count varies.
        """

    def measure(self, data: Mapping[Hashable, Any]) -> Params:
        """Return parameters that are not drawn but found in the images of a batch; none unless a subclass says so."""
        del data
        return {}

    @staticmethod
    def prepare(params: Params, spatial: Sequence[int]) -> Params:
        """Return parameters for the kernel that follow from all others, once for all keys; none by default."""
        del params, spatial
        return {}

    @staticmethod
    @abstractmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        """Return a new tensor of the shape of ``x`` (B, C, *spatial), given parameters with a leading batch axis."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform one sample: values are (C, *spatial), or lists of such for a key that holds several samples."""
        keys = list(self.key_iterator(dict(data)))
        out: dict[Hashable, Any] = dict(data)
        if not keys:
            return out
        seen = dict.fromkeys((*keys, *self.reads))
        done = self.batch({key: as_batch(data[key]) for key in seen if key in data})
        out.update({key: as_samples(done[key], data[key]) for key in keys})
        if self.params_key is not None:
            one = not isinstance(data[keys[0]], Sequence)
            params = done[self.params_key]
            out[self.params_key] = {k: v[0] for k, v in params.items()} if one else params
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
        params |= self.measure(out)
        out |= zip(keys, self._apply([plain(out[key]) for key in keys], applied, params), strict=True)
        if self.params_key is not None:
            out[self.params_key] = {"applied": applied.to(first.device), **params}
        return out

    def _draw_batch(self, x: Tensor) -> tuple[Tensor, Params]:
        shape = tuple(x.shape[1:])
        applied, drawn = [], []
        for _ in range(x.shape[0]):
            # drawn whether applied or not: the stream of random numbers does not depend on `prob`
            applied.append(bool(self.R.rand() < self.prob))
            drawn.append(self.draw(shape))
        return torch.tensor(applied), _stack(drawn, x.device, self.on_host)

    def _apply(self, images: Sequence[Tensor], applied: Tensor, params: Params) -> list[Tensor]:
        spatial = images[0].shape[2:]
        if applied.all():
            params = params | self.prepare(params, spatial)
            return [self._run(x, params) for x in images]
        # found on the host: asking the device would wait for it
        chosen = applied.nonzero().flatten()
        out = [x.clone() for x in images]
        if len(chosen):
            params = {k: v[chosen.to(v.device)] for k, v in params.items()}
            params |= self.prepare(params, spatial)
            for x, to in zip(images, out, strict=True):
                some = chosen.to(x.device)
                to[some] = self._run(x[some], params)
        return out

    def _run(self, x: Tensor, params: Params) -> Tensor:
        if not self.float32_kernel or not x.is_floating_point():
            return self.kernel(x, params)
        return self.kernel(x.float(), params).to(x.dtype)


def plain(x: Any) -> Tensor:
    """Return ``x`` as a tensor without meta data."""
    return x.as_tensor() if isinstance(x, MetaTensor) else torch.as_tensor(x)


def as_batch(value: Any) -> Tensor:
    """Return one sample (C, *spatial), or a list of such, as a batch (B, C, *spatial)."""
    return torch.stack([plain(v) for v in value]) if isinstance(value, Sequence) else plain(value).unsqueeze(0)


def as_samples(batch: Tensor, like: Any) -> Any:
    """Undo :func:`as_batch`: one sample or a list, each with the meta data of ``like``."""
    return (
        [_like(x, v) for x, v in zip(batch, like, strict=True)] if isinstance(like, Sequence) else _like(batch[0], like)
    )


def _like(x: Tensor, source: Any) -> Tensor:
    return MetaTensor(x, meta=source.meta) if isinstance(source, MetaTensor) else x


def stack(drawn: Sequence[Params]) -> Params:
    """Return the parameters of several samples as tensors (B, ...) on the host; float64 becomes float32."""
    return {name: _tensor([d[name] for d in drawn]) for name in drawn[0]}


def _stack(drawn: Sequence[Params], device: torch.device, on_host: Sequence[str]) -> Params:
    stacked = stack(drawn)
    return {name: v if name in on_host else v.to(device, non_blocking=True) for name, v in stacked.items()}


def _tensor(values: Sequence[Any]) -> Tensor:
    array = np.asarray(values)
    return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float64 else array)


def expand(values: Tensor, dims: int) -> Tensor:
    """Append singleton axes to ``values`` until it has ``dims`` axes, to combine it with a batch."""
    return values.reshape(*values.shape, *[1] * (dims - values.ndim))
