"""Self-supervised methods, one file a paper."""

from monai_ssl.methods.base import Method
from monai_ssl.methods.moco import MoCo
from monai_ssl.methods.pcrlv2 import PCRLv2

__all__ = ["Method", "MoCo", "PCRLv2"]
