"""Vectors of whole scans by a trained encoder."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from monai_ssl.networks import ConvEncoder, EncoderClassifier
from monai_ssl.transfer import ModelCard, export_weights, scan_features, trained_encoder


class Scan:
    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def __getitem__(self, where):
        return self.values[where]


def card(normalize=None, channels=1):
    recipe = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "in_channels": channels}
    return ModelCard("autoencoder", "paper", recipe | {"widths": [2, 4, 8]}, "ct", normalize=normalize)


def scans(count=3):
    return [Scan(np.random.RandomState(n).rand(1, 16, 12 + 4 * n, 8).astype(np.float32)) for n in range(count)]


def test_is_the_pooled_map_of_the_resized_scan():
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(2, 4, 8))
    given = scans()
    got = scan_features(encoder, given, (16, 32, 8))
    assert got.shape == (3, 8) and encoder.training
    encoder.eval()
    for vector, scan in zip(got, given, strict=True):
        x = interpolate(torch.from_numpy(scan.values)[None], (16, 32, 8), mode="trilinear")
        assert torch.allclose(torch.from_numpy(vector), encoder.pooled(x)[0], atol=1e-5)


def test_images_are_normalized_as_the_card_says():
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(2, 4, 8))
    brighter = [Scan(200 * scan.values + 100) for scan in scans()]
    plain, other = (scan_features(encoder, part, (16, 16, 8), card()) for part in (scans(), brighter))
    assert np.abs(plain - other).max() > 0.1
    plain, other = (scan_features(encoder, part, (16, 16, 8), card("zscore")) for part in (scans(), brighter))
    np.testing.assert_allclose(plain, other, atol=1e-4)


def test_the_encoder_is_built_as_it_was_trained(tmp_path):
    source = ConvEncoder(in_channels=3, widths=(2, 4, 8))
    export_weights(EncoderClassifier(source, 2), tmp_path / "encoder.safetensors", card("imagenet", 3))
    encoder, read = trained_encoder(tmp_path / "encoder.safetensors", 3, 1)
    assert encoder.in_channels == 3 and read is not None and read.normalize == "imagenet"
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), source.parameters(), strict=True))
    assert scan_features(encoder, scans(1), (16, 16, 8), read).shape == (1, 8)


def test_missing_weights_are_named():
    with pytest.raises(FileNotFoundError, match=r"no weights none\.safetensors: `encoder\.safetensors` of a run"):
        trained_encoder("none.safetensors", 3, 1)
