"""What the JSON of bundles names: the factories that assemble a run."""

from monai_ssl.bundle.inference import Inference, images, load_method
from monai_ssl.bundle.pretraining import Pretraining, StandardHandlers
from monai_ssl.bundle.run import device, has_fast_half, scaled_lr, setup

__all__ = [
    "Inference",
    "Pretraining",
    "StandardHandlers",
    "device",
    "has_fast_half",
    "images",
    "load_method",
    "scaled_lr",
    "setup",
]
