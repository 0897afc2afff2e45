"""Weights that others published: files with their names and shapes become encoders, and compute what theirs do."""

import pytest
import torch
from monai.networks import nets
from monai.networks.nets.segresnet_ds import SegResEncoder
from torch import nn

from monai_ssl.cli.main import main
from monai_ssl.networks import ConvEncoder, EncoderClassifier, MonaiEncoder, ResidualEncoder
from monai_ssl.transfer import adopt, load_weights, matching_encoder, read_card
from monai_ssl.transfer.nnunet_names import to_nnunet
from monai_ssl.transfer.published import published_recipe


def filled(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.2)
    return network.eval()


def swin(**options):
    return filled(nets.SwinUNETR(1, 14, feature_size=12, depths=(1, 2, 1, 1), **options))


def named(state, before="", **replaced):
    """Names as in the release: replaced words, then what stands before them."""
    names = {name: name for name in state}
    for old, new in replaced.items():
        names = {name: other.replace(old, new) for name, other in names.items()}
    return {before + names[name]: tensor for name, tensor in state.items()}


def model_swinvit():
    # MONAI's `SwinUNETR.load_from`: `state_dict`, `module.`, `fc1`; heads beside it
    net = swin()
    names = {n: n.replace(".linear", ".fc") for n in net.swinViT.state_dict()}
    state = {f"module.{names[n]}": t for n, t in net.swinViT.state_dict().items()}
    return {"state_dict": {**state, "module.rotation_head.weight": torch.rand(4, 8)}}, net


def disruptive():
    # MONAI's `filter_swinunetr`: `model`, `encoder.layers1.0.0.blocks`
    net = swin()
    state = {
        f"encoder.{n.replace('.0.blocks', '.0.0.blocks').replace('.0.down', '.0.0.down')}": t
        for n, t in net.swinViT.state_dict().items()
    }
    return {"model": {**state, "encoder.mask_token": torch.rand(1, 8), "out.conv.conv.bias": torch.rand(2)}}, net


def suprem_swin():
    net = swin()
    return {"net": named(net.state_dict(), "module.backbone.") | {"module.organ_embedding": torch.rand(3)}}, net


def voco():
    net = swin(use_v2=True)
    return named(net.state_dict()), net


def suprem_segresnet():
    net = filled(nets.SegResNet(init_filters=8, blocks_down=(1, 2, 2, 4), blocks_up=(1, 1, 1), out_channels=25))
    return {"net": named(net.state_dict(), "module.")}, net


def ct_fm(norm="batch"):
    net = filled(SegResEncoder(3, 4, 1, norm=norm, blocks_down=(1, 2, 2)))
    return net.state_dict(), net


def ct_fm_segresnet():
    net = filled(nets.SegResNetDS(3, 8, 1, 118, blocks_down=(1, 2, 2), norm="batch"))
    return net.state_dict(), net


MONAI = {
    "model_swinvit.pt": model_swinvit,
    "disruptive autoencoders": disruptive,
    "SuPreM SwinUNETR": suprem_swin,
    "VoCo": voco,
    "SuPreM SegResNet": suprem_segresnet,
    "CT-FM": ct_fm,
    "VISTA3D, instance norm": lambda: ct_fm("instance"),
    "CT-FM SegResNetDS": ct_fm_segresnet,
}


@pytest.mark.parametrize("name", MONAI)
def test_a_network_of_monai_is_recognized_built_and_computes_the_same(name, tmp_path):
    file, theirs = MONAI[name]()
    torch.save(file, tmp_path / "weights.pt")
    adopt(tmp_path / "weights.pt", tmp_path / "card.safetensors", method=name)
    size = (32, 32, 64) if isinstance(theirs, nets.SwinUNETR) else (8, 16, 8)
    x = torch.rand(1, 1, *size)
    with torch.no_grad():
        # both the raw file and the adopted one, without a word about the network
        for weights in ("weights.pt", "card.safetensors"):
            network = EncoderClassifier(matching_encoder(str(tmp_path / weights), 3, 1), 2).eval()
            assert load_weights(network, tmp_path / weights).complete
            ours = network.encoder(x)
            assert all(torch.equal(a, b) for a, b in zip(ours, MonaiEncoder(theirs).eval()(x), strict=True))


def genesis(prefix):
    # UNet3D of Models Genesis: `down_tr64.ops.0.conv1`, `bn1`, each stage half its width first
    encoder = filled(ConvEncoder(widths=(8, 16, 32)))
    kinds = {"conv": "conv1", "norm": "bn1"}
    state = {}
    for name, tensor in encoder.state_dict().items():
        _, stage, layer, value = name.split(".")
        width = 64 * 2 ** int(stage)
        state[f"{prefix}down_tr{width}.ops.{int(layer[-1]) - 1}.{kinds[layer[:-1]]}.{value}"] = tensor
    return state | {f"{prefix}up_tr256.up_conv.weight": torch.rand(4, 4, 2, 2, 2)}, encoder


