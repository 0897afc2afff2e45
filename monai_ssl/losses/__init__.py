"""Objectives: small functions and modules, in float32 under autocast."""

from monai_ssl.losses.adversarial import discriminator_loss, generator_loss
from monai_ssl.losses.barlow_twins import barlow_twins
from monai_ssl.losses.cosine import symmetric_cosine
from monai_ssl.losses.gather import gather, gather_keys
from monai_ssl.losses.info_nce import FeatureQueue, info_nce
from monai_ssl.losses.nt_xent import nt_xent

__all__ = [
    "FeatureQueue",
    "barlow_twins",
    "discriminator_loss",
    "gather",
    "gather_keys",
    "generator_loss",
    "info_nce",
    "nt_xent",
    "symmetric_cosine",
]
