"""TOWER's mask for fundus images: rays from the optic disc.

Chen, Li, Chen, Luo, "A Knowledge-based Learning Framework for Self-supervised Pre-training Towards Enhanced Recognition
of Medical Images" (TOWER), 2022, Sec. III-B2. https://arxiv.org/abs/2211.14715
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.transforms.base import Params, plain
from monai_ssl.transforms.masks.knowledge_masks import RandKnowledgeMask
from monai_ssl.transforms.masks.rays import ball_mask, brightest, ray_ends, ray_mask, ray_offsets


class RandRaysMaskd(RandKnowledgeMask):
    """Hide rays from the brightest point to the border: TOWER's mask for fundus, whose vessels leave the optic disc.

    Parameters drawn: ``ends`` of the rays (B, num_rays, D) in voxels. Found: their ``origin`` (B, D). Fixed:
    ``thickness`` (B,), ``radius`` (B,) and ``offsets`` (B, N, D), the steps from a ray to the voxels that it covers.

    Args:
        keys: images to mask alike.
        num_rays: on all borders together; the paper's best is 80. TOWER's code counts them for each border.
        origin_key: image whose brightest point is the origin, one that keeps its intensities; ``None`` for the first
            of ``keys``.
        thickness: of a ray in voxels; ``None`` for 4 in an image whose shorter side is 512, and in proportion, at
            least 1. Rays cover far less of a volume: there, give a larger one.
        origin_radius: of a ball that is hidden around the origin, in voxels.
        blur_sigma: width of the blur before the brightest point is searched, in voxels; ``None`` for 3.5 in an image
            whose shorter side is 512, and in proportion.
        prob: see :class:`RandKnowledgeMask`.
        visible_key: see :class:`RandKnowledgeMask`.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> import torch
    >>> fundus = torch.rand(1, 64, 64) * 0.5
    >>> fundus[:, 30:34, 20:24] = 1.0  # the optic disc, where the rays begin
    >>> out = RandRaysMaskd("image", num_rays=16)({"image": fundus})["image"]
    >>> int(out[0, 30:34, 20:24].min()), bool((out > 0).any())
    (0, True)
    """

    def __init__(
        self,
        keys: KeysCollection,
        num_rays: int = 80,
        origin_key: str | None = None,
        *,
        thickness: float | None = None,
        origin_radius: float = 0.0,
        blur_sigma: float | None = None,
        prob: float = 1.0,
        visible_key: str | None = None,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, visible_key, params_key, allow_missing_keys)
        check_interval("[1, inf)", num_rays=num_rays, thickness=thickness)
        check_interval("[0, inf)", origin_radius=origin_radius, blur_sigma=blur_sigma)
        self.num_rays = num_rays
        self.thickness = thickness
        self.origin_radius = origin_radius
        self.blur_sigma = blur_sigma
        self.origin_key = self.image_keys[0] if origin_key is None else origin_key
        self.reads = (str(self.origin_key),)

    def draw(self, shape: tuple[int, ...]) -> Params:
        spatial = shape[1:]
        thickness = max(1, round(4 * min(spatial) / 512)) if self.thickness is None else self.thickness
        return {
            "ends": ray_ends(self.R, self.num_rays, spatial),
            "thickness": float(thickness),
            "radius": float(self.origin_radius),
            "offsets": ray_offsets(thickness, len(spatial)),
        }

    def measure(self, data: Mapping[Hashable, Any]) -> Params:
        if self.origin_key not in data:
            raise KeyError(
                f"`RandRaysMaskd` looks for the origin of its rays in `{self.origin_key}`, which the batch lacks; keep "
                "the untransformed image by `Snapshotd` or leave `origin_key` out."
            )
        image = plain(data[self.origin_key])
        sigma = 3.5 * min(image.shape[2:]) / 512 if self.blur_sigma is None else self.blur_sigma
        return {"origin": brightest(image, sigma)}

    @staticmethod
    def prepare(params: Params, spatial: Sequence[int]) -> Params:
        rays = ray_mask(params["origin"], params["ends"], params["thickness"], params["offsets"], spatial)
        return {"hidden": rays | ball_mask(params["origin"], params["radius"], spatial)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        return x.masked_fill(params["hidden"], 0.0)
