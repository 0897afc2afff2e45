"""Local shuffling against the loop of its definition; MG-3 of docs/properties.md."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from contract import images, run

from monai_ssl.transforms import RandLocalShufflingd
from monai_ssl.transforms.spatial import shuffling, shuffling_cpu


def numbered(*spatial, batch=1):
    """Images whose values are the index of each voxel, exact in float32."""
    count = torch.Size(spatial).numel()
    return torch.arange(count, dtype=torch.float32).reshape(1, 1, *spatial).repeat(batch, 1, *[1] * len(spatial))


def shuffled(x, **options):
    transform = RandLocalShufflingd("image", 1.0, params_key="done", **options).set_random_state(0)
    out = transform.batch({"image": x})
    return out["image"], out["done"]


def last_windows(done, spatial):
    """The number of the last window over each voxel, -1 for none, by the loop of the definition."""
    owner = torch.full((len(done["start"]), *spatial), -1)
    for sample, (starts, sizes) in enumerate(zip(done["start"].mT.tolist(), done["size"].mT.tolist(), strict=True)):
        for number, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            owner[(sample, *(slice(a, a + n) for a, n in zip(start, size, strict=True)))] = number
    return owner


@pytest.fixture(params=["cpu", "cpu, 64 bits", "accelerator"])
def path(request, monkeypatch):
    """All ways to shuffle, on the CPU."""
    if request.param == "accelerator":
        monkeypatch.setattr(shuffling, "shuffle_by_size", shuffling._shuffle)
    if request.param == "cpu, 64 bits":
        monkeypatch.setattr(shuffling_cpu, "_PACKED", 0)


@pytest.mark.parametrize("spatial", [(20, 17, 30), (40, 33)])
def test_each_voxel_comes_from_the_last_window_over_it_and_no_voxel_twice_within_a_window(spatial, path):
    x = numbered(*spatial, batch=3)
    out, done = shuffled(x, num_windows=120, max_fraction=0.3)
    owner = last_windows(done, spatial)
    assert torch.equal(out[:, 0][owner < 0], x[:, 0][owner < 0]) and (owner < 0).any()
    source = torch.stack(torch.unravel_index(out[:, 0].long(), spatial), -1)
    for sample in range(3):
        for number in owner[sample].unique().tolist()[1:]:
            taken = source[sample][owner[sample] == number]
            start, size = done["start"][sample, :, number], done["size"][sample, :, number]
            assert (taken >= start).all() and (taken < start + size).all()
            assert len(taken.unique(dim=0)) == len(taken)
    assert (out[:, 0] != x[:, 0]).float().mean() > 0.3


def test_one_window_keeps_its_values_and_every_permutation_is_as_likely(path):
    """A window over the whole of four voxels: 24 permutations."""
    x = numbered(2, 2, batch=20_000)
    transform = RandLocalShufflingd("image", 1.0, num_windows=1, max_fraction=1.0, params_key="done")
    out = transform.set_random_state(0).batch({"image": x})
    whole = (out["done"]["size"] == 2).all(1)[:, 0]
    orders = out["image"].flatten(1)[whole].long()
    assert (orders.sort(1).values == torch.arange(4)).all()
    counts = (orders @ torch.tensor([64, 16, 4, 1])).unique(return_counts=True)[1].float()
    assert len(counts) == 24
    assert ((counts - len(orders) / 24) ** 2 / (len(orders) / 24)).sum() < 50  # chi-square, 23 degrees: p = 0.001


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(st.lists(st.integers(1, 24), min_size=2, max_size=3), st.integers(0, 50), st.integers(0, 99))
def test_values_come_from_nearby_for_any_shape(spatial, windows, seed):
    x = numbered(*spatial)
    transform = RandLocalShufflingd("image", 1.0, windows, 0.25).set_random_state(seed)
    out = transform.batch({"image": x})["image"]
    before, after = (torch.stack(torch.unravel_index(v[0, 0].long(), spatial)) for v in (x, out))
    longest = (torch.tensor(spatial) * 0.25 + 1e-9).floor().clamp(min=1)
    far = (before - after).abs().flatten(1).amax(1)
    assert (far <= longest - 1).all()
    if windows == 0:
        assert torch.equal(out, x)


def test_setting_of_the_paper():
    """Sides 1-6, 1-6, 1-3, uniform; about 82 % of the voxels inside a window and 78 % changed (measured)."""
    x = numbered(64, 64, 32)
    out, done = shuffled(x)
    assert done["size"].shape == (1, 3, 10_000)
    for axis, longest in enumerate((6, 6, 3)):
        share = done["size"][0, axis].bincount()[1:] / 10_000
        torch.testing.assert_close(share, torch.full((longest,), 1 / longest), atol=0.02, rtol=0)
    stop = done["start"] + done["size"]
    assert done["start"].amin() == 0 and stop.amax((0, 2)).tolist() == [64, 64, 32]
    assert (out != x).float().mean() == pytest.approx(0.78, abs=0.02)
    owner = last_windows({k: v[:1] for k, v in done.items()}, (64, 64, 32))
    assert (owner >= 0).float().mean() == pytest.approx(0.82, abs=0.02)


@pytest.mark.parametrize("spatial, windows", [((64, 64, 32), 10_000), ((224, 224), 709)])
def test_default_number_of_windows_covers_alike(spatial, windows):
    assert RandLocalShufflingd("image").draw((1, *spatial))["size"].shape[1] == windows


def test_channels_move_together():
    x = numbered(20, 20).expand(1, 3, 20, 20) + torch.tensor([0, 1000, 2000]).reshape(1, 3, 1, 1)
    out = run(RandLocalShufflingd("image", 1.0, max_fraction=0.3), x)
    assert torch.equal(out[:, 1] - 1000, out[:, 0]) and torch.equal(out[:, 2] - 2000, out[:, 0])
    assert not torch.equal(out, x)


def test_a_window_over_thousands_of_voxels_is_permuted():
    x = numbered(256, 256)
    transform = RandLocalShufflingd("image", 1.0, num_windows=12, max_fraction=1.0, params_key="done")
    out = transform.set_random_state(1).batch({"image": x})
    owner = last_windows(out["done"], (256, 256))[0]
    assert (out["done"]["size"].prod(1) > 1 << shuffling_cpu._PACKED).any()
    for number in owner.unique().tolist():
        taken = out["image"][0, 0][owner == number]
        assert len(taken.unique()) == len(taken)
    assert (out["image"] != x).float().mean() > 0.8
    assert torch.equal(transform.set_random_state(1).batch({"image": x})["image"], out["image"])


def test_pieces_change_nothing(monkeypatch, path):
    """Neither how many windows nor how many samples are treated at once can be seen."""
    x = images((2, 24, 20, 12), batch=5)
    whole = run(RandLocalShufflingd("image", 1.0, max_fraction=0.3), x)
    monkeypatch.setattr(shuffling, "_CHUNK", 500)
    monkeypatch.setattr(shuffling_cpu, "_AT_ONCE", 100)
    monkeypatch.setattr(shuffling, "_samples_at_once", lambda x, windows: 2)
    assert torch.equal(run(RandLocalShufflingd("image", 1.0, max_fraction=0.3), x), whole)


def test_large_images_are_treated_in_groups_that_fit():
    x = torch.empty(1, device="meta").expand(64, 1, 256, 256, 256)
    count = shuffling._samples_at_once(x, 14_000)
    bits = (count * 256**3).bit_length() + (count * 14_000 + 1).bit_length() + shuffling._RANDOM_BITS
    assert count >= 1 and bits <= 63
    assert shuffling._samples_at_once(torch.empty(1, 1, 64, 64, 32), 10_000) >= 16
