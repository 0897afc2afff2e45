"""PCRLv1 as "Dive into SSL" trains it: means of two contrasts and three restorations, one folded share."""

import pytest
import torch
import torch.nn.functional as F
from test_pcrlv1 import batch, make, scripted, settled, turns

from monai_ssl.losses import info_nce


@pytest.mark.parametrize("drawn", [0.2, 0.8])
def test_terms_are_the_means_of_the_study(drawn):
    method, data = settled(make("study")), batch()
    method.queue.train()
    t1, t2 = turns(1, 3)
    terms = scripted(method, [drawn], [t1, t2]).losses(data)
    o, m = method.encoder(data["view1"]), method.momentum_branch.network.encoder(data["view2"])
    query, key, mixed = (
        branch.project(maps)
        for branch, maps in (
            (method._online(), o),
            (method.momentum_branch.network, m),
            (method.momentum_branch.network, [0.8 * a + 0.2 * b for a, b in zip(o, m, strict=True)]),
        )
    )
    contrast = [info_nce(query, k, method.queue.features, 0.2) for k in (key, mixed)]
    torch.testing.assert_close(terms["contrast"], sum(contrast) / 2)
    o, m = ([*maps[:-1], method.attention(maps[-1], t.vector(torch.device("cpu")))] for maps, t in ((o, t1), (m, t2)))
    x, y = t1.apply(data["target1"]), t2.apply(data["target2"])
    wanted = {"online": (o, x), "momentum": (m, y)}
    wanted["hybrid"] = [0.8 * a + 0.2 * b for a, b in zip(o, m, strict=True)], 0.8 * x + 0.2 * y
    assert terms.keys() == {"contrast", *(f"restore_{branch}" for branch in wanted)}
    for branch, (maps, target) in wanted.items():
        error = F.mse_loss(method.network.restore(maps), target)
        torch.testing.assert_close(terms[f"restore_{branch}"], error / 3)
    method.after_step()
    torch.testing.assert_close(method.queue.features[:6], F.normalize(torch.cat([key, mixed]), dim=1))


def test_keys_carry_no_gradient_and_ablations_are_those_of_the_paper():
    method = make("study")
    torch.stack(list(method.losses(batch()).values())).sum().backward()
    assert all(p.grad is None for p in method.momentum_branch.parameters())
    assert all(p.grad is not None for p in method.encoder.parameters())
    assert method.momentum == 0.999
    with pytest.raises(ValueError, match="belong to `preset` 'paper'"):
        make("study", restored=["online"])
