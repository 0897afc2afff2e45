"""Bundles as things to hand on: pack them, hand pre-trained weights to an annotation server or to nnU-Net."""

from monai_ssl.zoo.archive import pack
from monai_ssl.zoo.handoff import hand_off
from monai_ssl.zoo.nnunet import NnUNetHandOff, hand_off_to_nnunet
from monai_ssl.zoo.scaffold import new_method

__all__ = ["NnUNetHandOff", "hand_off", "hand_off_to_nnunet", "new_method", "pack"]
