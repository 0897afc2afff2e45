"""Bundles as things to hand on: pack them, hand pre-trained weights to an annotation server."""

from monai_ssl.zoo.archive import pack
from monai_ssl.zoo.handoff import hand_off
from monai_ssl.zoo.scaffold import new_method

__all__ = ["hand_off", "new_method", "pack"]
