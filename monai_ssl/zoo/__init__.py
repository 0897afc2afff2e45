"""Bundles as things to hand on: find them, pack them, hand pre-trained weights to an annotation server."""

from monai_ssl.zoo.archive import pack
from monai_ssl.zoo.folders import bundle_folder, shipped_bundles
from monai_ssl.zoo.handoff import hand_off

__all__ = ["bundle_folder", "hand_off", "pack", "shipped_bundles"]
