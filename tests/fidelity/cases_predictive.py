"""The contrastive and predictive methods beside an independent computation; see ``cases.py``."""

from __future__ import annotations

from typing import Any

import torch
from cases import COUNT, Compared, both, case, embed, encoder, images, ready
from plain import (
    Weights,
    binary_cross_entropy,
    contrast,
    cosine,
    cross_entropy,
    encode,
    linear,
    mlp,
    normalize,
    nt_xent,
    pooled,
    redundancy,
    unit,
)
from torch import Tensor

import monai_ssl.methods as methods
from monai_ssl.networks import ConvEncoder
from monai_ssl.transforms import permutation_table


@case("moco", "3-D, v2", version="v2")
@case("moco", "3-D, v1", version="v1")
def moco(version: str) -> Compared:
    method = ready(methods.MoCo(encoder(), version, dim=8, queue_size=16))
    data, layers = images("view1", "view2"), int(version[1])
    key = embed(data["view2"], method.key_network.network, layers).detach()
    query = embed(data["view1"], method.query_network, layers)
    temperature = {"v1": 0.07, "v2": 0.2}[version]
    return both(method, method(data), {"contrast": contrast(query, key, method.queue.features, temperature)})


@case("c2l", "3-D")
def c2l() -> Compared:
    method, order = ready(methods.C2L(encoder(), dim=8, queue_size=16)), torch.tensor([2, 0, 3, 1])
    data, queue = images("view1", "view2"), method.queue.features
    method._draw = lambda count, device: (0.7, order)
    mixed = {name: 0.7 * x + 0.3 * x[order] for name, x in data.items()}
    query, mixed_query = (embed(x["view1"], method.student, 1) for x in (data, mixed))
    key, mixed_key = (embed(x["view2"], method.teacher.network, 1).detach() for x in (data, mixed))
    theirs = {
        "contrast": contrast(query, key, queue, 0.07) / 3,
        "mixed_contrast": contrast(mixed_query, mixed_key, queue, 0.07) / 3,
        "mixed_feature_contrast": contrast(mixed_query, 0.7 * key + 0.3 * key[order], queue, 0.07) / 3,
    }
    return both(method, method(data), theirs)


@case("simclr", "3-D")
def simclr() -> Compared:
    method, data = ready(methods.SimCLR(encoder())), images("view1", "view2")
    first, second = (embed(x, method.network, 2) for x in data.values())
    return both(method, method(data), {"contrast": nt_xent(first, second, 0.07)})


@case("barlow_twins", "3-D")
def barlow_twins() -> Compared:
    method, data = ready(methods.BarlowTwins(encoder(), widths=(16, 16, 12))), images("view1", "view2")
    first, second = (embed(x, method.network, 3, norm=True, bias=False) for x in data.values())
    return both(method, method(data), {"cross_correlation": redundancy(first, second, 0.0051)})


@case("simsiam", "3-D")
def simsiam() -> Compared:
    method, data = ready(methods.SimSiam(encoder(), dim=16, hidden=8)), images("view1", "view2")
    z1, z2 = (normalize(embed(x, method.network, 3, norm=True, bias=False)) for x in data.values())
    p1, p2 = (mlp(z, method.predictor, 2, norm=True) for z in (z1, z2))
    theirs = {"similarity": -(cosine(p1, z2.detach()) + cosine(p2, z1.detach())) / 2}
    return both(method, method(data), theirs)


@case("byol", "3-D")
def byol() -> Compared:
    method, data = ready(methods.BYOL(encoder(), hidden=16, dim=8)), images("view1", "view2")
    p1, p2 = (mlp(embed(x, method.online, 2, norm=True), method.predictor, 2, norm=True) for x in data.values())
    z1, z2 = (embed(x, method.target.network, 2, norm=True).detach() for x in data.values())

    def squared(p: Tensor, z: Tensor) -> Tensor:
        return (unit(p) - unit(z)).square().sum(1).mean()

    return both(method, method(data), {"regression": squared(p1, z2) + squared(p2, z1)})


@case("exemplar", "3-D")
def exemplar() -> Compared:
    method, data = ready(methods.Exemplar(encoder(), dim=8)), images("anchor", "positive")
    torch.manual_seed(3)
    ours = method(data)
    torch.manual_seed(3)
    shift = int(torch.randint(1, COUNT, ()))
    anchor, positive = unit(embed(torch.cat(list(data.values())), method.network, 1)).chunk(2)
    terms = []
    for sample in range(COUNT):
        near = (anchor[sample] - positive[sample]).square().sum()
        far = (anchor[sample] - positive[sample - shift]).square().sum()
        terms.append(torch.clamp(near - far + 0.3, min=0))
    return both(method, ours, {"triplet": sum(terms) / COUNT})


@case("rotation", "3-D")
def rotation() -> Compared:
    method = ready(methods.Rotation(encoder(), hidden=16))
    data = images("view") | {"label": torch.tensor([0, 9, 4, 4])}
    logits = mlp(pooled(encode(data["view"], method.encoder)[-1]), method.classifier, 2)
    return both(method, method(data), {"rotation": cross_entropy(logits, data["label"])})


