"""Presets for a CPU (``configs/cpu.json``): each changes keys that its bundle has, and what it builds learns."""

import json

import pytest
import torch
from method_cases import BUNDLES

from monai_ssl.cli.preview import build, make_batch, read_bundle

OTHER_SCANS = ("cross_contrast",)
"""They need sessions of several contrasts; their own tests have them."""
PRESETS = sorted(p for p in BUNDLES.glob("*/configs/cpu*.json") if p.parts[-3] not in OTHER_SCANS)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_preset_changes_what_is_there_and_its_loss_moves_the_encoder(path, cohort, tmp_path):
    whole = path.with_name(path.name.replace("cpu", "pretrain"))
    places = {"dataset_dir": str(cohort), "output_dir": str(tmp_path), "validation": 0}
    before = read_bundle([whole], places)
    for key in json.loads(path.read_text()):
        before[key]  # KeyError where it is not in the configuration
    parser = read_bundle([whole, path], places)
    batch, _ = make_batch(parser, 2)
    torch.manual_seed(0)
    method = build(parser, "network_def")
    torch.stack(list(method.losses(batch).values())).sum().backward()
    # not those of `method.encoder`, which may be a momentum copy
    gradients = [p.grad for name, p in method.named_parameters() if "encoder." in name and p.requires_grad]
    assert all(g is not None and g.isfinite().all() for g in gradients) and any(g.any() for g in gradients)
