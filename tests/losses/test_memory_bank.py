"""Memory bank and instance contrast: Bank-1 to Bank-4 and InsDis-1 to InsDis-5 of docs/properties.md."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from monai_ssl.losses import InstanceContrast, MemoryBank


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_an_entry_moves_after_the_step_stays_unit_and_no_other_moves():
    bank = MemoryBank(7, 4, momentum=0.8)
    before, z = bank.features.clone(), 3 * unit(2, 4)
    bank.hold(torch.tensor([5, 2]), z)
    assert torch.equal(bank.features, before)
    bank.release()
    expected = F.normalize(0.8 * before[[5, 2]] + 0.2 * F.normalize(z, dim=1), dim=1)
    torch.testing.assert_close(bank.features[[5, 2]], expected)
    torch.testing.assert_close(bank.features.norm(dim=1), torch.ones(7))
    others = [0, 1, 3, 4, 6]
    assert torch.equal(bank.features[others], before[others]) and bank.seen.nonzero().flatten().tolist() == [2, 5]


def test_a_sample_that_comes_twice_counts_once_in_any_order():
    z = unit(3, 4)
    banks = []
    for order in ([0, 1, 2], [2, 1, 0]):
        torch.manual_seed(0)
        bank = MemoryBank(7, 4)
        bank.hold(torch.tensor([5, 1, 5])[order], z[order])
        bank.release()
        banks.append(bank.features)
    torch.testing.assert_close(*banks)
    bank.eval().hold(torch.tensor([0]), z[:1])
    assert not bank.held


def test_a_sample_is_never_its_own_negative_and_all_others_come():
    few, all_of_them = InstanceContrast(9, 4, negatives=3), InstanceContrast(9, 4, negatives=65536)
    index = torch.arange(9).repeat(50)
    drawn = few._others(index)
    assert drawn.shape == (450, 3) and not (drawn == index[:, None]).any()
    assert all(set(drawn[index == i].flatten().tolist()) == {*range(9)} - {i} for i in range(9))
    assert all_of_them.negatives == 8
    rows = zip(index.tolist(), all_of_them._others(index).tolist(), strict=True)
    assert all({*row} == {*range(9)} - {i} for i, row in rows)


@pytest.mark.parametrize("objective", ["softmax", "nce"])
def test_the_loss_is_the_loop_in_double_precision(objective):
    contrast = InstanceContrast(9, 4, negatives=99, temperature=0.5, objective=objective)
    f, index = 2 * unit(3, 4), torch.tensor([4, 0, 7])
    bank = contrast.bank.features.double().numpy()
    exps = []
    for i, v in zip(index, F.normalize(f, dim=1).double().numpy(), strict=True):
        exps.append([math.exp(v @ bank[i] / 0.5)] + [math.exp(v @ bank[n] / 0.5) for n in range(9) if n != i])
    if objective == "softmax":
        losses = [-math.log(row[0] / sum(row)) for row in exps]
    else:
        z, noise = np.mean(exps) * 9, 8 / 9
        h = [[p / z / (p / z + noise) for p in row] for row in exps]
        losses = [-math.log(row[0]) - sum(math.log(1 - x) for x in row[1:]) for row in h]
    assert contrast(f, contrast.bank.features[index], index).item() == pytest.approx(np.mean(losses), rel=1e-6)
    if objective == "nce":
        contrast.release()
        assert contrast.log_z.item() == pytest.approx(math.log(z), abs=1e-6)
        contrast(f.roll(1, 0), contrast.bank.features[index], index)
        contrast.release()
        assert contrast.log_z.item() == pytest.approx(math.log(z), abs=1e-6), "Z stays that of the first batch"


@pytest.mark.parametrize("objective", ["softmax", "nce"])
def test_gradients_are_finite_differences(objective):
    contrast = InstanceContrast(9, 4, negatives=99, temperature=0.5, objective=objective)
    contrast.log_z.fill_(math.log(20.0))
    contrast.estimated.fill_(True)
    f, index = torch.randn(2, 4, requires_grad=True), torch.tensor([4, 0])
    contrast(f, contrast.bank.features[index], index).backward()
    for place in np.ndindex(2, 4):
        moved = torch.zeros(2, 4)
        moved[place] = 1e-2
        values = [contrast((f + s * moved).detach(), contrast.bank.features[index], index) for s in (1, -1)]
        assert f.grad[place].item() == pytest.approx((values[0] - values[1]).item() / 2e-2, abs=2e-3)


def test_chance_is_the_loss_of_a_vector_that_is_orthogonal_to_all():
    for objective, expected in (("softmax", math.log(9)), ("nce", None)):
        contrast = InstanceContrast(9, 4, negatives=99, objective=objective)
        contrast.bank.features.copy_(F.pad(unit(9, 3), (0, 1)))
        loss = contrast(torch.eye(4)[3:], torch.eye(4)[:1], torch.tensor([0])).item()
        assert loss == pytest.approx(contrast.chance, rel=1e-5) and loss == pytest.approx(expected or loss, rel=1e-6)


def test_nce_of_a_sure_answer_is_what_the_noise_leaves():
    """p of the positive 1, of the others 0: -log(1 / (1 + m / N))."""
    contrast = InstanceContrast(9, 4, negatives=4, temperature=0.01, objective="nce")
    contrast.bank.features.copy_(-torch.eye(4)[:1].expand(9, 4))
    contrast.log_z.fill_(100.0)  # exp(1 / 0.01) / Z = 1
    contrast.estimated.fill_(True)
    loss = contrast(torch.eye(4)[:1], torch.eye(4)[:1], torch.tensor([0]))
    assert loss.item() == pytest.approx(-math.log(1 / (1 + 4 / 9)), rel=1e-6)


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(ValueError, match="1 sample has no negative"):
        InstanceContrast(1)
    with pytest.raises(ValueError, match="`objective` must be"):
        InstanceContrast(4, objective="bce")
