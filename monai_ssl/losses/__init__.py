"""Objectives: small functions and modules, in float32 under autocast."""

from monai_ssl.losses.adversarial import discriminator_loss, generator_loss
from monai_ssl.losses.barlow_twins import barlow_twins
from monai_ssl.losses.cosine import symmetric_cosine
from monai_ssl.losses.gather import gather, gather_keys
from monai_ssl.losses.info_nce import FeatureQueue, info_nce
from monai_ssl.losses.instance_contrast import InstanceContrast
from monai_ssl.losses.kmeans import check_clusters, spherical_kmeans
from monai_ssl.losses.koleo import koleo
from monai_ssl.losses.masked_error import explained, masked_error
from monai_ssl.losses.masked_mean import masked_mean
from monai_ssl.losses.memory_bank import MemoryBank
from monai_ssl.losses.nt_xent import nt_xent
from monai_ssl.losses.sinkhorn import sinkhorn
from monai_ssl.losses.vicreg import vicreg

__all__ = [
    "FeatureQueue",
    "InstanceContrast",
    "MemoryBank",
    "barlow_twins",
    "check_clusters",
    "discriminator_loss",
    "explained",
    "gather",
    "gather_keys",
    "generator_loss",
    "info_nce",
    "koleo",
    "masked_error",
    "masked_mean",
    "nt_xent",
    "sinkhorn",
    "spherical_kmeans",
    "symmetric_cosine",
    "vicreg",
]
