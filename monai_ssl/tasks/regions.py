"""Regions: structures that lie in each other or overlap, as whole tumor, tumor core and enhancing tumor of BraTS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from monai_ssl.tasks.labels import Labels, class_values


class Regions:
    """What values of label files mean where a voxel belongs to several structures.

    Args:
        values: values in the label files by name of the region, without background.

    Raises:
        ValueError: when a region has no values, 0 or a value twice, or two regions are the same.

    >>> brats = Regions({"ET": 4, "WT": [1, 2, 4], "TC": [1, 4]})
    >>> brats.names  # the order of the network's outputs: the largest first
    ['WT', 'TC', 'ET']
    >>> brats.kinds
    {'WT + TC': [1], 'WT': [2], 'WT + TC + ET': [4]}
    """

    def __init__(self, values: Labels) -> None:
        groups = {name: [of] if isinstance(of, int) else list(of) for name, of in values.items()}
        flat = [value for of in groups.values() for value in of]
        same = len({frozenset(of) for of in groups.values()}) < len(groups)
        twice = any(len(set(of)) < len(of) for of in groups.values())
        if not flat or 0 in flat or same or twice or not all(groups.values()):
            raise ValueError(
                "`regions` must give each region its values in the label files, each region others, and background (0) "
                f"is not listed, e.g. {{'whole tumor': [1, 2, 4], 'enhancing tumor': 4}}; got {dict(values)}."
            )
        order = sorted(groups, key=lambda name: (-len(groups[name]), groups[name]))
        self.values = {name: groups[name] for name in order}

    @property
    def names(self) -> list[str]:
        """Names, the largest region first."""
        return list(self.values)

    @property
    def kinds(self) -> dict[str, list[int]]:
        """Values by the regions that a voxel of such a value lies in: classes that exclude each other."""
        found: dict[str, list[int]] = defaultdict(list)
        for value in sorted({value for of in self.values.values() for value in of}):
            found[" + ".join(name for name, of in self.values.items() if value in of)].append(value)
        return dict(found)

    @cached_property
    def table(self) -> Tensor:
        """Whether a voxel of a kind lies in a region, (regions, 1 + kinds) of 0 and 1; the first kind is background."""
        kinds = [set(), *map(set, class_values(self.kinds))]
        return torch.tensor([[float(bool(kind & set(of))) for kind in kinds] for of in self.values.values()])

    @cached_property
    def written(self) -> Tensor:
        """Value in a label map by the regions that a voxel was found in, of which the first is bit 0.

        Where no voxel of the files is in just these, as in a tumor core outside of the tumor, it is the first value of
        the last region that no later one has: regions are written over each other, the largest first.
        """
        of = list(self.values.values())
        later = [{value for rest in of[number + 1 :] for value in rest} for number in range(len(of))]
        own = [next((v for v in values if v not in rest), values[0]) for values, rest in zip(of, later, strict=True)]
        values = [0, *(own[bits.bit_length() - 1] for bits in range(1, 2 ** len(of)))]
        for kind, lies_in in zip(class_values(self.kinds), self.table.T[1:], strict=True):
            values[sum(2**number for number, inside in enumerate(lies_in) if inside)] = kind[0]
        return torch.tensor(values)


class EncodeRegionsd(MapTransform):
    """Turn maps of kinds (1, *spatial), as :class:`EncodeLabelsd` makes them, into one map of 0 and 1 for each region.

    Args:
        keys: maps of kinds.
        regions: values in the label files by name of the region.

    >>> encode = EncodeRegionsd("label", {"WT": [1, 2, 4], "ET": 4})
    >>> encode({"label": torch.tensor([[0, 1, 2]])})["label"].tolist()  # 1: of the value 1 or 2; 2: of the value 4
    [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, keys: KeysCollection, regions: Labels) -> None:
        super().__init__(keys)
        self.table = Regions(regions).table

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            kinds = torch.as_tensor(out[key]).as_subclass(Tensor)[0].long()
            out[key] = self.table.to(kinds.device)[:, kinds]
        return out


class DecodeRegionsd(MapTransform):
    """Turn probabilities of regions (R, *spatial) into the values of the label files (1, *spatial).

    A voxel is in the regions of one half at least; see :attr:`Regions.written`.

    Args:
        keys: probabilities.
        regions: as for :class:`EncodeRegionsd`.

    >>> decode = DecodeRegionsd("pred", {"WT": [1, 2, 4], "TC": [1, 4], "ET": 4})
    >>> decode({"pred": torch.tensor([[0.1, 0.9, 0.9, 0.9], [0.0, 0.2, 0.8, 0.6], [0.0, 0.0, 0.1, 0.7]])})["pred"]
    tensor([[0., 2., 1., 4.]])
    """

    def __init__(self, keys: KeysCollection, regions: Labels) -> None:
        super().__init__(keys)
        self.written = Regions(regions).written

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            found = out[key]
            inside = torch.as_tensor(found).as_subclass(Tensor) >= 0.5
            bits = sum(part.long() << number for number, part in enumerate(inside))
            out[key] = torch.zeros_like(found[:1])
            out[key][0] = self.written.to(found)[bits]
        return out


__all__ = ["DecodeRegionsd", "EncodeRegionsd", "Regions"]
