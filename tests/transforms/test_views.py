import inspect
from itertools import product

import monai.transforms
import numpy as np
import pytest
import torch
from contract import SHAPES, check_contract, images
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandGaussianNoised, Randomizable, ScaleIntensityd

import monai_ssl.transforms
from monai_ssl.data.windows import collate_views
from monai_ssl.engines.randomness import seed_iteration
from monai_ssl.methods import Exemplar
from monai_ssl.networks import ConvEncoder
from monai_ssl.transforms import (
    BatchViews,
    RandBatchTransform,
    RandGaussianBlurd,
    RandGaussianNoiseBatchd,
    RandRotationTaskd,
    RandSignedGammad,
    RandTask,
    Snapshotd,
    ZScored,
    permutation_table,
)
from monai_ssl.transforms.intensity.bezier import TOWER_CURVES

CUBES = {"cube": (4, 4, 4), "gap": 1, "jitter": 1}
ARGUMENTS = {
    "RandMaskedTokensd": {"patch": 8},
    "RandCellsd": {**CUBES, "cells": (2, 2, 2)},
    "RandBlockMaskd": {"grid": (4, 4, 4)},
    "RandDiagonalPaird": {"out_size": (12, 10, 14)},
    "RandJigsawd": {**CUBES, "permutations": permutation_table(8, 50)},
    "RandPatchGridd": {"patch": (6, 6, 6), "cells": (2, 2, 2), "jitter": 2},
    "RandRelativeLocationd": CUBES,
    "RandRubikd": {**CUBES, "permutations": permutation_table(8, 50)},
}
RANDOM = {
    name: kind
    for name, kind in vars(monai_ssl.transforms).items()
    if inspect.isclass(kind) and issubclass(kind, (RandBatchTransform, RandTask)) and not inspect.isabstract(kind)
}


CONTRACT = {
    "RandBezierd": [{"curves": "random"}, {"curves": TOWER_CURVES[1:]}],
    "RandBlockMaskd": [{"grid": 4}],
    "RandElasticBatchd": [{"alpha": 100.0, "sigma": 4.0}],
    "RandFlipBatchd": [{"axis_prob": 0.9}],
    "RandFlipChaind": [{"round_prob": 1.0}],
    "RandLocalShufflingd": [{"max_fraction": 0.3}],
    "RandPatchSwapd": [{"patch_size": 4}],
    "RandPlaneRotationd": [{"plane_prob": 1.0, "quarter_prob": 0.0}],
}
"""With which every sample changes."""
COLORED = {"RandColorJitterd": [(3, 20, 17), (3, 9, 8, 7), (1, 20, 17)], "RandGrayscaled": [(3, 20, 17)]}


@pytest.mark.parametrize("name", [name for name, kind in RANDOM.items() if issubclass(kind, RandBatchTransform)])
def test_every_random_transform_of_images_keeps_the_contract(name):
    """That of ``helpers/contract.py``, in 2-D and 3-D and for several channels."""
    for options in CONTRACT.get(name, [{}]):
        for shape in COLORED.get(name, SHAPES):
            # smoothing and sampling of a batch may round differently from those of its samples
            atol = 1e-4 if name == "RandElasticBatchd" else 1e-5
            check_contract(lambda prob, o=options: RANDOM[name]("image", prob=prob, **o), shape, atol)


NOTHING = {
    "RandAffineBatchd": {"degrees": 0, "scale": (1, 1)},
    "RandColorJitterd": {"strength": 0.0},
    "RandFlipBatchd": {"axis_prob": 0},
    "RandFlipChaind": {"round_prob": 1.0, "max_rounds": 0},
    "RandGaussianBlurd": {"sigma": (0, 0)},
    "RandGaussianNoiseBatchd": {"std": (0, 0)},
    "RandPatchSwapd": {"patch_size": 4, "num_swaps": 0},
    "RandSignedGammad": {"log_gamma": (0, 0)},
}
"""Strengths at which nothing changes."""


@pytest.mark.parametrize("name", NOTHING)
def test_no_strength_no_change(name):
    for shape in SHAPES if name != "RandColorJitterd" else COLORED[name]:
        x = images(shape) - (0.5 if name == "RandSignedGammad" else 0)
        done = RANDOM[name]("image", **NOTHING[name]).set_random_state(0).batch({"image": x})["image"]
        torch.testing.assert_close(done, x, atol=1e-5, rtol=0)


MIXING = ("RandMixedCutoutd", "RandVolumeFusiond")
"""Tasks whose samples depend on each other."""


@pytest.mark.parametrize("name", [n for n, kind in RANDOM.items() if issubclass(kind, RandTask) and n not in MIXING])
def test_every_task_treats_a_batch_as_its_samples(name):
    count = 8 if name == "RandCubeMaskd" else 1
    x = torch.rand(4 * count, 1, 24, 24, 24, generator=torch.Generator().manual_seed(0))
    task = RANDOM[name]("image", **ARGUMENTS.get(name, {}))
    batch = task.set_random_state(3).batch({"image": x, "other": "kept"})
    task.set_random_state(3)
    samples = [list(some) for some in x.split(count)] if count > 1 else [MetaTensor(one) for one in x]
    joined = collate_views([task({"image": sample, "other": "kept"}) for sample in samples])
    assert batch.pop("other") == "kept" and joined.pop("other") == ["kept"] * 4 and batch.keys() == joined.keys()
    assert all(torch.equal(value, joined[key]) for key, value in batch.items())


