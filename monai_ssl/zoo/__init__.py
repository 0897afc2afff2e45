"""Bundles as things to hand on: pack them, hand pre-trained weights to an annotation server."""

from monai_ssl.zoo.archive import pack
from monai_ssl.zoo.handoff import hand_off

__all__ = ["hand_off", "pack"]
