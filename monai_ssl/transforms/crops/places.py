"""Maps of coordinates: where in the scan each voxel of a crop comes from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor


class Placesd(MapTransform):
    """Add a map of coordinates to each crop: the place of each of its voxels in the scan, in the scan's voxels.

    Flips and turns that treat crop and map alike keep them together, and the average of the map over a cell is the
    place of the cell, so that no order of axes and no sign can be mistaken.

    Args:
        keys: crops, of any size.
        params_key: what a crop transform has left there, which is removed: ``starts`` and ``sizes`` in voxels of the
            scan, (D,) for each of the ``keys``.
        names: of the maps, (D, *spatial) in float32.

    >>> from monai_ssl.transforms import RandIoUPairCropd
    >>> scan = torch.arange(40.0).reshape(1, 40, 1).expand(1, 40, 40)  # a value says where it was cut
    >>> crop = RandIoUPairCropd("image", (16, 16), [[16, 16]], num_locals=0, background=None, params_key="cut")
    >>> out = Placesd(["view1", "view2"], "cut", ["place1", "place2"])(crop({"image": scan}))
    >>> torch.equal(out["place2"][0], out["view2"][0] + 0.5)  # the center of a voxel
    True
    """

    def __init__(self, keys: KeysCollection, params_key: str, names: Sequence[str]) -> None:
        super().__init__(keys)
        self.params_key, self.names = params_key, tuple(names)
        if len(self.names) != len(self.keys):
            raise ValueError(f"`Placesd` has {len(self.keys)} keys but {len(self.names)} names; give one for each.")

    def batch(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Treat a batch: crops are tensors (B, C, *spatial), ``starts`` and ``sizes`` are (B, keys, D)."""
        out = dict(data)
        cut = out.pop(self.params_key)
        for number, (key, name) in enumerate(self.key_iterator(out, self.names)):
            x = out[key]
            starts, sizes = (torch.as_tensor(cut[what])[:, number].to(x.device) for what in ("starts", "sizes"))
            out[name] = places(starts, sizes, x.shape[2:])
        return out

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        cut = {what: torch.as_tensor(data[self.params_key][what])[None] for what in ("starts", "sizes")}
        crops = {key: data[key][None] for key in self.key_iterator(dict(data))}
        made = self.batch({**crops, self.params_key: cut})
        out = {key: value for key, value in data.items() if key != self.params_key}
        return out | {name: made[name][0] for name in self.names}


def places(starts: Tensor, sizes: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the centers (B, D, *shape) of voxels of windows (B, D) that were resized to ``shape``."""
    axes = []
    for axis, side in enumerate(shape):
        steps = (torch.arange(side, device=starts.device) + 0.5) / side
        line = starts[:, axis, None] + steps * sizes[:, axis, None]
        axes.append(line.reshape(-1, *[side if i == axis else 1 for i in range(len(shape))]).expand(-1, *shape))
    return torch.stack(axes, 1)


__all__ = ["Placesd"]