def treated(name, image, prob=1.0, rounds=1, seed=0):
    """Images and answers of each round."""
    kind = RANDOM[name]
    options = {"prob": prob} if "prob" in inspect.signature(kind).parameters else {}
    transform = kind("image", **options, **ARGUMENTS.get(name, {})).set_random_state(seed)
    return [
        [v for v in transform.batch({"image": image}).values() if isinstance(v, torch.Tensor)] for _ in range(rounds)
    ]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def noise():
    return torch.rand(3, 3, 24, 24, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", RANDOM)
def test_every_random_transform_repeats_by_its_seed_and_draws_anew(name, noise):
    """X-1 of docs/properties.md."""
    assert issubclass(RANDOM[name], Randomizable) and issubclass(RANDOM[name], MapTransform)
    rounds, again, other = (treated(name, noise, 0.5, 8, seed) for seed in (0, 0, 1))
    assert all(map(same, rounds, again)) and not all(map(same, rounds, other))
    assert not all(same(rounds[0], one) for one in rounds[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
@pytest.mark.parametrize("name", RANDOM)
def test_every_random_transform_keeps_type_and_input(name, dtype, noise):
    """X-3 of docs/properties.md."""
    x = noise.to(dtype)
    before = x.clone()
    (done,), (expected,) = treated(name, x), treated(name, noise)
    assert torch.equal(x, before)
    for a, b in zip(done, expected, strict=True):
        assert a.dtype == (dtype if b.is_floating_point() else b.dtype) and a.shape == b.shape and a.isfinite().all()
    assert same(treated(name, MetaTensor(noise))[0], expected)


def test_snapshot_keeps_the_clean_state():
    x = torch.rand(2, 1, 9, 8)
    views = BatchViews([Snapshotd(["a"], ["target"]), RandGaussianNoiseBatchd("a"), ZScored("a")])
    out = views({"a": x})
    assert torch.equal(out["target"], x) and not torch.equal(out["a"], x)


def test_snapshot_needs_a_name_for_each_key():
    with pytest.raises(ValueError, match="2 keys but 1 names"):
        Snapshotd(["a", "b"], "target")


def test_the_seed_decides_and_transforms_differ():
    x = torch.rand(2, 1, 9, 8)

    def result(seed):
        views = BatchViews([RandGaussianNoiseBatchd("a"), RandGaussianNoiseBatchd("b")]).set_random_state(seed)
        return views({"a": x, "b": x})

    first, second, other = result(1), result(1), result(2)
    assert torch.equal(first["a"], second["a"]) and not torch.equal(first["a"], other["a"])
    assert not torch.equal(first["a"], first["b"]), "two transforms share one stream"


def test_each_iteration_and_process_draws_its_own_labels():
    """X-1 and ROT-4, as a training seeds its views."""
    x = torch.zeros(24, 1, 4, 4, 4)
    views = BatchViews([RandRotationTaskd("view")])

    def labels(seed, iteration, rank):
        seed_iteration(Exemplar(ConvEncoder(widths=(2,))), views, seed, iteration, rank)
        return tuple(views({"view": x})["label"].tolist())

    places = list(product((3, 4), range(3), range(3)))
    assert len({labels(*place) for place in places}) == len(places)
    assert labels(3, 1, 2) == labels(3, 1, 2)


def test_another_transform_runs_sample_by_sample_and_says_so():
    with pytest.warns(UserWarning, match=r"ScaleIntensityd in `views` cannot treat a batch at once"):
        views = BatchViews([ScaleIntensityd("a"), RandSignedGammad("a")])
    x = torch.rand(3, 1, 9, 8) * torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1)
    out = views({"a": x, "label": torch.tensor([0, 1, 2]), "id": ["p1", "p2", "p3"]})
    assert out["a"].flatten(1).amax(1).tolist() == [1, 1, 1] and not isinstance(out["a"], MetaTensor)
    assert out["label"].tolist() == [0, 1, 2] and out["id"] == ["p1", "p2", "p3"]


def test_locals_outnumber_the_samples_and_both_run_sample_by_sample():
    with pytest.warns(UserWarning, match="RandGaussianNoised"):
        views = BatchViews([RandGaussianNoised("locals", prob=1.0)]).set_random_state(0)
    out = views({"view1": torch.rand(2, 1, 9, 8), "locals": torch.rand(12, 1, 4, 4)})
    assert out["locals"].shape == (12, 1, 4, 4) and out["view1"].shape == (2, 1, 9, 8)


def test_no_name_clashes_with_monai():
    assert not [n for n in monai_ssl.transforms.__all__ if hasattr(monai.transforms, n)]


def test_everything_public_is_there():
    assert all(hasattr(monai_ssl.transforms, n) for n in monai_ssl.transforms.__all__)
    assert len(set(monai_ssl.transforms.__all__)) == len(monai_ssl.transforms.__all__)


def test_set_random_state_by_state():
    x = torch.rand(2, 1, 9, 8)
    outs = [
        BatchViews([RandGaussianNoiseBatchd("a")]).set_random_state(state=np.random.RandomState(3))({"a": x})["a"]
        for _ in range(2)
    ]
    assert torch.equal(*outs)


def test_views_are_float32_under_autocast():
    views = BatchViews([RandGaussianBlurd("image", sigma=(0.5, 1.0), prob=0.5)])
    batch = {"image": torch.rand(4, 1, 12, 12)}
    expected = views.set_random_state(seed=0)(batch)["image"]
    with torch.autocast("cpu", torch.bfloat16):
        found = views.set_random_state(seed=0)(batch)["image"]
    assert found.dtype == torch.float32 and torch.equal(found, expected)
