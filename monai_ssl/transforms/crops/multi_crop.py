"""Multi-crop and random resized crop, 2-D and 3-D: a few large crops and many small ones.

The cropping of Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, https://arxiv.org/abs/1409.4842, in two
resolutions as in Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
NeurIPS 2020, https://arxiv.org/abs/2006.09882.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from monai_ssl.arguments import check_choice, check_interval, check_range
from monai_ssl.transforms.crops.boxes import Box, bounding_box
from monai_ssl.transforms.crops.cut import read_window, resize, spatial_shape, with_channels
from monai_ssl.transforms.crops.placement import Margin, check_margin, region_inside

_TRIES = 10


class RandMultiCropd(Randomizable, MapTransform):
    """Multi-crop: random resized crops of a scan, a few large ones and many small ones, in 2-D and 3-D.

    A window covers a share of the image drawn uniformly from ``scale``. The aspect of its axes is that of the output,
    times a distortion drawn log-uniformly from ``ratio`` between each axis and the next. Ten windows are drawn, the
    first that fits into the image is placed uniformly; when none fits, the first is shortened to the image.
    Only the windows themselves are read. The scan itself is not passed on.

    Args:
        key: the scan: has ``shape`` (C, *spatial), and slicing reads a window in [0, 1]; a tensor will do.
        out_size: voxels of the large crops; 2-D or 3-D.
        scale: least and largest share of the image that a large crop covers, in (0, 1].
        ratio: least and largest distortion of the aspect.
        num_views: large crops.
        num_locals: small crops; 0 for none.
        local_out_size: voxels of the small crops.
        local_scale: as ``scale``, for the small crops.
        locals_from: ``"scan"`` cuts them from anywhere (multi-crop), ``"views"`` from the box around the large crops,
            to which they are shortened (sub-crop, row 6 of table 3 of the PCRLv2 paper).
        margin: what of the scan counts as the image, see :class:`monai_ssl.transforms.RandWindowCropd`.
        channels: repeat an image of one channel to so many; ``None`` leaves the channels as they are.
        names: prefix of the keys of the large crops ("view" makes "view1", "view2", but "view" when there is only
            one), key of the list of small crops.
        params_key: where to put what was cut: ``starts`` and ``sizes`` (num_views, D), ``local_starts`` and
            ``local_sizes`` (num_locals, D).

    Returns:
        The sample without ``key``, with float32 tensors (C, *out_size) and a list of float32 tensors
        (C, *local_out_size).

    Raises:
        ValueError: when a number is outside its range, or a scan has another number of axes than ``out_size``, fewer
            than 8 voxels along one, or channels that cannot become ``channels``.

    >>> import torch
    >>> crop = RandMultiCropd("image", out_size=(32, 32), num_locals=3, local_out_size=(16, 16))
    >>> out = crop({"image": torch.rand(1, 100, 80)})
    >>> out["view1"].shape, out["view2"].shape, [tuple(x.shape) for x in out["locals"]]
    (torch.Size([1, 32, 32]), torch.Size([1, 32, 32]), [(1, 16, 16), (1, 16, 16), (1, 16, 16)])
    """

    def __init__(
        self,
        key: str,
        out_size: Sequence[int] = (224, 224),
        scale: Sequence[float] = (0.3, 1.0),
        *,
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        num_views: int = 2,
        num_locals: int = 6,
        local_out_size: Sequence[int] = (96, 96),
        local_scale: Sequence[float] = (0.05, 0.3),
        locals_from: str = "scan",
        margin: Margin = 0,
        channels: int | None = None,
        names: Sequence[str] = ("view", "locals"),
        params_key: str | None = None,
    ) -> None:
        super().__init__((key,))
        check_interval("[1, inf)", num_views=num_views)
        check_interval("[0, inf)", num_locals=num_locals)
        self.large = _Windows("", out_size, scale, ratio)
        self.small = _Windows("local_", local_out_size, local_scale, ratio) if num_locals else None
        if self.small and len(self.small.out_size) != len(self.large.out_size):
            raise ValueError(
                f"`out_size` {self.large.out_size} and `local_out_size` {self.small.out_size} differ in their axes."
            )
        check_choice(("scan", "views"), locals_from=locals_from)
        self.locals_from, self.margin = locals_from, check_margin(margin, len(self.large.out_size))
        self.num_views = num_views
        self.num_locals = num_locals
        self.channels = channels
        if len(names) != 2:
            raise ValueError(
                f"`names` must be the prefix of the large crops and the key of the small ones, got {list(names)}."
            )
        self.view_prefix, self.locals_name = names
        self.params_key = params_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            scan = out.pop(key)
        shape = spatial_shape(scan, len(self.large.out_size), type(self).__name__)
        everywhere = region_inside(self.margin, scan, shape)
        if everywhere.size.min() < 1:
            raise ValueError(f"`margin` leaves nothing of a scan of {shape.tolist()} voxels.")
        shape = everywhere.size
        views = [self.large.draw(everywhere, shape, self.R) for _ in range(self.num_views)]
        for number, box in enumerate(views, 1):
            name = self.view_prefix if self.num_views == 1 else f"{self.view_prefix}{number}"
            out[name] = self._cut(scan, box, self.large.out_size)
        report = {"starts": np.stack([box.start for box in views]), "sizes": np.stack([box.size for box in views])}
        if self.small:
            around = reduce(bounding_box, views) if self.locals_from == "views" else everywhere
            boxes = [self.small.draw(around, shape, self.R) for _ in range(self.num_locals)]
            out[self.locals_name] = [self._cut(scan, box, self.small.out_size) for box in boxes]
            report["local_starts"] = np.stack([box.start for box in boxes])
            report["local_sizes"] = np.stack([box.size for box in boxes])
        if self.params_key is not None:
            out[self.params_key] = report
        return out

    def _cut(self, scan: Any, box: Box, out_size: tuple[int, ...]) -> Tensor:
        return with_channels(resize(read_window(scan, box), out_size), self.channels)


class _Windows:
    """How large and how distorted the windows of one kind of crop are, and to which size they are resized."""

    def __init__(self, prefix: str, out_size: Sequence[int], scale: Sequence[float], ratio: Sequence[float]) -> None:
        if len(out_size) not in (2, 3) or min(out_size) < 1:
            raise ValueError(f"`{prefix}out_size` must be 2 or 3 positive numbers of voxels, got {list(out_size)}.")
        self.out_size = tuple(out_size)
        self.scale = check_range(f"{prefix}scale", scale, "(0, 1]")
        self.log_ratio = np.log(check_range("ratio", ratio, "(0, inf)"))

    def draw(self, inside: Box, shape: np.ndarray, random: np.random.RandomState) -> Box:
        """Draw a window of a share of ``shape`` that lies ``inside`` a box of it."""
        dims = len(shape)
        volume = shape.prod() * random.uniform(self.scale[0], self.scale[1], size=(_TRIES, 1))
        steps = random.uniform(self.log_ratio[0], self.log_ratio[1], size=(_TRIES, dims - 1))
        aspect = np.log(self.out_size) - np.cumsum(np.pad(steps, ((0, 0), (1, 0))), axis=1)
        aspect -= aspect.mean(axis=1, keepdims=True)
        sizes = np.maximum(np.rint(volume ** (1 / dims) * np.exp(aspect)).astype(np.int64), 1)
        fitting = np.flatnonzero((sizes <= shape).all(axis=1))
        size = np.minimum(sizes[fitting[0] if len(fitting) else 0], inside.size)
        return Box(random.randint(inside.start, inside.stop - size + 1), size)