def cell_vectors(cells: Tensor, network: Any, preset: str, *, largest: bool = False) -> Tensor:
    """The vector of each cube; batch norm over this batch alone."""
    coarsest = encode(cells, network.encoder)[-1]
    weights = Weights(network.layers)
    x = linear(coarsest.flatten(2).max(2).values if largest else pooled(coarsest), weights)
    if preset == "reference":
        return normalize(torch.clamp(x, min=0), *weights.take(2))
    return torch.clamp(normalize(x, *weights.take(2)), min=0)


@case("relative_location", "3-D, paper", preset="paper")
@case("relative_location", "3-D, reference", preset="reference")
def relative_location(preset: str) -> Compared:
    method = ready(methods.RelativeLocation(encoder(), preset, dim=8, hidden=16))
    data = images("anchor", "query") | {"label": torch.tensor([0, 25, 4, 13])}
    if preset == "reference":
        cubes = [cell_vectors(data[name], method.network, preset, largest=True) for name in ("anchor", "query")]
    else:
        cubes = list(cell_vectors(torch.cat([data["anchor"], data["query"]]), method.network, preset).chunk(2))
    logits = mlp(torch.cat(cubes, 1), method.classifier, 2)
    return both(method, method(data), {"location": cross_entropy(logits, data["label"])})


@case("jigsaw", "3-D, paper", kind="Jigsaw", preset="paper")
@case("jigsaw", "3-D, reference", kind="Jigsaw", preset="reference")
@case("rubik", "3-D, paper", kind="Rubik", preset="paper")
@case("rubik", "3-D, reference", kind="Rubik", preset="reference")
@case("rubik_plus", "3-D, paper", kind="RubikPlus", preset="paper")
@case("rubik_plus", "3-D, reference", kind="RubikPlus", preset="reference")
def puzzle(kind: str, preset: str) -> Compared:
    method = ready(getattr(methods, kind)(encoder(), permutation_table(8, 20), preset, dim=8, hidden=16))
    random = torch.Generator().manual_seed(2)
    data = images("cells", count=8 * COUNT, shape=(1, 8, 8, 8)) | {"label": torch.tensor([0, 19, 4, 13])}
    data["turns"] = torch.rand(COUNT, 8, 2, generator=random).round()
    data["masked"] = torch.rand(8 * COUNT, generator=random) > 0.5
    rubik = method.rubik if kind == "RubikPlus" else method
    jigsaw = rubik if kind == "Jigsaw" else rubik.jigsaw
    if preset == "reference":
        slots = [cell_vectors(data["cells"][slot::8], jigsaw.network, preset) for slot in range(8)]
    else:
        each = cell_vectors(data["cells"], jigsaw.network, preset)
        slots = [each[slot::8] for slot in range(8)]
    vectors = torch.cat(slots, 1)
    order = cross_entropy(mlp(vectors, jigsaw.classifier, 3), data["label"])
    if kind == "Jigsaw":
        return both(method, method(data), {"permutation": order})
    heads = rubik.turn_heads.values()
    turns = [binary_cross_entropy(mlp(vectors, head, 2), data["turns"][..., place]) for place, head in enumerate(heads)]
    share = 0.5 if kind == "Rubik" else 1.0
    theirs = {"order": share * order, "turns": share * sum(turns)}
    if kind == "RubikPlus":
        theirs["mask"] = binary_cross_entropy(mlp(vectors, method.mask_head, 2), data["masked"].reshape(COUNT, 8) + 0.0)
    return both(method, method(data), theirs)


@case("cpc", "3-D")
def cpc() -> Compared:
    torch.manual_seed(0)
    method = ready(methods.CPC(ConvEncoder(widths=(4, 8)), (4, 3, 3), dim=8, hidden=6))
    data = images("patches", count=2 * 36, shape=(1, 4, 4, 4))
    codes = embed(data["patches"], method.network, 1).reshape(2, 4, 3, 3, 8)
    mirror = {-1: 1, 0: 0, 1: 1, 2: 2, 3: 1}
    predicted, wanted = [], []
    for scan in codes:
        for y in range(3):
            for z in range(3):
                far = [scan[0, mirror[y + dy], mirror[z + dz]] for dy in (-1, 0, 1) for dz in (-1, 0, 1)]
                state = gated_recurrent([*far, scan[1, y, z]], method.recurrent)
                predicted.append([linear(state[None], Weights(one))[0] for one in method.predictors])
                wanted.append([scan[2, y, z], scan[3, y, z]])
    scores = [torch.stack([torch.stack([p[step] @ w[step] for w in wanted]) for p in predicted]) for step in range(2)]
    labels = torch.arange(len(predicted))
    return both(method, method(data), {"contrast": sum(cross_entropy(s, labels) for s in scores) / 2})


def gated_recurrent(inputs: list[Tensor], module: Any) -> Tensor:
    """The last state of a gated recurrent unit, gate by gate."""
    w, u, b, c = Weights(module).take(4)
    h = torch.zeros(u.shape[1], dtype=torch.float64)
    for x in inputs:
        (xr, xz, xn), (hr, hz, hn) = (w @ x + b).chunk(3), (u @ h + c).chunk(3)
        r, z = 1 / (1 + torch.exp(-xr - hr)), 1 / (1 + torch.exp(-xz - hz))
        h = (1 - z) * torch.tanh(xn + r * hn) + z * h
    return h
