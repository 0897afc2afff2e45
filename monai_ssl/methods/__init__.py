"""Self-supervised methods, one file a paper."""

from monai_ssl.methods.aligned import Aligned
from monai_ssl.methods.autoencoder import AutoEncoder
from monai_ssl.methods.barlow_twins import BarlowTwins
from monai_ssl.methods.base import Method, Restores, SharesFeatures
from monai_ssl.methods.byol import BYOL
from monai_ssl.methods.c2l import C2L
from monai_ssl.methods.cmc import CMC
from monai_ssl.methods.cpc import CPC
from monai_ssl.methods.cross_contrast import CrossContrast
from monai_ssl.methods.cube_plus_plus import CubePlusPlus
from monai_ssl.methods.deepcluster import DeepCluster
from monai_ssl.methods.dinov2 import DINOv2
from monai_ssl.methods.dira import DiRA
from monai_ssl.methods.exemplar import Exemplar
from monai_ssl.methods.gvsl import GVSL
from monai_ssl.methods.infomin import InfoMin
from monai_ssl.methods.insdis import InsDis
from monai_ssl.methods.intra_scan import IntraScan
from monai_ssl.methods.jigsaw import Jigsaw
from monai_ssl.methods.mae import MAE
from monai_ssl.methods.mae_vit import MAEViT
from monai_ssl.methods.moco import MoCo
from monai_ssl.methods.models_genesis import ModelsGenesis
from monai_ssl.methods.pcl import PCL
from monai_ssl.methods.pcrlv1 import PCRLv1
from monai_ssl.methods.pcrlv2 import PCRLv2
from monai_ssl.methods.pirl import PIRL
from monai_ssl.methods.relative_location import RelativeLocation
from monai_ssl.methods.rotation import Rotation
from monai_ssl.methods.rubik import Rubik
from monai_ssl.methods.rubik_plus import RubikPlus
from monai_ssl.methods.simclr import SimCLR
from monai_ssl.methods.simmim import SimMIM
from monai_ssl.methods.simsiam import SimSiam
from monai_ssl.methods.smit import SMIT
from monai_ssl.methods.spark import Spark
from monai_ssl.methods.swav import SwAV
from monai_ssl.methods.swin_unetr_ssl import SwinUNETRSSL
from monai_ssl.methods.tower import TOWER
from monai_ssl.methods.transvw import TransVW
from monai_ssl.methods.vicreg import VICReg
from monai_ssl.methods.vicregl import VICRegL
from monai_ssl.methods.voco import VoCo
from monai_ssl.methods.volume_fusion import VolumeFusion

__all__ = [
    "Aligned",
    "AutoEncoder",
    "BarlowTwins",
    "BYOL",
    "C2L",
    "CMC",
    "CPC",
    "CrossContrast",
    "CubePlusPlus",
    "DeepCluster",
    "DINOv2",
    "DiRA",
    "Exemplar",
    "GVSL",
    "IntraScan",
    "InfoMin",
    "InsDis",
    "Jigsaw",
    "MAE",
    "MAEViT",
    "Method",
    "MoCo",
    "ModelsGenesis",
    "PCL",
    "PCRLv1",
    "PCRLv2",
    "PIRL",
    "RelativeLocation",
    "Restores",
    "Rotation",
    "Rubik",
    "RubikPlus",
    "SharesFeatures",
    "SimCLR",
    "SimMIM",
    "SimSiam",
    "SMIT",
    "Spark",
    "SwinUNETRSSL",
    "SwAV",
    "TOWER",
    "TransVW",
    "VICReg",
    "VICRegL",
    "VoCo",
    "VolumeFusion",
]
