"""README of a bundle that was handed off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_ssl.transfer import ModelCard


def handed_readme(name: str, settings: Mapping[str, Any], card: ModelCard) -> str:
    """Return ``docs/README.md`` of a handed-off bundle.

    Args:
        name: of the bundle.
        settings: of the bundle: ``labels``, with their values, and ``modality``.
        card: of the pre-trained weights.
    """
    values = "\n".join(f"| {value} | {label} |" for label, value in settings["labels"].items())
    return f"""# {name}

## Model Overview
A U-Net with skip connections that segments {", ".join(settings["labels"])}. Its encoder was pre-trained without
labels by {card.method} (`models/pretrained/MODEL_CARD.md`). **The decoder is untrained: predictions mean nothing until
the bundle was trained.**

## Data
Volumes ({settings["modality"]}) and label files of equal shape, with these values:

| value | structure |
|---|---|
| 0 | background |
{values}

## Annotation with MONAI Label
In the folder above `model`, the one that holds this bundle:
```
monailabel start_server --app . --studies STUDIES --conf models {name} --conf zoo_source local --conf sam2 false
```
`zoo_source local` keeps the server from asking the internet for the bundle; `monai_ssl` must be installed where the
server runs. Annotate a few scans and train from the viewer. Where nothing is left to validate on (one scan, or a
validation share of 0), the last epoch is kept, else the best. `models/model.pt` is served, trained
further and replaced; to start again from the pre-trained encoder, delete it and train (the server itself needs it when
it starts; `init_model` below writes a new one). Leave "pretrained" on: MONAI Label 0.8.5 fails without.

## MONAI Bundle Commands
```
python -m monai.bundle run --config_file configs/train.json --bundle_root . --dataset_dir DATA
python -m monai.bundle run --config_file configs/inference.json --bundle_root . --dataset_dir FOLDER_OF_IMAGES
python -m monai.bundle run init_model --config_file configs/train.json --bundle_root .
```
`DATA` holds `imagesTr` and `labelsTr` with equal file names. All options stand at the top of `configs/train.json`; what
also stands in `configs/inference.json` must be alike in both. A training keeps the former model in `eval/earlier`.

## License
Research only, not for clinical use. Code: Apache-2.0. Data of the pre-training: `docs/data_license.txt`.
"""
