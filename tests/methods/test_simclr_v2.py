"""SimCLR v2: SimCLRv2-1 to SimCLRv2-3 of docs/properties.md."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_ssl.methods import SimCLR
from monai_ssl.networks import ConvEncoder, EncoderClassifier, HeadedEncoder, build, recipe_of, remember
from monai_ssl.transfer import ModelCard, export_weights, load_weights, matching_encoder

SMALL = {
    "pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]]},
    "pretrain_2d": {},
}
MOVES = {"contrast": ("network.encoder.", "network.projector.")}


RECIPE = {"spatial_dims": 2, "in_channels": 1, "widths": [2, 4, 8]}


def headed(**options) -> HeadedEncoder:
    torch.manual_seed(0)
    inside = ConvEncoder(**RECIPE)
    remember(inside, "monai_ssl.networks.ConvEncoder", RECIPE)
    encoder = HeadedEncoder(inside, **options)
    remember(encoder, "monai_ssl.networks.HeadedEncoder", {"encoder": inside, **options})
    return encoder


def test_the_head_has_three_layers_with_batch_norm_and_no_bias():
    """SimCLRv2-1: ReLU between them, none behind the last."""
    method = SimCLR(headed(), hidden=8, dim=4, norm=True)
    layers = [*method.encoder.layer, *method.network.projector]
    kinds = [type(layer) for layer in layers]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2 + [nn.Linear, nn.BatchNorm1d]
    assert all(layer.bias is None for layer in layers if isinstance(layer, nn.Linear))
    assert [layer.out_features for layer in layers if isinstance(layer, nn.Linear)] == [8, 8, 4]
    with pytest.raises(ValueError, match="`batch_size` of at least 2, got 1"):
        method({name: torch.rand(1, 1, 16, 16) for name in ("view1", "view2")})


def test_without_the_layer_it_is_simclr():
    """SimCLRv2-2: two layers and nothing exported are v1."""
    torch.manual_seed(0)
    v1 = SimCLR(ConvEncoder(**RECIPE), hidden=8, dim=4)
    assert [type(layer) for layer in v1.network.projector] == [nn.Linear, nn.ReLU, nn.Linear]
    assert v1.encoder.width == v1.encoder.channels[-1] and not v1.norm


def test_the_first_layer_travels_with_the_encoder(tmp_path):
    """SimCLRv2-3: what a classification reads is ReLU(BN(linear(average))), and the maps stay those of the encoder."""
    method, x = SimCLR(headed(dim=6), hidden=8, dim=4, norm=True), torch.rand(3, 1, 16, 16)
    method({"view1": x, "view2": x.flip(2)})["contrast"].backward()
    card = ModelCard(method="simclr_v2", preset="paper", modality="ct", encoder=recipe_of(method.encoder))
    weights = export_weights(method, tmp_path / "encoder.safetensors", card)
    encoder = matching_encoder(str(weights), 2, 1)
    classifier = EncoderClassifier(encoder, 3, dropout=0.0)
    assert load_weights(classifier, weights).share == 1.0 and classifier.head.in_features == 6
    classifier.eval(), method.eval()
    linear, norm, _ = method.encoder.layer
    average = method.encoder.encoder(x)[-1].mean((2, 3))
    torch.testing.assert_close(classifier.encoder.pooled(x), F.relu(norm(linear(average))))
    assert torch.equal(classifier.encoder(x)[-1], method.encoder(x)[-1])
    assert build(recipe_of(method.encoder), in_channels=3).encoder.in_channels == 3
