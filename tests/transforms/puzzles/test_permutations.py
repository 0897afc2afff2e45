"""JIG-1 to JIG-3 and JIG-5 of docs/properties.md: tables of permutations and their distances."""

import hashlib

import pytest
import torch

from monai_ssl.transforms import permutation_table

CASES = [
    (8, 100, "maxmin"),
    (8, 100, "maxmean"),
    (8, 100, "random"),
    (8, 100, "group"),
    (8, 336, "group"),
    (9, 100, "maxmin"),
    (27, 100, "maxmin"),
    (27, 100, "random"),
    (4, 23, "maxmin"),
    (3, 5, "maxmean"),
]

DIGESTS = {
    (8, "group"): "703c4d7c",
    (8, "maxmean"): "a0331334",
    (8, "maxmin"): "7558e737",
    (8, "random"): "8d29a81e",
    (9, "maxmin"): "3855790d",
}


def distances(table):
    apart = (table[:, None] != table[None]).sum(2)
    return apart[~torch.eye(len(table), dtype=torch.bool)]


@pytest.mark.parametrize(("cells", "count", "criterion"), CASES)
@pytest.mark.parametrize("identity", [False, True])
def test_rows_are_different_permutations(cells, count, criterion, identity):
    table = permutation_table(cells, count, criterion, include_identity=identity)
    assert table.shape == (count, cells) and table.dtype == torch.int64
    assert torch.equal(table.sort(1).values, torch.arange(cells).expand(count, -1)) and distances(table).min() > 0
    home = (table == torch.arange(cells)).all(1)
    assert home.sum() == identity and (not identity or home[0])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("identity", [False, True])
def test_distances(seed, identity):
    def least(count, criterion):
        table = permutation_table(8, count, criterion, include_identity=identity, seed=seed)
        assert len(table) == count
        return distances(table).min()

    assert least(100, "maxmin") >= 5
    assert least(100, "group") >= 6 and least(336, "group") >= 6 and least(57, "group") >= 6
    assert least(56, "group") >= 7 and least(9, "group") >= 7
    assert least(8, "group") == 8 and least(5, "group") == 8


def test_the_mean_criterion_matches_the_statistics_of_the_study():
    """Its shipped table: mean 7.069 and least distance 2."""
    apart = distances(permutation_table(8, 100, "maxmean")).double()
    assert apart.mean() == pytest.approx(7.069, abs=5e-4) and apart.min() == 2


def test_the_same_table_everywhere():
    for (cells, criterion), digest in DIGESTS.items():
        table = permutation_table(cells, 50, criterion, seed=1).numpy().astype("<i8")
        assert hashlib.sha256(table.tobytes()).hexdigest().startswith(digest), (cells, criterion)
    assert not torch.equal(permutation_table(8, seed=1), permutation_table(8, seed=2))


def test_refusals():
    with pytest.raises(ValueError, match=r"`criterion` must be 'maxmin', .*, got 'best'"):
        permutation_table(8, 10, "best")
    with pytest.raises(ValueError, match='`criterion="group"` permutes 8 cells, got 9: use "maxmin"'):
        permutation_table(9, 10, "group")
    with pytest.raises(ValueError, match="`count` must be between 2 and 5, the orders of 3 cells that exist, got 6"):
        permutation_table(3, 6)
    with pytest.raises(ValueError, match=r"between 2 and 336, .*, got 337"):
        permutation_table(8, 337, "group")
    with pytest.raises(ValueError, match=r"between 2 and 6, .*, got 1"):
        permutation_table(3, 1, include_identity=True)
