"""Take what was learned without labels to a task with labels."""

from monai_ssl.transfer.account import LoadAccount
from monai_ssl.transfer.augmentation import AUGMENTATION_LEVELS, AugmentationLevel, augmentations
from monai_ssl.transfer.card import ModelCard, package_versions, read_card
from monai_ssl.transfer.classification import decisions
from monai_ssl.transfer.downstream import classifier, segmenter, start_from
from monai_ssl.transfer.encoders import encoder_of, matching_encoder, paper_encoder
from monai_ssl.transfer.export import export_weights, hash_tensors
from monai_ssl.transfer.finetune import FinetuneScheme, parameter_groups
from monai_ssl.transfer.inflate import inflate_channels
from monai_ssl.transfer.labels import DecodeLabelsd, EncodeLabelsd
from monai_ssl.transfer.load import load_weights
from monai_ssl.transfer.preprocess import ScaleIntensityByPresetd, SetChannelsd
from monai_ssl.transfer.record import SupervisedRecord
from monai_ssl.transfer.scan_features import scan_features, trained_encoder
from monai_ssl.transfer.unvalidated import SaveUnvalidated

__all__ = [
    "AUGMENTATION_LEVELS",
    "AugmentationLevel",
    "DecodeLabelsd",
    "EncodeLabelsd",
    "FinetuneScheme",
    "LoadAccount",
    "ModelCard",
    "SaveUnvalidated",
    "ScaleIntensityByPresetd",
    "SetChannelsd",
    "SupervisedRecord",
    "augmentations",
    "classifier",
    "decisions",
    "encoder_of",
    "export_weights",
    "hash_tensors",
    "inflate_channels",
    "load_weights",
    "matching_encoder",
    "package_versions",
    "paper_encoder",
    "parameter_groups",
    "read_card",
    "scan_features",
    "segmenter",
    "start_from",
    "trained_encoder",
]