@pytest.mark.parametrize(("container", "prefix"), [("state_dict", "module."), ("net", "module.backbone.")])
def test_the_unet_of_models_genesis_and_suprem(container, prefix, tmp_path, capsys):
    state, theirs = genesis(prefix)
    torch.save({container: state}, tmp_path / "Genesis_Chest_CT.pt")
    out = tmp_path / "genesis.safetensors"
    assert main(["adopt", str(tmp_path / "Genesis_Chest_CT.pt"), str(out), "--release", "genesis"]) == 0
    card = read_card(out)
    assert (card.method, card.modality, card.intensity["low"], card.window_size) == (
        "genesis",
        "ct",
        -1000,
        (64, 64, 32),
    )
    encoder = matching_encoder(str(out), 3, 1).eval()
    load_weights(encoder, out)
    x = torch.rand(1, 1, 8, 8, 16)
    assert all(torch.equal(a, b) for a, b in zip(encoder(x), theirs(x), strict=True))


def openmind(strides=((1, 1, 1), (2, 2, 2)), **more):
    encoder = filled(ResidualEncoder(widths=(4, 6), depths=(1, 2)))
    configuration = {"spacing": [3.0, 1.0, 1.0], "patch_size": [32, 64, 64]}
    plan = {
        "architecture_plans": {"arch_class_name": "ResEncL", "arch_kwargs": {"strides": [list(s) for s in strides]}},
        "pretrain_plan": {"configurations": {"onemmiso": configuration}},
    }
    weights = to_nnunet(encoder.state_dict())
    weights |= {f"decoder.{name}": tensor for name, tensor in weights.items()}  # nnU-Net's decoder holds the encoder
    weights["decoder.transpconvs.0.weight"] = torch.rand(6, 4, 2, 2, 2)
    return {"network_weights": weights | more, "nnssl_adaptation_plan": plan}, encoder


def test_openmind_with_what_its_plan_says(tmp_path):
    file, theirs = openmind()
    torch.save(file, tmp_path / "checkpoint_final.pth")
    out = adopt(tmp_path / "checkpoint_final.pth", tmp_path / "out.safetensors", release="openmind")
    card = read_card(out)
    assert (card.normalize, card.spacing, card.window_size) == ("zscore", (1.0, 1.0, 3.0), (64, 64, 32))
    encoder = matching_encoder(str(out), 3, 1).eval()
    load_weights(encoder, out)
    x = torch.rand(1, 1, 8, 8, 16)
    assert all(torch.equal(a, b) for a, b in zip(encoder(x), theirs(x), strict=True))


def test_uneven_strides_and_pickled_objects_are_refused(tmp_path):
    path, out = tmp_path / "w.pth", tmp_path / "out.safetensors"
    torch.save(openmind(strides=((1, 1, 1), (1, 2, 2)))[0], path)
    with pytest.raises(ValueError, match="halves its axes differently"):
        adopt(path, out)
    torch.save(openmind(**{"decoder.transpconvs.1.weight": torch.rand(4, 4, 1, 2, 2)})[0], path)
    with pytest.raises(ValueError, match=r"a stride of \(1, 2, 2\)"):
        adopt(path, out)
    torch.save({"network_weights": {}, "init_args": SegResEncoder}, path)
    with pytest.raises(ValueError, match=r"more than tensors.*network_weights"):
        adopt(path, out)
    student, teacher = ({f"{who}.{n}": t for n, t in swin().state_dict().items()} for who in ("student", "teacher"))
    torch.save(student | teacher, path)
    with pytest.raises(ValueError, match="more than once"):
        adopt(path, out)
    with pytest.raises(ValueError, match=r"`release` must be .*, got .ctfm"):
        adopt(path, out, release="ctfm")
    assert not out.exists()


def test_ct_fm_saw_its_axes_reversed(tmp_path):
    file, theirs = ct_fm()
    torch.save(file, tmp_path / "ct_fm.pt")
    out = adopt(tmp_path / "ct_fm.pt", tmp_path / "out.safetensors", release="ct-fm")
    encoder = matching_encoder(str(out), 3, 1).eval()
    load_weights(encoder, out)
    x = torch.rand(1, 1, 8, 16, 4)
    with torch.no_grad():
        for mine, wanted in zip(encoder(x), MonaiEncoder(theirs).eval()(x.permute(0, 1, 4, 3, 2)), strict=True):
            torch.testing.assert_close(mine, wanted.permute(0, 1, 4, 3, 2), rtol=1e-4, atol=1e-5)


def test_sizes_of_the_releases_are_read_off_their_shapes():
    for options in ({"feature_size": 48}, {"feature_size": 96, "use_v2": True}):
        recipe = published_recipe(meta(lambda options=options: nets.SwinUNETR(1, 14, **options)))["network"]
        assert {"depths": [2, 2, 2, 2], "num_heads": [3, 6, 12, 24], "window_size": 7, "patch_size": 2} | options == {
            key: recipe[key] for key in ("depths", "num_heads", "window_size", "patch_size", *options)
        }
    recipe = published_recipe(meta(lambda: SegResEncoder(3, 32, 1, blocks_down=(1, 2, 2, 4, 4))))["network"]
    assert (recipe["init_filters"], recipe["blocks_down"], recipe["norm"]) == (32, [1, 2, 2, 4, 4], "batch")
    assert published_recipe(meta(lambda: nets.AutoEncoder(3, 1, 1, (4, 8), (2, 2)))) is None


def meta(make):
    """Names and shapes of a large network; its drop-path rates are computed on the CPU."""
    state = make().state_dict()
    return {name: tensor.to("meta") for name, tensor in state.items()}
