"""What the JSON of bundles names: the factories that assemble a run."""

from monai_ssl.bundle.finetuning import begin_run, finetuned, model_folder
from monai_ssl.bundle.inference import Inference, images, load_method
from monai_ssl.bundle.pretraining import Pretraining, StandardHandlers
from monai_ssl.bundle.run import device, has_fast_half, root_scaled_lr, scaled_lr, setup

__all__ = [
    "Inference",
    "Pretraining",
    "StandardHandlers",
    "begin_run",
    "device",
    "finetuned",
    "has_fast_half",
    "images",
    "load_method",
    "model_folder",
    "root_scaled_lr",
    "scaled_lr",
    "setup",
]
