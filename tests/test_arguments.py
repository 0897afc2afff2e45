"""Arguments out of their range are refused, by name, in every constructor that checks them."""

import numpy as np
import pytest
import torch
from torch import nn

from monai_ssl import losses, methods, networks, transforms
from monai_ssl.arguments import (
    check_batch_size,
    check_choice,
    check_interval,
    check_range,
    check_weights,
    per_axis,
)
from monai_ssl.data.imbalance import MeanResampler, imbalance_counts
from monai_ssl.engines import LARS


def encoder():
    return networks.ConvEncoder(widths=(2, 4))


def unet():
    return networks.RestorationUNet(encoder())


def dira(**options):
    network = unet()
    return methods.DiRA(methods.SimSiam(network.encoder), network, nn.Identity(), **options)


ORDERS = torch.tensor([list(range(8)), list(range(8))[::-1]])
KEYED = {
    "RandBezierd": {"prob": 1.5, "num_points": 1},
    "RandElasticBatchd": {"alpha": -1, "sigma": 0},
    "RandFlipChaind": {"round_prob": 2, "max_rounds": -1},
    "RandFlipBatchd": {"axis_prob": (0.5, 2)},
    "RandPatchSwapd": {"patch_size": (3, 0), "num_swaps": -1},
    "RandPlaneRotationd": {"plane_prob": 1.5, "quarter_prob": -0.5, "zoom_prob": 2, "zoom": (0, 1), "fill": "mean"},
    "RandAffineBatchd": {"degrees": -1, "fill": "mean", "scale": (0, 1)},
    "RandLocalShufflingd": {"num_windows": -1, "max_fraction": 0.0, "prob": 2},
    "RandGaussianBlurd": {"sigma": (-1, 2)},
    "RandGaussianNoiseBatchd": {"std": (0.2, 0.1)},
    "RandBrightnessd": {"shift": (0.2, -0.2), "contrast": (-0.5, 1)},
    "RandSignedGammad": {"log_gamma": (0, np.inf)},
    "RandCubeMaskd": {"prob": 1.5, "keep": -1, "least": 2},
    "RandCubeTurnsd": {"mode": "cube"},
    "RandRaysMaskd": {"num_rays": 0, "thickness": 0.5, "origin_radius": -1, "blur_sigma": -1},
    "RandBlockMaskd": {"mask_ratio": 1, "grid": (2, 0)},
    "RandStripeMaskd": {"mask_ratio": 0, "width": 0},
    "RandCutoutd": {"size": (4, 0), "num_holes": -1},
    "RandPaintingd": {"in_prob": 2, "box_prob": -1, "max_boxes": 0},
    "RandMultiCropd": {"num_views": 0, "num_locals": -1, "scale": (0, 1), "local_scale": (0.3, 0.05), "ratio": (2, 1)},
    "RandIoUPairCropd": {"iou_threshold": 1.0, "max_retries": -1, "num_locals": -1, "locals_from": "x"},
    "RandWindowCropd": {"max_retries": -1, "background": "papre", "max_tissue_fraction": -1},
    "RandWordCropd": {"prob": 2, "scale": (0, 1), "shift": (-2, 0)},
    "RandMaskedTokensd": {"patch": 0, "ratio": (0.0, 0.5), "views": 0},
}
"""Wrong values by transform; each is refused when it is the only one."""
NEEDED = {
    "RandPatchSwapd": {"patch_size": 3, "num_swaps": 1},
    "RandCutoutd": {"size": 4},
    "RandElasticBatchd": {"alpha": 1, "sigma": 4},
    "RandWordCropd": {"out_size": (8, 8, 8)},
}
OTHERS = [
    (lambda **o: transforms.RandPatchGridd("view", (8, 8), (2, 2), **o), {"flip_prob": 1.5}),
    (lambda **o: transforms.permutation_table(8, 4, **o), {"criterion": "x"}),
    (lambda **o: networks.ResNetEncoder(**o), {"depth": 19}),
    (lambda **o: losses.FeatureQueue(4, o["queue_size"]), {"queue_size": 0}),
    (lambda **o: losses.nt_xent(torch.eye(2), torch.eye(2), **o), {"temperature": 0.0}),
    (lambda **o: losses.info_nce(torch.eye(2), torch.eye(2), torch.eye(2), **o), {"temperature": -1.0}),
    (lambda **o: methods.MoCo(encoder(), **o), {"version": "v3", "momentum": 1.1, "temperature": 0.0, "queue_size": 0}),
    (lambda **o: methods.BYOL(encoder(), **o), {"momentum": 1.5, "final_momentum": -1, "kept": "both"}),
    (
        lambda **o: methods.DINOv2(networks.VisionTransformer(window_size=(8, 8, 8), width=6, depth=1, heads=1), **o),
        {"temperature": 0, "teacher_temperatures": (0, 1), "warm_up": 0, "momentum": 2, "weights": (1,), "kept": "x"},
    ),
    (lambda **o: methods.C2L(encoder(), **o), {"momentum": 2.0, "temperature": -1.0, "alpha": 0.0, "queue_size": 0}),
    (lambda **o: methods.SimCLR(encoder(), **o), {"temperature": 0.0}),
    (lambda **o: methods.TOWER(unet(), **o), {"temperature": 0.0, "restoration": "l2"}),
    (lambda **o: methods.BarlowTwins(encoder(), **o), {"off_diagonal": -1}),
    (lambda **o: methods.Exemplar(encoder(), **o), {"margin": 4.0}),
    (lambda **o: methods.CPC(encoder(), (4, 4, 4), **o), {"objective": "nce"}),
    (lambda **o: methods.TransVW(unet(), **({"num_words": 3} | o)), {"num_words": 1}),
    (lambda **o: methods.RelativeLocation(encoder(), **o), {"preset": "code"}),
    (lambda **o: methods.Jigsaw(encoder(), ORDERS, **o), {"preset": "code"}),
    (lambda **o: methods.Rubik(encoder(), ORDERS, **o), {"preset": "code", "weights": (1.0, -1.0)}),
    (lambda **o: methods.RubikPlus(encoder(), ORDERS, **o), {"preset": "code", "weights": (1.0, 1.0)}),
    (lambda **o: methods.CubePlusPlus(unet(), nn.Identity(), **o), {"weights": (1.0,)}),
    (dira, {"stage": "ad", "gan": "wgan", "weights": (1, 1)}),
    (
        lambda **o: methods.PCRLv1(unet(), **o),
        {
            "preset": "papers",
            "attention": "none",
            "transformations": ["turn"],
            "restored": ["h"],
            "queued": ["h"],
            "alpha": 0,
            "momentum": 1.5,
            "temperature": 0,
            "queue_size": 0,
        },
    ),
    (
        lambda **o: methods.PCRLv2(networks.PyramidUNet(encoder()), **o),
        {"preset": "x", "comparison": "x", "local_reduction": "x", "local_scales": "x", "tasks": ["x"], "scales": 3},
    ),
    (
        lambda **o: LARS([nn.Parameter(torch.ones(1))], **({"lr": 0.1} | o)),
        {"lr": -1.0, "momentum": 1.0, "weight_decay": -0.1, "trust_coefficient": -0.1, "vector_scale": -0.1},
    ),
    (lambda **o: imbalance_counts(total=10, **o), {"ratio": 1.5}),
    (lambda **o: MeanResampler([0, 1], **o), {"ratio": 0}),
]


