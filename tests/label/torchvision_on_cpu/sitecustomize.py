"""On PYTHONPATH, lets torchvision's CUDA build import beside a CPU build of torch, in the server and its children.

MONAI Label imports torchvision, whose compiled operators cannot be loaded without CUDA's libraries; their mere names
are enough for the Python parts that MONAI Label uses.
"""

import torch

if torch.version.cuda is None:
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
