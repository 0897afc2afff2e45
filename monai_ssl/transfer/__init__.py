"""Take what was learned without labels to a task with labels."""

from monai_ssl.transfer.account import LoadAccount
from monai_ssl.transfer.adopt import adopt
from monai_ssl.transfer.card import ModelCard, package_versions, read_card
from monai_ssl.transfer.distillation import DistillationLoss, TeacherTargets, teacher_file
from monai_ssl.transfer.encoders import encoder_of, matching_encoder, paper_encoder
from monai_ssl.transfer.export import export_weights, hash_tensors
from monai_ssl.transfer.finetune import FinetuneScheme, parameter_groups, polynomial_decay
from monai_ssl.transfer.inflate import inflate_channels
from monai_ssl.transfer.load import load_weights
from monai_ssl.transfer.preprocess import ScaleIntensityAsTrainedd, ScaleIntensityByPresetd, SetChannelsd
from monai_ssl.transfer.scan_features import scan_features, trained_encoder
from monai_ssl.transfer.start import start_from

__all__ = [
    "DistillationLoss",
    "FinetuneScheme",
    "LoadAccount",
    "ModelCard",
    "ScaleIntensityAsTrainedd",
    "ScaleIntensityByPresetd",
    "SetChannelsd",
    "TeacherTargets",
    "adopt",
    "encoder_of",
    "export_weights",
    "hash_tensors",
    "inflate_channels",
    "load_weights",
    "matching_encoder",
    "package_versions",
    "paper_encoder",
    "parameter_groups",
    "polynomial_decay",
    "read_card",
    "scan_features",
    "start_from",
    "teacher_file",
    "trained_encoder",
]
