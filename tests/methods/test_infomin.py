"""InfoMin: InfoMin-1 and InfoMin-2 of docs/properties.md."""

import pytest
import torch

from monai_ssl.losses import info_nce
from monai_ssl.methods import InfoMin, MoCo
from monai_ssl.networks import ConvEncoder

SMALL = {
    "pretrain": {
        "crops#0#sizes": [[16, 16, 16], [20, 20, 16]],
        "cell_size": [8, 8, 8],
        "gap": 0,
        "jitter": 0,
        "queue_size": 8,
    },
    "pretrain_2d": {"cells": [2, 2], "cell_size": [32, 32], "gap": 0, "jitter": 0, "queue_size": 8},
}
MOVES = {
    "contrast": ("moco.query_network.encoder.", "moco.query_network.projector."),
    "patches": ("moco.query_network.encoder.", "shuffled."),
}


def moco() -> MoCo:
    torch.manual_seed(0)
    return MoCo(ConvEncoder(2, widths=(2, 4, 8)), dim=4, queue_size=16, temperature=0.15)


def views():
    g = torch.Generator().manual_seed(0)
    batch = {name: torch.rand(3, 1, 16, 16, generator=g) for name in ("view1", "view2")}
    return {**batch, "cells": torch.rand(12, 1, 8, 8, generator=g)}


def test_without_patches_it_is_moco():
    """InfoMin-1: loss, gradients, keys and queue of MoCo v2 on the same views."""
    plain, method, batch = moco(), InfoMin(moco(), (2, 2), beta=0.0), views()
    for _ in range(2):
        terms, wanted = method(batch), plain(batch)["contrast"]
        assert torch.equal(terms["contrast"], wanted) and terms["patches"] == 0
        sum(terms.values()).backward()
        wanted.backward()
        for m in (method, plain):
            with torch.no_grad():
                for p in m.parameters():
                    if p.grad is not None:
                        p.sub_(0.1 * p.grad)
            m.zero_grad()
            m.after_step()
        assert torch.equal(method.moco.queue.features, plain.queue.features)
        # batch norm has seen patches beside the images, which parameters and keys do not feel
        for (name, a), b in zip(method.moco.named_parameters(), plain.parameters(), strict=True):
            assert torch.equal(a, b), name


def test_shuffled_patches_find_the_same_key():
    """InfoMin-2: (1 - beta) and beta weigh the two queries."""
    method, batch = InfoMin(moco(), (2, 2), beta=0.25), views()
    torch.manual_seed(1)
    terms = method(batch)
    again = InfoMin(moco(), (2, 2))
    again.shuffled.load_state_dict(method.shuffled.state_dict())
    query, key = again.moco.embed(again.encoder(batch["view1"]), batch)
    torch.manual_seed(1)
    shuffled = again.shuffled(again.encoder.pooled(batch["cells"]))
    for name, q, weight in (("contrast", query, 0.75), ("patches", shuffled, 0.25)):
        wanted = weight * info_nce(q, key, again.moco.queue.features, 0.15)
        assert terms[name].item() == pytest.approx(wanted.item(), rel=1e-5)
