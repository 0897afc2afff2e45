"""SimMIM: what stands in place of masked tokens, no leak around them, the loss where masked; ViT and Swin."""

import pytest
import torch
from monai.networks.nets import SwinUNETR
from torch import nn

from monai_ssl.methods import SimMIM
from monai_ssl.networks import ConvEncoder, MonaiEncoder, RestorationUNet, VisionTransformer

SMALL: dict[str, dict] = {
    "pretrain": {"width": 24, "depth": 2, "heads": 2},
    "pretrain_2d": {"width": 8, "depth": 2, "heads": 2, "patch": 16},
}
MOVES = {"restoration": ("network.encoder.", "network.decoder.", "network.head.", "token")}
WINDOW = (32, 16, 24)


def make(**options):
    torch.manual_seed(0)
    encoder = VisionTransformer(window_size=WINDOW, width=24, depth=2, heads=2)
    return SimMIM(RestorationUNet(encoder, bounded=False), **options)


def swin():
    torch.manual_seed(0)
    network = SwinUNETR(in_channels=1, out_channels=2, feature_size=12, spatial_dims=2)
    return SimMIM(RestorationUNet(MonaiEncoder(network), bounded=False), embedding="net.swinViT.patch_embed")


def batch(window=WINDOW, block=8):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 1, *window, generator=g)
    visible = torch.zeros(2, 1, *(side // block for side in window)).bernoulli(0.4, generator=g)
    return {"view": x, "target": x * 2, "visible": nn.functional.interpolate(visible, scale_factor=block)}


@pytest.mark.parametrize(("make", "data"), [(make, batch()), (swin, batch((64, 32), 16))], ids=["vit", "swin"])
def test_what_is_masked_reaches_neither_encoder_nor_skip_connections(make, data):
    method = make().eval()
    first = method.panels(data)["restored"]
    other = torch.where(data["visible"] > 0, data["view"], torch.tensor(float("nan")))
    assert torch.equal(method.panels({**data, "view": other})["restored"], first)
    other = torch.where(data["visible"] > 0, data["view"] + 1, data["view"])
    assert not torch.equal(method.panels({**data, "view": other})["restored"], first)


@pytest.mark.parametrize("distance", ["l1", "mse"])
def test_loss_is_the_mean_distance_where_masked(distance):
    method, data = make(distance=distance), batch()
    restored = method.panels(data)["restored"]
    errors = [(r - t)[:, v[0] == 0].double() for r, t, v in zip(restored, data["target"], data["visible"], strict=True)]
    expected = sum((e.abs() if distance == "l1" else e.square()).mean() for e in errors) / 2
    assert method.losses(data)["restoration"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_masked_tokens_are_one_vector_and_their_position_before_the_first_block():
    method, data, seen = make(), batch(), []
    transformer = method.encoder.transformer
    hook = transformer.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    method.losses(data)
    hook.remove()
    hidden = data["visible"][:, 0, ::8, ::8, ::8].flatten(1) == 0
    without = seen[0] - transformer.positions.flatten(2).transpose(1, 2)
    torch.testing.assert_close(without[hidden], method.token.expand(int(hidden.sum()), -1))
    assert (without[~hidden] - method.token).abs().max() > 0.1


def test_without_masks_it_is_the_plain_network_and_the_token_learns_nothing():
    method, data = make(), batch()
    everything = {**data, "visible": torch.ones_like(data["visible"])}
    assert torch.equal(method.panels(everything)["restored"], method.restore(data["view"])["restored"])
    method(everything)["restoration"].backward()
    assert method.token.grad is None or (method.token.grad == 0).all()
    method(data)["restoration"].backward()
    assert (method.token.grad != 0).all()


def test_a_block_smaller_than_a_token_hides_the_whole_token():
    method, data = make(), batch(block=4)
    hidden = nn.functional.max_pool3d(1 - data["visible"], 8)
    whole = {**data, "visible": 1 - nn.functional.interpolate(hidden, scale_factor=8)}
    assert torch.equal(method.panels(data)["restored"], method.panels(whole)["restored"])


def test_a_network_without_an_embedding_of_patches_is_refused():
    with pytest.raises(ValueError, match=r"ConvEncoder has no module `embedding`.*the method `mae`"):
        SimMIM(RestorationUNet(ConvEncoder(2, widths=(4, 8))))
