"""OneOf for batches: exactly one of several transforms for each sample."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable

from monai_ssl.transforms.base import RandBatchTransform, as_batch, as_samples, plain
from monai_ssl.transforms.separately import Separatelyd


class RandOneOfd(Randomizable, MapTransform):
    """Apply to each sample one transform, drawn anew; each transform treats its samples as one batch.

    Args:
        transforms: of this package, all with the same keys; a :class:`Separatelyd` shares the choice among its keys
            and nothing else.
        weights: how often each is drawn, relative to the others; ``None`` for equally often.
        params_key: where to put ``choice`` (B,), the index of the transform; not stored when ``None``.

    Raises:
        TypeError: when a transform cannot treat a batch.
        ValueError: when the keys differ, or the weights are not one positive sum of non-negative numbers.

    >>> from monai_ssl.transforms import RandFlipBatchd
    >>> still, flipped = RandFlipBatchd("image", axis_prob=0.0), RandFlipBatchd("image", axis_prob=1.0)
    >>> one_of = RandOneOfd([still, flipped], weights=[0, 1], params_key="params")
    >>> out = one_of.batch({"image": torch.arange(3.0).reshape(1, 1, 3, 1)})
    >>> out["image"].flatten(), out["params"]["choice"]
    (tensor([2., 1., 0.]), tensor([1]))
    """

    def __init__(
        self,
        transforms: Sequence[RandBatchTransform | Separatelyd],
        weights: Sequence[float] | None = None,
        *,
        params_key: str | None = None,
    ) -> None:
        if not transforms:
            raise ValueError("`RandOneOfd` needs at least one transform to choose from.")
        strange = [type(t).__name__ for t in transforms if not isinstance(t, (RandBatchTransform, Separatelyd))]
        if strange:
            raise TypeError(f"`RandOneOfd` chooses among the random transforms of this package, got {strange[0]}.")
        if len({t.keys for t in transforms}) > 1:
            raise ValueError(
                f"`RandOneOfd` treats the same keys whatever it chooses, got {[t.keys for t in transforms]}."
            )
        super().__init__(transforms[0].keys, all(t.allow_missing_keys for t in transforms))
        self.transforms = list(transforms)
        shares = np.ones(len(transforms)) if weights is None else np.asarray(weights, np.float64)
        if shares.shape != (len(transforms),) or shares.min() < 0 or shares.sum() <= 0:
            raise ValueError(f"`weights` must be {len(transforms)} numbers, not negative, one above 0, got {weights}.")
        self.shares = shares / shares.sum()
        self.params_key = params_key

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandOneOfd:
        super().set_random_state(seed, state)
        for transform in self.transforms:
            transform.set_random_state(seed=int(self.R.randint(np.iinfo(np.int32).max)))
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform one sample: values are (C, *spatial), or lists of such for a key that holds several samples."""
        out: dict[Hashable, Any] = dict(data)
        keys = list(self.key_iterator(out))
        if not keys:
            return out
        done = self.batch({key: as_batch(data[key]) for key in keys})
        out.update({key: as_samples(done[key], data[key]) for key in keys})
        if self.params_key is not None:
            choice = done[self.params_key]["choice"]
            out[self.params_key] = {"choice": choice if isinstance(data[keys[0]], Sequence) else choice[0]}
        return out

    def batch(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform a batch: values are tensors (B, C, *spatial)."""
        out: dict[Hashable, Any] = dict(data)
        keys = list(self.key_iterator(out))
        if not keys:
            return out
        before = {key: plain(out[key]) for key in keys}
        count, device = len(before[keys[0]]), before[keys[0]].device
        choice = torch.from_numpy(self.R.choice(len(self.transforms), size=count, p=self.shares))
        out |= {key: torch.empty_like(x) for key, x in before.items()}
        for number, transform in enumerate(self.transforms):
            # found on the host: asking the device would wait for it
            rows = (choice == number).nonzero().flatten().to(device)
            if len(rows):
                done = transform.batch({key: x[rows] for key, x in before.items()})
                for key in keys:
                    out[key][rows] = done[key]
        if self.params_key is not None:
            out[self.params_key] = {"choice": choice.to(device)}
        return out
