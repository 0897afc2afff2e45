"""Presets for a CPU (``configs/cpu.json``): each changes keys that its bundle has, and what it builds learns."""

import json

import pytest
import torch
from method_cases import BUNDLES

from monai_ssl.cli.preview import build, make_batch, read_bundle

PRESETS = sorted(BUNDLES.glob("*/configs/cpu*.json"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_preset_changes_what_is_there_and_its_loss_moves_the_encoder(path, cohort, tmp_path):
    whole = path.with_name(path.name.replace("cpu", "pretrain"))
    places = {"dataset_dir": str(cohort), "output_dir": str(tmp_path), "validation": 0}
    before = read_bundle([whole], places)
    for key in json.loads(path.read_text()):
        assert before[key] is not None, f"{key} is not in {whole.name}"
    parser = read_bundle([whole, path], places)
    batch, _ = make_batch(parser, 2)
    torch.manual_seed(0)
    method = build(parser, "network_def")
    torch.stack(list(method.losses(batch).values())).sum().backward()
    gradients = [p.grad for p in method.encoder.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients) and any(g.any() for g in gradients)
