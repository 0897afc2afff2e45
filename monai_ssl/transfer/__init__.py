"""Take what was learned without labels to a task with labels."""

from monai_ssl.transfer.account import LoadAccount
from monai_ssl.transfer.card import ModelCard, package_versions, read_card
from monai_ssl.transfer.export import export_weights, hash_tensors
from monai_ssl.transfer.inflate import inflate_channels
from monai_ssl.transfer.load import load_weights

__all__ = [
    "LoadAccount",
    "ModelCard",
    "export_weights",
    "hash_tensors",
    "inflate_channels",
    "load_weights",
    "package_versions",
    "read_card",
]
