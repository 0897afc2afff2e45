"""nnU-Net gets a residual encoder whole: by its names, its order of axes and its strict rule, and gives it back."""

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from monai_ssl.__main__ import main
from monai_ssl.networks import ConvEncoder, ResidualEncoder
from monai_ssl.networks import build as build_network
from monai_ssl.transfer import ModelCard, export_weights, load_weights
from monai_ssl.zoo import hand_off_to_nnunet
from monai_ssl.zoo.nnunet import check_as_nnunet

RECIPE = {"_target_": "monai_ssl.networks.ResidualEncoder", "widths": [4, 6, 8, 8], "depths": [1, 2, 2, 1]}
CARD = ModelCard("mae", "paper", RECIPE, "mr", normalize="zscore", spacing=(1.0, 1.0, 2.0), window_size=(64, 48, 32))

# in a process of its own: nothing of this package helps, only the reference and what the file itself says
STRICT = """
import sys, torch
from pydoc import locate
file = torch.load(sys.argv[1], weights_only=True)
plan, weights = file["nnssl_adaptation_plan"], file["network_weights"]
architecture = plan["architecture_plans"]
kwargs = dict(architecture["arch_kwargs"])
for name in architecture["arch_kwargs_requiring_import"]:
    kwargs[name] = locate(kwargs[name])
network = locate(architecture["arch_class_name"])(plan["pretrain_num_input_channels"], num_classes=2, **kwargs)
assert (network.key_to_encoder, network.key_to_stem) == (plan["key_to_encoder"], plan["key_to_stem"])
assert list(network.keys_to_in_proj) == plan["keys_to_in_proj"] and plan["key_to_lpe"] is None
taken = 0
for key in (plan["key_to_encoder"], plan["key_to_stem"]):
    part = {name.removeprefix(key + "."): t for name, t in weights.items() if name.startswith(key + ".")}
    network.get_submodule(key).load_state_dict(part, strict=True)
    taken += len(part)
torch.save([taken, *network.eval().encoder(torch.load(sys.argv[2]))], sys.argv[3])
"""


def pretrained(tmp_path, card=CARD, encoder=None):
    if encoder is None:
        encoder = build_network(card.encoder)
        with torch.no_grad():
            for i, p in enumerate(encoder.parameters()):
                p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(i)) * 0.3)
    export_weights(SimpleNamespace(encoder=encoder), tmp_path / "encoder.safetensors", card)
    return encoder.eval()


def test_its_network_loads_all_and_computes_the_same_on_the_transposed_volume(tmp_path, capsys):
    pytest.importorskip("dynamic_network_architectures", reason="the reference is not installed")
    encoder, path = pretrained(tmp_path), tmp_path / "ours.pth"
    assert main(["handoff", "--to", "nnunet", "--weights", str(tmp_path), str(path)]) == 0
    entries = 2 * len(encoder.state_dict())
    assert f"{entries}/{entries} entries" in capsys.readouterr().out
    x = torch.randn(2, 1, 32, 48, 16)
    torch.save(x.permute(0, 1, 4, 3, 2), tmp_path / "x.pt")
    command = [sys.executable, "-c", STRICT, path, tmp_path / "x.pt", tmp_path / "out.pt"]
    subprocess.run(command, check=True, timeout=120)
    taken, *theirs = torch.load(tmp_path / "out.pt")
    assert taken == entries
    for mine, wanted in zip(encoder(x), theirs, strict=True):
        torch.testing.assert_close(mine, wanted.permute(0, 1, 4, 3, 2), rtol=1e-4, atol=1e-5)


def test_the_plan_is_in_its_order_of_axes_and_of_plain_types(tmp_path):
    pretrained(tmp_path)
    done = hand_off_to_nnunet(tmp_path / "encoder.safetensors", tmp_path / "ours.pth")
    file = torch.load(done.path, weights_only=True)
    plan = file["nnssl_adaptation_plan"]
    (configuration,) = plan["pretrain_plan"]["configurations"].values()
    assert configuration == {"spacing": [2.0, 1.0, 1.0], "patch_size": [32, 48, 64]}
    assert plan["recommended_downstream_patchsize"] == [32, 48, 64] and done.warnings == ()
    storages = {t.untyped_storage().data_ptr() for t in file["network_weights"].values()}
    assert len(storages) == done.tensors  # two names, one memory


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"normalize": None}, "z-score each volume"),
        ({"intensity": {"kind": "ct_window", "low": -175.0, "high": 250.0}}, "without clipping"),
        ({"window_size": (60, 48, 33)}, "will train on 32 x 48 x 64"),
        ({"window_size": (8, 8, 8)}, "will train on 16 x 16 x 16"),
        ({"spacing": None}, "kept the spacing"),
    ],
)
def test_it_says_what_will_not_match(changed, said, tmp_path):
    pretrained(tmp_path, dataclasses.replace(CARD, **changed))
    (warning,) = hand_off_to_nnunet(tmp_path, tmp_path / "ours.pth").warnings
    assert said in warning


def test_other_networks_and_damaged_files_are_refused(tmp_path, capsys):
    conv = {"_target_": "monai_ssl.networks.ConvEncoder", "widths": [2, 4]}
    pretrained(tmp_path, ModelCard("mae", "paper", conv, "mr"), ConvEncoder(widths=(2, 4)))
    with pytest.raises(ValueError, match="nnU-Net cannot build a ConvEncoder: only `ResidualEncoder`"):
        hand_off_to_nnunet(tmp_path, tmp_path / "ours.pth")
    assert not (tmp_path / "ours.pth").exists()
    encoder = pretrained(tmp_path)
    hand_off_to_nnunet(tmp_path, tmp_path / "ours.pth")
    with pytest.raises(ValueError, match=r"must be a new file that ends in `\.pth`"):
        hand_off_to_nnunet(tmp_path, tmp_path / "ours.pth")
    file = torch.load(tmp_path / "ours.pth", weights_only=True)
    alias = next(name for name in file["network_weights"] if "all_modules" in name)
    del file["network_weights"][alias]
    torch.save(file, tmp_path / "ours.pth")
    with pytest.raises(ValueError, match=f"would not be loaded whole by nnU-Net .*{alias}"):
        check_as_nnunet(tmp_path / "ours.pth", encoder)
    with pytest.raises(SystemExit):
        main(["handoff", "--to", "nnunet", "--labels", "liver", "--weights", str(tmp_path), "a.pth"])
    assert "are for MONAI Label" in capsys.readouterr().err


def test_there_and_back_is_the_same_encoder(tmp_path):
    encoder = pretrained(tmp_path)
    hand_off_to_nnunet(tmp_path, tmp_path / "ours.pth")
    fresh = ResidualEncoder(widths=RECIPE["widths"], depths=RECIPE["depths"]).eval()
    assert load_weights(fresh, tmp_path / "ours.pth").complete
    x = torch.randn(1, 1, 16, 24, 32)
    assert all(torch.equal(a, b) for a, b in zip(fresh(x), encoder(x), strict=True))
