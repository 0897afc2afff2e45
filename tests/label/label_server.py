"""What MONAI Label 0.8.5 does with a bundle, without its server (``monailabel/tasks/{infer,train}/bundle.py``)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import monai.bundle
import torch
from monai.bundle import ConfigParser
from monai.transforms import SaveImaged


def config(bundle: Path, name: str) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / f"{name}.json"))
    parser.config["bundle_root"] = str(bundle)
    return parser


def infer(bundle: Path, image: Path) -> torch.Tensor:
    """Infer as a request does: the device is a string, transforms run one by one, and nothing is saved."""
    parser = config(bundle, "inference")
    parser.config["use_click"] = False
    parser.config["device"] = "cpu"
    network = parser.get_parsed_content("network_def")
    state = torch.load(bundle / "models/model.pt", weights_only=True)
    network.load_state_dict(state.get("model", state), strict=False)
    network.eval()
    data: dict[str, Any] = {"image": str(image), "device": "cpu"}
    for transform in parser.get_parsed_content("preprocessing").transforms:
        data = transform(data)
    with torch.no_grad():
        data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], network)[0]
    for transform in parser.get_parsed_content("postprocessing").transforms:
        if not isinstance(transform, SaveImaged):
            data = transform(data)
    return data["pred"]


def train(bundle: Path, cases: list[dict], validation: list[dict] | None, max_epochs: int, **more: Any) -> None:
    """Train as a request does."""
    overrides = {
        "bundle_root": str(bundle),
        "train#trainer#max_epochs": max_epochs,
        "train#dataset#data": cases,
        "device": "cpu",
        "train#handlers": handlers(bundle),
    }
    if validation is not None:
        overrides["validate#dataset#data"] = validation
    monai.bundle.run(
        run_id="run",
        init_id=None,
        final_id=None,
        meta_file=str(bundle / "configs/metadata.json"),
        config_file=str(bundle / "configs/train.json"),
        **overrides,
        **more,
    )


def handlers(bundle: Path) -> list[dict]:
    """Return the handlers of the bundle with the loader of ``models/model.pt`` that MONAI Label puts first."""
    found = copy.deepcopy(config(bundle, "train")["train"]["handlers"])
    model = bundle / "models/model.pt"
    if model.exists() and not any(handler["_target_"] == "CheckpointLoader" for handler in found):
        loader = {"_target_": "CheckpointLoader", "load_path": str(model), "load_dict": {"model": "$@network"}}
        found.insert(0, {**loader, "strict": False})
    return found
