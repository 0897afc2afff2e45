"""Each network, methods of each kind: trained, out, whole into the plain class, fine-tuned, resumed bit for bit."""

import pytest
import torch
from torch.utils.data import default_collate

from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import Checkpoint
from monai_ssl.methods import BYOL, MAE, AutoEncoder, BarlowTwins, MAEViT, Method, MoCo, SimCLR, SimMIM, SimSiam
from monai_ssl.networks import Encoder, MonaiEncoder, RestorationUNet, SkipUNet, as_encoder, build, recipe_of
from monai_ssl.transfer import ModelCard, export_weights, load_weights, matching_encoder

VIT = {"in_channels": 1, "img_size": [32, 32], "hidden_size": 12, "mlp_dim": 12, "num_heads": 2}
LEVELS = {"channels": [4, 8, 8], "strides": [2, 2], "in_channels": 1, "out_channels": 3}
DYN = {"kernel_size": [3] * 3, "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 8]}
SWIN = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "depths": [1, 1, 1, 1]}
MONAI = {
    "UNet": {**LEVELS, "num_res_units": 2},
    "BasicUNet": {"out_channels": 3, "features": [4, 4, 8, 8, 8, 6]},
    "DynUNet": {"in_channels": 1, "out_channels": 3, **DYN},
    "SegResNet": {"init_filters": 8, "in_channels": 1, "out_channels": 3, "blocks_down": [1, 1], "blocks_up": [1]},
    "SegResNetDS": {"init_filters": 8, "in_channels": 1, "out_channels": 3, "blocks_down": [1, 1]},
    "SwinUNETR": SWIN,
    "SwinUNETR v2": {**SWIN, "use_v2": True},
    "UNETR": {**VIT, "out_channels": 3, "feature_size": 4},
    "ViT": {**VIT, "patch_size": 16, "num_layers": 2},
    "FlexibleUNet": {"in_channels": 1, "out_channels": 3, "backbone": "resnet10"},
    "ResNet": {"block": "basic", "layers": [1] * 4, "block_inplanes": [4, 8, 8, 8], "n_input_channels": 1},
    "DenseNet": {"in_channels": 1, "out_channels": 3, "init_features": 4, "growth_rate": 4, "block_config": [2, 2]},
    "EfficientNetBN": {"model_name": "efficientnet-b0", "pretrained": False, "in_channels": 1},
}
RECIPES = {
    **{
        name: {"_target_": f"monai.networks.nets.{name.split()[0]}", "spatial_dims": 2, **arguments}
        for name, arguments in MONAI.items()
    },
    "VisionTransformer": {
        "_target_": "monai_ssl.networks.VisionTransformer",
        "spatial_dims": 2,
        "window_size": [32, 32],
        "width": 16,
        "depth": 1,
        "heads": 2,
    },
    "ResEnc": {"_target_": "monai_ssl.networks.ResidualEncoder", "spatial_dims": 2, "widths": [4, 8], "depths": [1, 1]},
    "Primus": {
        "_target_": "monai_ssl.networks.VisionTransformer",
        "spatial_dims": 2,
        "window_size": [32, 16],
        "width": 8,
        "depth": 2,
        "heads": 2,
        "drop_path": 0.5,
    },
}
METHODS = {
    "SimCLR": lambda e: SimCLR(e, hidden=8, dim=4),
    "AutoEncoder": lambda e: AutoEncoder(RestorationUNet(e)),
    "MAE": lambda e: MAE(RestorationUNet(e)),
    "BYOL": lambda e: BYOL(e, hidden=8, dim=4),
    "MoCo": lambda e: MoCo(e, dim=4, queue_size=8),
    "BarlowTwins": lambda e: BarlowTwins(e, widths=(8, 8)),
    "SimSiam": lambda e: SimSiam(e, dim=8, hidden=4),
}
TOKENS = {"MAEViT": MAEViT, "SimMIM": lambda e: SimMIM(RestorationUNet(e))}
"""Of transformers alone."""
HEAVY = ("SwinUNETR v2", "FlexibleUNet", "EfficientNetBN", "SwinUNETR")
CASES = [
    *((network, method) for network in RECIPES for method in ("SimCLR", "AutoEncoder")),
    *(
        (network, method)
        for network in ("SegResNet", "ResEnc")
        for method in METHODS
        if method not in ("SimCLR", "AutoEncoder")
    ),
    *(("Primus", method) for method in TOKENS),
]


def made(network: str, method: str) -> Method:
    torch.manual_seed(0)
    encoder = as_encoder(build(RECIPES[network]))
    assert isinstance(encoder, Encoder)
    return {**METHODS, **TOKENS}[method](encoder)


def batches(side: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(4):
        view = torch.rand(1, side, side, generator=generator)
        visible = torch.zeros(1, side, side, dtype=torch.bool)
        visible[:, : side // 2] = True
        views = {"view": view, "target": view, "view1": view, "view2": view.flip(1), "visible": visible}
        samples.append({**views, "tokens": torch.randperm((side // 8) ** 2, generator=generator)[:4]})
    return [default_collate(samples[:2]), default_collate(samples[2:])]


def trained(method, epochs, side, folder, resume=False) -> SSLTrainer:
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.01, momentum=0.9)
    handlers = [Checkpoint(folder, resume=resume)]
    trainer = SSLTrainer("cpu", epochs, batches(side), method, optimizer, train_handlers=handlers)
    trainer.run()
    return trainer


def states_agree(one, two) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("network", "method"),
    [pytest.param(*case, id="-".join(case), marks=pytest.mark.slow if case[0] in HEAVY else ()) for case in CASES],
)
def test_through_its_life(network, method, tmp_path):
    side = 64 if network in HEAVY else 32
    whole = trained(made(network, method), 2, side, tmp_path / "whole").method
    half = trained(made(network, method), 1, side, tmp_path / "half").method
    assert not states_agree(whole, half)
    again = trained(made(network, method), 2, side, tmp_path / "half", resume=True).method
    assert states_agree(whole, again), "resumed, it is another one"

    encoder = whole.encoder.eval()
    path = export_weights(whole, tmp_path / "encoder.safetensors", ModelCard("m", "paper", recipe_of(encoder), "ct"))
    x = torch.rand(2, 1, side, side)
    tuned = SkipUNet(matching_encoder(str(path), 2, 1), 2)
    assert load_weights(tuned, path).complete
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(tuned.encoder.eval()(x), encoder(x), strict=True))
    if isinstance(encoder, MonaiEncoder):
        plain, state = build(RECIPES[network]), encoder.own_state(whole.decoder)
        assert not plain.load_state_dict(state, strict=False).unexpected_keys
        assert {name.removeprefix("net.") for name in encoder.state_dict()} <= state.keys()

    optimizer = torch.optim.SGD(tuned.parameters(), 0.1)
    tuned.train()(x).square().mean().backward()
    optimizer.step()
    first = next(name for name, p in tuned.encoder.named_parameters() if p.requires_grad)
    assert not torch.equal(tuned.encoder.state_dict()[first], encoder.state_dict()[first])
    assert all(p.isfinite().all() for p in tuned.parameters())
