"""Registration of two images by their features: heads, and warping."""

from monai_ssl.networks.registration.heads import AffineHead, FlowHead
from monai_ssl.networks.registration.warp import affine_map, roughness, warp

__all__ = ["AffineHead", "FlowHead", "affine_map", "roughness", "warp"]
