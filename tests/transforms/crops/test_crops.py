"""What all crops keep: the seed decides, the input stays, results are plain and their own, mistakes are named."""

import pickle

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from places import Places

from monai_ssl.transforms import RandIoUPairCropd, RandMultiCropd, RandWindowCropd

PAIR = {"out_size": (8, 8, 8), "sizes": [(8, 8, 8)], "local_sizes": [(4, 4, 4)], "local_out_size": (4, 4, 4)}
MULTI = {"out_size": (16, 16), "local_out_size": (8, 8)}
FLAT_PAIR = {"out_size": (16, 16), "sizes": [(16, 16)], "local_sizes": [(4, 4)], "local_out_size": (8, 8)}
CASES = {
    "pair": (RandIoUPairCropd, PAIR, (1, 16, 12, 10)),
    "flat pair": (RandIoUPairCropd, FLAT_PAIR | {"background": None}, (1, 40, 36)),
    "multi": (RandMultiCropd, MULTI, (1, 40, 36)),
    "window": (RandWindowCropd, {"out_size": (8, 8, 8)}, (1, 16, 12, 10)),
}


def images(out):
    for value in out.values():
        if isinstance(value, (torch.Tensor, list)):
            yield from value if isinstance(value, list) else [value]


@pytest.mark.parametrize("kind", [torch.Tensor, MetaTensor])
@pytest.mark.parametrize(("crop", "options", "shape"), CASES.values(), ids=CASES)
def test_the_seed_decides_and_the_input_stays(crop, options, shape, kind):
    image = kind(torch.rand(shape, generator=torch.Generator().manual_seed(0)))
    sample, before = {"image": image, "name": "patient-07"}, image.clone()
    first = Compose([crop("image", **options)]).set_random_state(4)
    again = pickle.loads(pickle.dumps(first))  # as for a worker that is spawned
    out, same, other = first(sample), again(sample), first(sample)
    assert set(sample) == {"image", "name"} and out.keys() == same.keys() and out["name"] == "patient-07"
    assert "image" not in out
    assert all(map(torch.equal, images(out), images(same))) and not all(map(torch.equal, images(out), images(other)))
    for x in images(out):
        assert type(x) is torch.Tensor and x.is_contiguous()
        x.fill_(9)
    assert torch.equal(image, before) and not all(map(torch.equal, images(out), images(same)))


WINDOWS = [
    ({"out_size": (64,)}, r"`out_size` must have 2 or 3 axes, got 1"),
    ({"sizes": [(64, 64)]}, r"`sizes` must be positive .* as many axes as `out_size`, got \[\[64, 64\]\]"),
    ({"sizes": []}, r"`sizes` must be positive .* got \[\]"),
    ({"margin": "heart"}, r"`margin` must be voxels or \"body\", got 'heart'"),
    ({"margin": [1, 2]}, r"`margin` must give no negative number for each of 3 axes, one or a pair, got \[1, 2\]"),
    ({"margin": -1}, r"`margin` must give no negative number"),
]
MISTAKES = [
    *((crop, *mistake) for crop in (RandIoUPairCropd, RandWindowCropd) for mistake in WINDOWS),
    (RandIoUPairCropd, {"local_sizes": [(8, 8, 0)]}, "`local_sizes` must be positive"),
    (RandIoUPairCropd, {"local_out_size": (16, 16)}, "`local_out_size` must be positive"),
    (RandIoUPairCropd, {"names": ("view1", "view2")}, "`names` must name the two views and the list of small crops"),
    (RandIoUPairCropd, FLAT_PAIR | {"background": "reference"}, r"`background=\"reference\"` looks along Z"),
    (RandWindowCropd, {"out_size": (64, 0)}, "`out_size` must be positive numbers of voxels"),
    (RandWindowCropd, {"out_size": (8, 8), "background": "reference"}, r"`background=\"reference\"` looks along Z"),
    (RandMultiCropd, {"out_size": (224,)}, r"`out_size` must be 2 or 3 positive numbers of voxels, got \[224\]"),
    (RandMultiCropd, {"local_out_size": (96, 0)}, "`local_out_size` must be 2 or 3 positive numbers"),
    (RandMultiCropd, {"out_size": (64, 64, 32)}, r"`out_size` \(64, 64, 32\) and .* \(96, 96\) differ in their axes"),
    (RandMultiCropd, {"names": ("a", "b", "c")}, "`names` must be the prefix of the large crops and the key of the"),
]


@pytest.mark.parametrize(("crop", "options", "message"), MISTAKES)
def test_mistakes_are_named(crop, options, message):
    with pytest.raises(ValueError, match=message):
        crop("image", **options)


@pytest.mark.parametrize("crop", [RandIoUPairCropd, RandMultiCropd, RandWindowCropd])
def test_scans_that_do_not_fit_are_named(crop):
    thin, other = ((100, 7), (9, 9, 9)) if crop is RandMultiCropd else ((100, 100, 7), (100, 100))
    with pytest.raises(ValueError, match=rf"`{crop.__name__}` needs at least 8 voxels along every axis.* `patient-07`"):
        crop("image")({"image": Places(*thin)})
    with pytest.raises(ValueError, match=rf"cuts {len(thin)}-D windows .* but `patient-07` has the shape"):
        crop("image")({"image": Places(*other)})
    with pytest.raises(KeyError, match="image"):
        crop("image")({"picture": 1})
