"""Self-supervised methods, one file a paper."""

from monai_ssl.methods.barlow_twins import BarlowTwins
from monai_ssl.methods.base import Method
from monai_ssl.methods.byol import BYOL
from monai_ssl.methods.dira import DiRA
from monai_ssl.methods.moco import MoCo
from monai_ssl.methods.pcrlv2 import PCRLv2
from monai_ssl.methods.simsiam import SimSiam

__all__ = [
    "BYOL",
    "BarlowTwins",
    "DiRA",
    "Method",
    "MoCo",
    "PCRLv2",
    "SimSiam",
]
