"""Ignite engines that train methods."""

from monai_ssl.engines.ssl_trainer import SSLTrainer

__all__ = ["SSLTrainer"]
