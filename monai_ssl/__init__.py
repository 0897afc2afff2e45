"""Self-supervised pre-training for medical images, native to MONAI."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from monai_ssl.former_paths import FormerPaths

__version__ = "0.1.0"
_FUNCTIONS = "embed evaluate finetune list_methods list_networks list_tasks load_encoder prepare pretrain"
_PUBLIC = dict.fromkeys(_FUNCTIONS.split(), "monai_ssl.api")
_PUBLIC |= {"Store": "monai_ssl.store", "ModelCard": "monai_ssl.transfer", "read_card": "monai_ssl.transfer"}

sys.meta_path.append(FormerPaths)


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: nothing heavy is needed to say the version."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'monai_ssl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
