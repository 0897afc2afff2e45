"""BatchViews: run transforms on a whole batch, on its device (GPU augmentation); Snapshotd keeps the clean target."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, decollate_batch
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from monai_ssl.transforms.base import RandBatchTransform


class Snapshotd(MapTransform):
    """Keep the present state of an image under another name, such as the clean target of a restoration.

    No copy is made, since no transform of this package changes its input.

    Args:
        keys: what to keep.
        names: under which name, one for each key.

    >>> Snapshotd("view", "target")({"view": torch.zeros(2)})
    {'view': tensor([0., 0.]), 'target': tensor([0., 0.])}
    """

    def __init__(self, keys: KeysCollection, names: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.names = (names,) if isinstance(names, str) else tuple(names)  # type: ignore[arg-type]
        if len(self.names) != len(self.keys):
            raise ValueError(f"`Snapshotd` has {len(self.keys)} keys but {len(self.names)} names; give one for each.")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key, name in self.key_iterator(out, self.names):
            out[name] = out[key]
        return out

    batch = __call__


class BatchViews(Randomizable):
    """The transforms that make the views of a method, applied to a batch (B, C, *spatial) on its device.

    Transforms of this package treat the batch at once. Any other MONAI dictionary transform is applied sample by
    sample, on the same device; a warning says once what that means.

    Args:
        transforms: dictionary transforms, applied in turn.

    >>> from monai_ssl.transforms import RandFlipBatchd
    >>> views = BatchViews([Snapshotd("view", "target"), RandFlipBatchd("view", axis_prob=1.0)])
    >>> out = views({"view": torch.rand(4, 1, 8, 8)})
    >>> torch.equal(out["view"], out["target"].flip(2, 3))
    True
    """

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = list(transforms)
        slow = [type(t).__name__ for t in self.transforms if not hasattr(t, "batch")]
        if slow:
            warnings.warn(
                f"{', '.join(slow)} in `views` cannot treat a batch at once and will run sample by sample, which may "
                "keep the device waiting. `python -m monai_ssl preview` and the data-wait share in MLflow show the "
                "cost; a cheap transform may stand among the crops instead, where loader workers run it.",
                UserWarning,
                stacklevel=2,
            )

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> BatchViews:
        super().set_random_state(seed, state)
        for transform in self.transforms:
            if isinstance(transform, Randomizable):
                transform.set_random_state(seed=int(self.R.randint(np.iinfo(np.int32).max)))
        return self

    def __call__(self, batch: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(batch)
        device = next((x.device.type for x in out.values() if isinstance(x, Tensor)), "cpu")
        # views are float32 whoever calls: a half-precision matrix product would leak into images and targets
        # tensors without values have no autocast of their own
        with torch.autocast("cpu" if device == "meta" else device, enabled=False):
            for transform in self.transforms:
                out = transform.batch(out) if hasattr(transform, "batch") else _one_by_one(transform, out)
        return out


def _one_by_one(transform: Callable, batch: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
    own = set(getattr(transform, "keys", batch)) | {k for k, v in batch.items() if not isinstance(v, Tensor)}
    rest = {k: v for k, v in batch.items() if k not in own}
    samples = [transform(sample) for sample in decollate_batch({k: v for k, v in batch.items() if k in own})]
    done = {key: _plain_stack([sample[key] for sample in samples]) for key in samples[0]}
    return rest | done


def _plain_stack(values: list[Any]) -> Any:
    if not isinstance(values[0], Tensor):
        return values
    return torch.stack([v.as_tensor() if isinstance(v, MetaTensor) else v for v in values])


__all__ = ["BatchViews", "RandBatchTransform", "Snapshotd"]
