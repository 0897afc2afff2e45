"""Pre-training dataset, collate function and DataLoader: random crops of scans, reproducible with any worker count."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Randomizable
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from monai_ssl.data.stream import SampleStream


class WindowDataset(Dataset):
    """Scans, each seen several times an epoch through random crops.

    What is drawn for a sample follows from ``seed`` and its position in the stream alone: it does not depend on the
    number of workers and needs no state to continue. ``"index"`` of a sample is its scan and window slot as one number
    in [0, len(dataset)), the same in every epoch: row of a memory bank, seed of a fixed mask.

    Args:
        scans: what the crops get under ``"image"``: anything with ``shape`` (C, *spatial) and slicing.
        crops: MONAI dictionary transforms, applied in turn.
        seed: of all draws.
        windows_per_scan: samples of each scan in an epoch.
        fixed: draw the windows of each scan once and show the same ones in every epoch, as code does that cuts them
            to files beforehand.

    Raises:
        ValueError: when there are no scans.

    >>> from monai_ssl.transforms import RandWindowCropd
    >>> scans = [torch.rand(1, 20, 20, 20), torch.rand(1, 30, 20, 25)]
    >>> windows = WindowDataset(scans, [RandWindowCropd("image", (8, 8, 8))], windows_per_scan=3)
    >>> len(windows), windows[0]["view"].shape
    (6, torch.Size([1, 8, 8, 8]))
    >>> windows[4]["index"], windows[4]["scan"]
    (4, '0')
    >>> torch.equal(windows[4]["view"], windows[4]["view"])  # seed and position decide
    True
    """

    def __init__(
        self,
        scans: Sequence[Any],
        crops: Sequence[Callable],
        seed: int = 0,
        windows_per_scan: int = 1,
        *,
        fixed: bool = False,
    ) -> None:
        if not len(scans):
            raise ValueError("There is no scan to train on: the store is empty or the split left nothing.")
        self.data = scans
        self.crops = list(crops)
        self.seed, self.windows_per_scan, self.fixed = seed, windows_per_scan, fixed

    def __len__(self) -> int:
        return len(self.data) * self.windows_per_scan

    def __getitem__(self, item: int | tuple[int, int]) -> dict[Hashable, Any]:
        position, index = item if isinstance(item, tuple) else (item, item)
        position = index if self.fixed else position
        scan = self.data[index % len(self.data)]
        state = np.random.RandomState(np.random.SeedSequence([self.seed, position]).generate_state(4))
        sample: dict[Hashable, Any] = {"image": scan}
        for crop in self.crops:
            if isinstance(crop, Randomizable):
                crop.set_random_state(state=state)
            sample = crop(sample)
        sample.pop("image", None)
        sample["scan"] = getattr(scan, "key", str(index % len(self.data)))
        sample["index"] = index % len(self)
        return sample


def collate_views(samples: Sequence[Mapping[Hashable, Any]]) -> dict[Hashable, Any]:
    """Stack the samples of a batch; lists of images, such as local views, are joined sample-major.

    Returns:
        Tensors (B, C, *spatial) for images, (B * L, C, *spatial) for lists of L images; lists of strings as they are.
    """
    batch: dict[Hashable, Any] = {}
    for key, first in samples[0].items():
        values = [sample[key] for sample in samples]
        if isinstance(first, list):
            batch[key] = torch.stack([_plain(image) for images in values for image in images])
        elif isinstance(first, Tensor):
            batch[key] = torch.stack([_plain(image) for image in values])
        elif isinstance(first, str):
            batch[key] = values
        else:
            batch[key] = default_collate(values)
    return batch


class WindowLoader(DataLoader):
    """A loader that says why a process which reads scans was killed, as far as the scans show it."""

    def __iter__(self) -> Any:
        try:
            yield from super().__iter__()
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ValueError(f"{str(error).splitlines()[0].rstrip('.')}: {self._reason()}") from error

    def _reason(self) -> str:
        scans = (getattr(scan, "scan", scan) for scan in getattr(self.dataset, "data", ()))
        damaged = [(scan, damage) for scan in scans if hasattr(scan, "damage") and (damage := scan.damage())]
        found = {scan.key: damage for scan, damage in damaged}
        if not found:
            return "mostly for want of memory; lower `num_workers` or `batch_size`, then continue with `--resume true`."
        told = ", ".join(f"scan {key} {damage}" for key, damage in list(found.items())[:5])
        return f"{told}; {damaged[0][0].files.advice}, then continue with `--resume true`."


def endless_loader(
    dataset: Dataset,
    batch_size: int,
    num_workers: int = 0,
    *,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> DataLoader:
    """A loader that never ends an epoch; its length says how many batches count as one.

    Args:
        dataset: usually a :class:`WindowDataset`.
        batch_size: of one process.
        num_workers: loader processes; 0 loads in the training process.
        seed: of the order.
        rank: of this process.
        world_size: number of processes.
        pin_memory: page-locked batches, for a GPU.
    """
    stream = SampleStream(len(dataset), batch_size, seed, rank, world_size)  # type: ignore[arg-type]
    return WindowLoader(
        dataset,
        batch_sampler=stream,
        num_workers=num_workers,
        collate_fn=collate_views,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
    )


def _plain(x: Tensor) -> Tensor:
    return x.as_tensor() if isinstance(x, MetaTensor) else x