def cases():
    for name, wrong in KEYED.items():
        for argument, value in wrong.items():
            options = NEEDED.get(name, {}) | {argument: value}
            yield lambda n=name, o=options: getattr(transforms, n)("image", **o), argument, value
    for make, wrong in OTHERS:
        for argument, value in wrong.items():
            yield lambda m=make, a=argument, v=value: m(**{a: v}), argument, value


def test_every_constructor_names_what_is_out_of_range():
    silent = []
    for make, argument, value in cases():
        try:
            make()
        except ValueError as error:
            if str(error).startswith(f"`{argument}` must be "):
                continue
            silent.append(f"{argument}={value}: {error}")
        else:
            silent.append(f"{argument}={value} is accepted")
    assert not silent, "\n".join(silent)


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "need"),
    [
        ("[0, 1]", [0, 0.5, 1, True, (0, 1), None], [-0.1, 1.1, (0.5, 2), np.nan, "x", ["a"]], r"in \[0, 1\]"),
        ("(0, 1)", [1e-9, [0.5]], [0, 1, (0.5, 1.0)], r"in \(0, 1\)"),
        ("[1, inf)", [1, 1e9], [0.5, np.inf, -np.inf], "at least 1"),
        ("(0, inf)", [1e-9], [0, np.inf], "above 0"),
    ],
)
def test_intervals(interval, inside, outside, need):
    for value in inside:
        check_interval(interval, size=value)
    for value in outside:
        with pytest.raises(ValueError, match=rf"^`size` must be {need}, got "):
            check_interval(interval, fine=inside[0], size=value)


def test_choices_and_weights():
    check_choice(("a", None, 3), kind=None)
    with pytest.raises(ValueError, match=r"^`kind` must be 'a', None or 3, got 'b'\.$"):
        check_choice(("a", None, 3), kind="b")
    assert check_weights([1, 0], ("order", "turns")) == (1.0, 0.0)
    for wrong in ([1], [1, 1, 1], [1, -1], [1, np.nan]):
        with pytest.raises(
            ValueError, match=r"^`weights` must be 2 numbers of at least 0, for order and turns, got \["
        ):
            check_weights(wrong, ("order", "turns"))


def test_ranges():
    assert check_range("sigma", [0, 2], "[0, inf)") == (0.0, 2.0)
    for value in ([2, 1], [-1, 1], [0, np.inf], [1], [0, np.nan], 1):
        with pytest.raises(ValueError, match="`sigma` must be"):
            check_range("sigma", value, "[0, inf)")


def test_one_number_for_each_axis():
    assert per_axis("degrees", 10, 3).tolist() == [10, 10, 10]
    assert per_axis("degrees", (10, 20), 2).tolist() == [10, 20]
    with pytest.raises(ValueError, match="`degrees` has 2 numbers, but the image has 3 spatial axes: give one number"):
        per_axis("degrees", (10, 20), 3)


def test_a_batch_of_one():
    check_batch_size(2, "MoCo")
    with pytest.raises(
        ValueError, match="MoCo compares samples with each other and needs `batch_size` of at least 2, got 1"
    ):
        check_batch_size(1, "MoCo")
