"""RandTask, the base class of predictive proxy tasks: image and label made from one draw."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from monai_ssl.transforms.base import Params, as_batch, plain, stack


class RandTask(Randomizable, MapTransform):
    """A dictionary transform that replaces an image by what is asked about it and what is the answer.

    A subclass splits its work in two: :meth:`draw` makes the parameters of one sample, :meth:`kernel` makes images and
    answers of a whole batch at once. One sample is a batch of one, hence ``batch`` equals the stacked single results.
    The input is never changed.

    Args:
        key: the image; it is replaced.
        params_key: where to put all that was drawn, a dictionary of tensors (B, ...) on the host; not stored when
            ``None``.
    """

    several: tuple[str, ...] = ()
    """Keys that hold several images of each sample: sample-major in a batch, a list in one sample."""

    def __init__(self, key: str, params_key: str | None = None) -> None:
        super().__init__((key,))
        self.key = key
        self.params_key = params_key

    @abstractmethod
    def draw(self, shape: tuple[int, ...]) -> Params:
        """Draw the parameters of one sample of shape (C, *spatial) from ``self.R``; nothing else draws."""

    @abstractmethod
    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        """Return images and answers by key, given images (B, C, *spatial) and parameters (B, ...) on the host."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Treat one sample: the image is (C, *spatial), or a list of such where ``key`` holds several."""
        out: dict[Hashable, Any] = dict(data)
        image = out.pop(self.key)
        made, params = self._make(as_batch(image))
        out.update({key: list(value) if key in self.several else value[0] for key, value in made.items()})
        if self.params_key is not None:
            one = not isinstance(image, Sequence)
            out[self.params_key] = {name: value[0] for name, value in params.items()} if one else params
        return out

    def batch(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Treat a batch: the image is (B, C, *spatial); the kernel runs where it lives."""
        out: dict[Hashable, Any] = dict(data)
        made, params = self._make(plain(out.pop(self.key)))
        out.update(made)
        if self.params_key is not None:
            out[self.params_key] = params
        return out

    def _make(self, x: Tensor) -> tuple[dict[str, Tensor], Params]:
        shape = tuple(x.shape[1:])
        # answers stay on the host until the kernel has chosen by them: asking the device would wait for it
        params = stack([self.draw(shape) for _ in range(len(x))])
        return self.kernel(x, params), params


__all__ = ["RandTask"]
