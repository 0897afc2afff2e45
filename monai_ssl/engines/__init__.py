"""Ignite engines that train methods, and inference with what they trained."""

from monai_ssl.engines.inference import InferenceNetwork, WindowMeanInferer
from monai_ssl.engines.lars import LARS
from monai_ssl.engines.ssl_trainer import SSLTrainer

__all__ = ["LARS", "InferenceNetwork", "SSLTrainer", "WindowMeanInferer"]
