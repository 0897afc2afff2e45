"""Acceptance properties A1-A14 of the PCRLv1 specification, and PCRL-1 to PCRL-4 of the study's."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser

from monai_ssl.losses import info_nce
from monai_ssl.methods import PCRLv1
from monai_ssl.methods.pcrlv1 import BRANCHES
from monai_ssl.networks import ConvEncoder, ResNetEncoder, RestorationUNet, SkipUNet, batch_to_group_norm
from monai_ssl.transforms import Orientation

SMALL = {
    "pretrain": {
        "crops#0#sizes": [[16, 16, 16], [20, 20, 20]],
        "disturb#0#sigma": [0, 1],
        "network_def#queue_size": 16,
    },
    "pretrain_2d": {"cutout#0#size": 8, "network_def#queue_size": 16},
}
MOVES = {
    "contrast": ("network.encoder.", "projector."),
    "restore_online": ("network.encoder.", "network.decoder.", "network.head.", "attention."),
    "restore_momentum": ("network.decoder.", "network.head.", "attention."),
    "restore_hybrid": ("network.encoder.", "network.decoder.", "network.head.", "attention."),
}
