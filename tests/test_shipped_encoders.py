"""Encoders that come with the bundles: whole, small, of a stated license."""

import json
from pathlib import Path

import pytest
from torch import nn

from monai_ssl.networks import build
from monai_ssl.transfer import hash_tensors, load_weights, read_card

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "bundles").glob("*/models/*/encoder.safetensors"))


def test_they_are_there_and_small():
    assert len(SHIPPED) >= 3
    assert sum(path.stat().st_size for path in SHIPPED) < 8e6


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: "/".join(path.parts[-4:-1]))
def test_a_shipped_encoder_loads_whole_and_says_what_it_is(path):
    card = read_card(path)
    method, name = path.parts[-4], path.parts[-2]
    assert card.method == method and card.data_license != "not stated" and card.iterations > 1000
    assert card.data_license in path.with_name("MODEL_CARD.md").read_text()
    network = nn.Module()
    network.encoder = build(card.encoder)
    load_weights(network, path)
    tensors = {f"encoder.{k}": v for k, v in network.encoder.state_dict().items()}
    assert hash_tensors(tensors) == card.tensors_sha256
    measured = json.loads((ROOT / f"bundles/{method}/configs/metadata.json").read_text())["eval_metrics"]
    assert any(key.startswith(name) for key in measured)
