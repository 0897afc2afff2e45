"""A network is built again from its recipe, and a recipe from outside may not choose what is called."""

import json
from importlib.metadata import EntryPoint

import pytest
import torch
from method_cases import CONFIGS, name, parsed
from monai.bundle import ConfigParser
from torch import nn

from monai_ssl.networks import ConvEncoder, Encoder, build, recipe, recipe_of, remember


def built(config):
    return ConfigParser({"net": config}).get_parsed_content("net")


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_methods_of_all_bundles_are_built_again(path, settings):
    """Same names and shapes, same sharing: a method that holds one encoder twice holds one again."""
    method = parsed(path, settings(path)).get_parsed_content("network_def")
    again = build(json.loads(json.dumps(recipe_of(method))))
    shapes, ours = ({k: v.shape for k, v in m.state_dict().items()} for m in (method, again))
    assert ours == shapes and len(list(again.parameters())) == len(list(method.parameters()))
    again.load_state_dict(method.state_dict())
    assert recipe_of(again) == recipe_of(method)


def test_networks_of_monai_are_built_again():
    config = {"_target_": "monai.networks.nets.SegResNet", "spatial_dims": 2, "init_filters": 8, "blocks_down": [1, 1]}
    again = build(recipe_of(built({**config, "blocks_up": [1]})))
    assert again.init_filters == 8 and again.spatial_dims == 2


@pytest.mark.parametrize("target", ["os.system", "torch.nn.Linear", "monai_ssl.networks.build", "nothing.at.All", None])
def test_a_file_may_not_choose_what_is_called(target):
    with pytest.raises(ValueError, match="The file names the network"):
        build({"_target_": target})
    inside = {"_target_": "monai_ssl.networks.RestorationUNet", "encoder": {"_target_": target}}
    with pytest.raises(ValueError, match="The file names the network"):
        build(inside)


def test_classes_of_others_are_offered_by_entry_points_or_named_by_the_configuration(monkeypatch):
    linear = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}
    assert isinstance(build(linear, {"torch.nn.Linear"}), nn.Linear)
    found = [EntryPoint("mine", "torch.nn:Linear", recipe.ENTRY_POINT)]
    monkeypatch.setattr(recipe, "entry_points", lambda group: found if group == recipe.ENTRY_POINT else [])
    assert isinstance(build(linear), nn.Linear)


def test_what_cannot_be_described_says_so():
    with pytest.raises(ValueError, match="How this ConvEncoder was built is not known"):
        recipe_of(ConvEncoder(widths=(2, 4)))
    with pytest.raises(ValueError, match=r"cannot be built as its recipe says: .*depth"):
        build({"_target_": "monai_ssl.networks.ConvEncoder", "depth": 3})

    class Own(Encoder):
        pass

    net = Own()
    remember(net, "lab.Own", {"act": torch.relu})
    with pytest.raises(ValueError, match=r"lab\.Own act is a builtin_function_or_method, which no model card can hold"):
        recipe_of(net)
