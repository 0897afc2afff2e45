"""The two background rules against loops over voxels."""

from __future__ import annotations

import pytest
import torch

from monai_ssl.transforms.crops.background import BackgroundRule, background_fraction, tissue_fraction

LEVEL = 0.425


def weighted_tissue(x):
    """The authors' rule by triple loop: the first of three voxels along Z that is tissue decides."""
    channels, sx, sy, sz = x.shape
    total = 0.0
    for i in range(sx):
        for j in range(sy):
            for k in range(sz):
                for depth, weight in enumerate((1.0, 0.5, 0.0)):
                    if k + depth < sz and max(x[c, i, j, k + depth] for c in range(channels)) >= LEVEL:
                        total += weight
                        break
    return total / (sx * sy * sz)


@pytest.mark.parametrize("seed", range(8))
def test_tissue_fraction_equals_the_loop(seed):
    x = torch.rand(1 + seed % 2, 4, 5, 3 + seed, generator=torch.Generator().manual_seed(seed))
    assert tissue_fraction(x, LEVEL) == pytest.approx(weighted_tissue(x))


def test_background_fraction_counts_voxels_below_the_level_in_all_channels():
    x = torch.tensor([[0.0, 0.0, 0.5, 0.425], [0.0, 0.5, 0.0, 0.0]])[:, :, None]
    assert background_fraction(x, LEVEL) == 0.25


@pytest.mark.parametrize(
    "rule, air, tissue", [("paper", True, False), ("reference", False, True), (None, False, False)]
)
def test_rules_on_pure_air_and_pure_tissue(rule, air, tissue):
    excess = BackgroundRule(rule, LEVEL, 0.85, 0.15).excess
    assert (excess(torch.zeros(1, 8, 8, 8)) > 0) is air
    assert (excess(torch.full((1, 8, 8, 8), 0.52)) > 0) is tissue


@pytest.mark.parametrize("rule, air_columns", [("paper", 17), ("reference", 3)])
def test_exactly_the_allowed_fraction_is_accepted(rule, air_columns):
    excess = BackgroundRule(rule, LEVEL, 0.85, 0.15).excess
    air, tissue = (0.0, 1.0) if rule == "paper" else (1.0, 0.0)
    x = torch.full((1, 10, 2, 5), tissue)
    columns = x.view(20, 5)
    columns[:air_columns] = air
    assert excess(x) <= 0
    columns[air_columns, 4] = air
    assert excess(x) > 0


def test_messages():
    with pytest.raises(ValueError, match=r"`background` must be 'paper', 'reference' or None, got 'papre'"):
        BackgroundRule("papre", LEVEL, 0.85, 0.15)
    with pytest.raises(ValueError, match=r"`max_background_fraction` must be in \[0, 1\], got 85"):
        BackgroundRule("paper", LEVEL, 85, 0.15)
    with pytest.raises(ValueError, match=r"`max_tissue_fraction` must be in \[0, 1\], got -1"):
        BackgroundRule("reference", LEVEL, 0.85, -1)


def test_the_level_itself_is_tissue():
    x = torch.full((1, 2, 2, 2), LEVEL)
    assert background_fraction(x, LEVEL) == 0 and tissue_fraction(x, LEVEL) == 1
