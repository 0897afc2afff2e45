"""Key maps of state dicts published by the papers' authors to the encoders of this package."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from monai_ssl.transfer.nnunet_names import from_nnunet
from monai_ssl.transfer.primus_names import from_primus

# released PCRLv1/PCRLv2 3-D weights: stages down_tr64, down_tr128, ... of two operations each
_PCRL_3D = re.compile(r"(?:^|\.)down_tr(\d+)\.ops\.([01])\.(conv|bn)1\.(\w+)$")
# torchvision's layout, also of the released PCRLv1/PCRLv2 2-D weights
_SWIN = "patch_embed.proj.weight"
_RESNET = re.compile(r"^(?:encoder\.)?((?:conv1|bn1|layer[1-4]\.\d+\.(?:conv\d|bn\d|downsample\.\d))\.\w+)$")


def translate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the encoder's tensors under this package's names, or ``None`` when no known layout is recognized.

    Known are the 3-D encoders of the released PCRLv1 and PCRLv2 weights, ResNets in torchvision's layout, residual
    encoders of nnU-Net and nnssl, and their Primus. Decoders and heads of such files are left out, since only the
    encoder is transferred. Files of MONAI's Swin UNETR SSL get the names of MONAI's class, see
    :func:`monai_ssl.transfer.monai_names.as_in`.

    Raises:
        ValueError: when a file holds several such encoders.
    """
    return _pcrl_3d(tensors) or _resnet(tensors) or from_nnunet(tensors) or from_primus(tensors) or _swin(tensors)


def _pcrl_3d(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    found = {name: match for name in tensors if (match := _PCRL_3D.search(name))}
    widths = sorted({int(match[1]) for match in found.values()})
    kinds = {"conv": "conv", "bn": "norm"}
    ours = {
        f"stages.{widths.index(int(match[1]))}.{kinds[match[3]]}{int(match[2]) + 1}.{match[4]}": tensors[name]
        for name, match in found.items()
    }
    if len(ours) < len(found):
        raise ValueError("The file holds several encoders of PCRL (student and momentum?); save the one to load alone.")
    return ours or None


def _resnet(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    found = {name: match for name in tensors if (match := _RESNET.match(name))}
    if not any(match[1].startswith("layer4.") for match in found.values()):
        return None
    return {f"net.{match[1]}": tensors[name] for name, match in found.items()}


def _swin(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Releases with own names: `model_swinvit.pt` (`fc1`) and `ssl_pretrained_weights.pth` (`layers1.0.0.`)."""
    if not any(name.endswith(_SWIN) for name in tensors):
        return None
    renamed = {re.sub(r"\.mlp\.fc([12])\.", r".mlp.linear\1.", name): tensor for name, tensor in tensors.items()}
    renamed = {re.sub(r"(layers\d\.0\.)\d\.(?=blocks|downsample)", r"\1", n): t for n, t in renamed.items()}
    return renamed if renamed.keys() != tensors.keys() else None
