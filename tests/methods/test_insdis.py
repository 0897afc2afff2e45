"""InsDis: InsDis-6 and InsDis-7 of docs/properties.md; the objective is tested by ``losses/test_memory_bank.py``."""

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.methods import InsDis
from monai_ssl.networks import ConvEncoder

SMALL = {
    "pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]]},
    "pretrain_2d": {},
}
MOVES = {"instance": ("network.encoder.", "network.projector.")}


def make(**options) -> InsDis:
    torch.manual_seed(0)
    return InsDis(ConvEncoder(2, widths=(2, 4, 8)), **({"samples": 9, "dim": 4} | options))


def views(size=3):
    g = torch.Generator().manual_seed(0)
    batch = {name: torch.rand(size, 1, 16, 16, generator=g) for name in ("view1", "view2")}
    return {**batch, "index": torch.tensor([5, 0, 7])[:size]}


def test_the_positive_is_the_entry_of_before_and_the_vector_enters_after_the_step():
    """InsDis-6: in training the second view is not looked at."""
    method, batch = make(proximal=2.0), views()
    del batch["view2"]
    old = method.instances.bank.features.clone()
    terms = method(batch)
    vectors = F.normalize(make().network(batch["view1"]), dim=1)
    torch.testing.assert_close(terms["instance"], make().instances(vectors, old[batch["index"]], batch["index"]))
    torch.testing.assert_close(terms["proximal"], 2 * (vectors - old[batch["index"]]).square().sum(1).mean())
    assert torch.equal(method.instances.bank.features, old)
    method.after_step()
    expected = F.normalize(0.5 * old[batch["index"]] + 0.5 * vectors, dim=1)
    torch.testing.assert_close(method.instances.bank.features[batch["index"]], expected.detach())


def test_validation_scans_find_their_other_view():
    """InsDis-7: they have no entry, and their numbers may go beyond those of the bank."""
    method = make().eval()
    batch = {**views(), "index": torch.tensor([40, 41, 42])}
    found = method(batch)["instance"]
    wanted = method.instances(method.network(batch["view1"]), method.network(batch["view2"]), batch["index"])
    torch.testing.assert_close(found, wanted)
    assert not method.instances.bank.held


def test_a_data_set_of_one_sample_is_refused():
    with pytest.raises(ValueError, match="1 sample has no negative"):
        make(samples=1)
