"""``handoff --to nnunet``: a pre-trained residual encoder as a checkpoint for nnU-Net's fine-tuning.

Read by nnU-Net's `nnUNetv2_preprocess_like_nnssl` and `PretrainedTrainer`, in its master branch since July 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_ssl.files import atomic
from monai_ssl.networks import Encoder, ResidualEncoder
from monai_ssl.transfer import ModelCard, encoder_of, load_weights
from monai_ssl.transfer.nnunet_names import ENCODER, INPUTS, STEM, from_nnunet, to_nnunet
from monai_ssl.transfer.weights_file import read_checkpoint
from monai_ssl.zoo.handoff import card_of

_CLASS = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"


@dataclass(frozen=True)
class NnUNetHandOff:
    """What was written for nnU-Net.

    Args:
        path: of the checkpoint.
        tensors: of encoder and stem.
        entries: of the checkpoint; each tensor stands there twice.
        patch_size: voxels that nnU-Net will train on, in its order (z, y, x).
        warnings: where its images will differ from those of pre-training, in words.
    """

    path: Path
    tensors: int
    entries: int
    patch_size: tuple[int, ...]
    warnings: tuple[str, ...]


def hand_off_to_nnunet(weights: str | Path, path: str | Path) -> NnUNetHandOff:
    """Write a checkpoint of tensors and plain values that nnU-Net fine-tunes, and load it again as nnU-Net will.

    Stem and stages of the encoder go over, their kernels turned to nnU-Net's order of axes; decoder and head begin
    anew there. The same memory holds both names of a tensor.

    Args:
        weights: safetensors with a model card, of a 3-D :class:`monai_ssl.networks.ResidualEncoder` of any size, or
            the folder of the run that wrote them.
        path: of the checkpoint, ends in ``.pth``.

    Returns:
        Counts, patch size, and what will not match.

    Raises:
        ValueError: when the encoder is another one, or ``path`` cannot be used.
        FileNotFoundError: when there are no such weights.
    """
    weights, path = Path(weights), Path(path)
    weights = weights / "encoder.safetensors" if weights.is_dir() else weights
    if path.suffix != ".pth" or path.exists():
        raise ValueError(f"{path} must be a new file that ends in `.pth`: remove it, or choose another name.")
    card = card_of(weights)
    encoder = _residual(encoder_of(card, 3, card.channels))
    load_weights(encoder, weights)
    patch_size = _patch_size(encoder, card.window_size)
    checkpoint = {
        "network_weights": to_nnunet(encoder.state_dict()),
        "nnssl_adaptation_plan": _adaptation_plan(encoder, card, patch_size),
        "citations": [],
    }
    with atomic(path) as file:
        torch.save(checkpoint, file)
    entries = check_as_nnunet(path, encoder)
    return NnUNetHandOff(path, len(encoder.state_dict()), entries, patch_size, tuple(_differences(card, patch_size)))


def check_as_nnunet(path: Path, encoder: ResidualEncoder) -> int:
    """Load a checkpoint by nnU-Net's rule, nothing missing and nothing left, and compare it with ``encoder``.

    Returns:
        The number of entries, of encoder and stem.

    Raises:
        ValueError: when an entry is missing, left over, or holds another tensor.
    """
    checkpoint = read_checkpoint(path)
    kwargs = checkpoint["nnssl_adaptation_plan"]["architecture_plans"]["arch_kwargs"]
    with torch.device("meta"):
        planned = ResidualEncoder(
            3, encoder.in_channels, widths=kwargs["features_per_stage"], depths=kwargs["n_blocks_per_stage"]
        )
    wanted = {name: tuple(t.shape) for name, t in to_nnunet(planned.state_dict()).items()}
    stored: Mapping[str, Tensor] = checkpoint["network_weights"]
    wrong = wanted.items() ^ {name: tuple(t.shape) for name, t in stored.items()}.items()
    own, back = encoder.state_dict(), from_nnunet(stored) or {}
    unlike = [name for name, tensor in own.items() if name not in back or not torch.equal(back[name], tensor)]
    if wrong or unlike:
        names = sorted({*(name for name, _ in wrong), *unlike})
        raise ValueError(
            f"{path} would not be loaded whole by nnU-Net ({', '.join(names[:3])}); report this as a fault."
        )
    return len(stored)


def _residual(encoder: Encoder) -> ResidualEncoder:
    if not isinstance(encoder, ResidualEncoder):
        raise ValueError(
            f"nnU-Net cannot build a {type(encoder).__name__}: only `ResidualEncoder` (ResEnc) goes over. Pre-train it "
            "with `--encoder \"{'_target_': 'monai_ssl.networks.ResidualEncoder', 'size': 'L'}\"`."
        )
    return encoder


def _patch_size(encoder: Encoder, window: Sequence[int]) -> tuple[int, ...]:
    """The window of pre-training, or the nearest that nnU-Net can train on, in its order of axes."""
    least = 2 * encoder.strides[-1]
    nearest = encoder.nearest_size([max(side, least) for side in window or (160, 160, 160)])
    return tuple(reversed(nearest))


def _adaptation_plan(encoder: ResidualEncoder, card: ModelCard, patch_size: Sequence[int]) -> dict[str, Any]:
    seen = list(reversed(card.window_size)) or list(patch_size)
    spacing = None if card.spacing is None else [float(size) for size in reversed(card.spacing)]
    return {
        "architecture_plans": _architecture(encoder),
        "pretrain_plan": {
            "dataset_name": card.data_fingerprint,
            "plans_name": card.method,
            "configurations": {
                "onemmiso" if spacing == [1.0] * 3 else "pretrained": {"spacing": spacing, "patch_size": seen}
            },
        },
        "pretrain_num_input_channels": encoder.in_channels,
        "recommended_downstream_patchsize": list(patch_size),
        "key_to_encoder": ENCODER,
        "key_to_stem": STEM,
        "keys_to_in_proj": list(INPUTS),
        "key_to_lpe": None,
    }


def _architecture(encoder: ResidualEncoder) -> dict[str, Any]:
    stages = len(encoder.channels)
    classes = {
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "nonlin": "torch.nn.LeakyReLU",
    }
    kwargs = {
        "n_stages": stages,
        "features_per_stage": list(encoder.channels),
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * (stages - 1)],
        "n_blocks_per_stage": [len(stage) for stage in encoder.stages],  # type: ignore[arg-type]
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin_kwargs": {"inplace": True},
        **classes,
    }
    return {"arch_class_name": _CLASS, "arch_kwargs": kwargs, "arch_kwargs_requiring_import": list(classes)}


def _differences(card: ModelCard, patch_size: Sequence[int]) -> list[str]:
    sentences = []
    if card.normalize != "zscore":
        sentences.append(
            f"nnU-Net will z-score each volume, but pre-training saw intensities in [0, 1] ({dict(card.intensity)}, "
            f"normalize: {card.normalize}). The first instance norm takes out shift and scale, not what was clipped "
            "and what padding means; pre-train with `ZScored` at the end of the views for a faithful hand-off."
        )
    elif "'low'" in str(dict(card.intensity)):  # of one modality, or of each of several
        sentences.append(
            f"nnU-Net will z-score each whole volume without clipping; pre-training clipped to {dict(card.intensity)} "
            "and z-scored each window."
        )
    if tuple(reversed(patch_size)) != tuple(card.window_size):
        seen = " x ".join(map(str, card.window_size)) or "windows of a size that the card does not state"
        sentences.append(
            f"nnU-Net will train on {' x '.join(map(str, patch_size))} (z, y, x), the nearest size that its network "
            f"trains on; pre-training saw {seen} (x, y, z)."
        )
    if card.spacing is None:
        sentences.append("Pre-training kept the spacing of the scans: `-am like_pretrained` will take nnU-Net's own.")
    return sentences


__all__ = ["NnUNetHandOff", "check_as_nnunet", "hand_off_to_nnunet"]
