"""SeLa-v2 is DeepCluster-v2 with equal shares: ``test_deepcluster.py``; here: one head of it is SwAV's assignment."""

import torch
import torch.nn.functional as F

from monai_ssl.losses import sinkhorn
from monai_ssl.methods import DeepCluster
from monai_ssl.networks import ConvEncoder

SMALL = {
    "pretrain": {
        "crops#0#sizes": [[16, 16, 16], [20, 20, 16]],
        "crops#0#local_sizes": [[8, 8, 8]],
        "crops#0#num_locals": 2,
        "local_size": [8, 8, 8],
        "clusters": 2,
    },
    "pretrain_2d": {"local_size": [32, 32], "crops#0#num_locals": 2, "clusters": 2},
}
MOVES = {"cluster": ("network.encoder.", "network.projector.")}


def test_with_one_batch_a_data_set_the_assignment_is_that_of_swav():
    """DeepCluster-8 of docs/properties.md."""
    torch.manual_seed(0)
    options = {"epsilon": 0.05, "sinkhorn_iterations": 3, "hidden": 8, "dim": 4}
    method = DeepCluster(ConvEncoder(2, widths=(2, 4, 8)), 12, 3, assign="sinkhorn", heads=1, **options)
    z = F.normalize(torch.randn(12, 4), dim=1)
    for bank in method.banks:
        bank.hold(torch.arange(12), z)
    method.after_step()
    method.start_epoch()
    q = sinkhorn(z @ method.centroids[0].T, 0.05, 3)
    assert torch.equal(method.assignments[0], q.argmax(1))
