"""Self-supervised pre-training for medical images, native to MONAI."""

import sys

from monai_ssl.former_paths import FormerPaths

__version__ = "0.1.0"

sys.meta_path.append(FormerPaths)
