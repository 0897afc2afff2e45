"""Mixed precision (AMP): bfloat16 where the device has it, else float16 with a gradient scaler."""

from __future__ import annotations

import torch


def autocast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device computes in it, else float16; always bfloat16 on a CPU."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16


def needs_scaler(device: torch.device) -> bool:
    """Whether gradients in half precision would underflow on this device without a scaler."""
    return device.type == "cuda" and autocast_dtype(device) is torch.float16
