"""TransAtt: sizes, equations and what the gate may depend on."""

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.networks import GateAttention, OuterProductAttention


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_gate_has_the_authors_sizes():
    assert count(GateAttention(6, 512)) == 133_376 and count(GateAttention(7, 512)) == 133_632


def test_gate_is_a_function_of_the_vector_alone():
    torch.manual_seed(0)
    attention = GateAttention(7, 8)
    vector = torch.randint(2, (2, 7)).float()
    one, _, three, _ = attention.layers
    expected = torch.sigmoid(F.linear(torch.relu(F.linear(vector, one.weight, one.bias)), three.weight, three.bias))
    for x in (torch.rand(2, 8, 4, 4, 2), torch.randn(2, 8, 6, 6)):
        torch.testing.assert_close(attention(x, vector), x * expected.reshape(2, 8, *[1] * (x.ndim - 2)))
    other = 1 - vector
    assert not torch.allclose(attention(x, vector), attention(x, other))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("rank", [3, None])
def test_outer_form_is_the_papers_equations(dims, rank):
    torch.manual_seed(0)
    attention = OuterProductAttention(dims, dims + 4, 6, rank=rank)
    assert attention.weight.weight.shape == (6, (rank or 6) ** 2)
    x, vector = torch.randn(2, 6, *[4] * dims), torch.rand(2, dims + 4)
    for b in range(2):
        f_p = attention.transformation(vector[b : b + 1])[0]
        f_l = attention.reduce(x[b].flatten(1).mean(1))
        gate = torch.sigmoid(torch.relu(attention.weight.weight @ torch.outer(f_p, f_l).flatten()))
        assert gate.min() >= 0.5 and gate.max() < 1 and gate.max() > 0.5
        expected = attention.conv((x[b] * gate.reshape(6, *[1] * dims))[None])
        torch.testing.assert_close(attention(x, vector)[b], expected[0])
    assert attention(x, vector).shape == x.shape


def test_literal_outer_form_needs_the_cube_of_the_channels():
    assert OuterProductAttention(3, 7, 16, rank=None).weight.weight.numel() == 16**3
