"""Self-supervised pre-training for medical images, native to MONAI."""

__version__ = "0.1.0"
