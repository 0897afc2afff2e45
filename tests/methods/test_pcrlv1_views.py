"""PCRLv1-3 and PCRLv1-10 of docs/properties.md: what the bundle of PCRLv1 cuts and augments."""

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

CONFIGS = Path(__file__).parents[2] / "bundles/pcrlv1/configs"


def of_bundle(key, dims=3, **overrides):
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / f"pretrain{'' if dims == 3 else '_2d'}.json"))
    for name, value in {"roi_size": [32, 32, 32] if dims == 3 else [64, 64], **overrides}.items():
        parser[name] = value
    return parser.get_parsed_content(key)


@pytest.mark.parametrize(("preset", "threshold"), [("paper", 0.2), ("reference", 0.25)])
def test_pairs_overlap_and_have_the_presets_sizes(preset, threshold):
    crop = of_bundle("crops", preset=preset, roi_size=[8, 8, 4], **{"crops#0#params_key": "cut"})[0]
    crop.set_random_state(0)
    sizes = set()
    for shape in ((128, 120, 70), (113, 112, 57), (40, 30, 20)):
        scan = torch.zeros(1, *shape)
        for _ in range(340):
            out = crop({"image": scan})
            assert out["view1"].shape == out["view2"].shape == (1, 8, 8, 4)
            first, second = map(tuple, out["cut"]["sizes"])
            assert out["cut"]["iou"] > threshold
            assert preset == "reference" or first == second
            sizes |= {first, second} if shape[0] == 128 else set()
    deepest = 56 if preset == "paper" else 64
    assert sizes <= {(32, 32, 16), (64, 64, 32), (96, 96, 48), (96, 96, 70), (112, 112, deepest)} and len(sizes) >= 4


def test_target_is_the_clean_crop_whatever_the_corruption():
    x = {"view1": torch.rand(2, 1, 32, 32, 32), "view2": torch.rand(2, 1, 32, 32, 32)}
    loud = of_bundle("views", spatial=[], **{"augment#1#prob": 1.0}).set_random_state(0)(x)
    quiet = of_bundle("views", spatial=[], augment=[]).set_random_state(0)(x)
    for view, target in (("view1", "target1"), ("view2", "target2")):
        assert torch.equal(loud[target], x[view]) and not torch.allclose(loud[view], x[view])
        assert torch.equal(quiet[target], x[view]) and torch.equal(quiet[view], x[view])
    turned = of_bundle("views", augment=[]).set_random_state(0)(x)
    assert torch.equal(turned["view1"], turned["target1"]) and not torch.equal(turned["view1"], x["view1"])
    assert torch.equal(
        of_bundle("views").set_random_state(0)(x)["target1"],
        of_bundle("views", **{"augment#1#prob": 0.0}).set_random_state(0)(x)["target1"],
    )


def test_rotation_stays_in_the_plane_in_the_papers_preset():
    x = torch.zeros(4, 1, 32, 32, 32)
    x[..., 10] = 1
    for preset, stays in (("paper", True), ("reference", False)):
        views = of_bundle("views", preset=preset, augment=[]).set_random_state(0)({"view1": x, "view2": x})
        other = torch.arange(32) != 10
        assert (views["view1"][..., other].abs().max() < 1e-5) == stays


def test_two_dimensional_views_end_in_holes_of_the_normalized_mean():
    x = {name: torch.rand(2, 3, 64, 64) for name in ("view1", "view2")}
    out = of_bundle("views", 2, spatial=[], **{"augment#2#strength": 0.0}).set_random_state(0)(x)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(out["target1"], (x["view1"] - mean) / std, atol=1e-5, rtol=1e-5)
    assert (out["view1"] == 0).float().mean() > 0.1 and (out["target1"] == 0).float().mean() < 0.01
    quiet = of_bundle("views", 2, spatial=[], augment=[], cutout=[]).set_random_state(0)(x)
    assert all(torch.equal(quiet[f"view{i}"], quiet[f"target{i}"]) for i in (1, 2))
    assert torch.equal(quiet["target1"], out["target1"])
