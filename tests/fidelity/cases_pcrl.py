"""PCRLv1 and PCRLv2 beside an independent computation; see ``cases.py``."""

from __future__ import annotations

from itertools import product

import torch
from cases import COUNT, UPSAMPLING, Compared, both, case, encoder, finish, images, ready, turned
from plain import (
    Weights,
    contrast,
    convolve,
    cosine,
    decode,
    encode,
    mlp,
    mse,
    normalize,
    pooled,
)
from torch import Tensor, nn

import monai_ssl.methods as methods
from monai_ssl.networks import PyramidUNet, RestorationUNet
from monai_ssl.transforms.spatial.orientation import Orientation


@case("pcrlv2", "3-D, paper", dims=3, preset="paper")
@case("pcrlv2", "3-D, reference", dims=3, preset="reference")
@case("pcrlv2", "2-D, paper", dims=2, preset="paper")
@case("pcrlv2", "2-D, reference", dims=2, preset="reference")
def pcrlv2(dims: int, preset: str) -> Compared:
    method = ready(methods.PCRLv2(PyramidUNet(encoder(dims)), preset))
    data = images("view1", "view2", "target1", "target2", dims=dims)
    small = (1, 8, 8, 8) if dims == 3 else (3, 32, 32)
    data |= images("locals", count=3 * COUNT, shape=small)
    scales = [1, 0, 2, 1, 2, 0, 1]
    method.epochs_done, drawn = 0.25, list(scales)
    method._draw = lambda levels: drawn.pop(0)
    ours = method.losses(data)

    def pyramid(x: Tensor) -> list[Tensor]:
        return decode(encode(x, method.encoder), method.decoder, skips=False)

    def vectors(levels: list[Tensor], scale: int) -> tuple[Tensor, Tensor]:
        head = method.comparers[str(scale)]
        v = normalize(pooled(levels[scale]), *Weights(head.norm).take(2))
        return v, mlp(v, head.predictor, 2, norm=True)

    def compare(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        return -(cosine(a[1], b[0].detach()) + cosine(b[1], a[0].detach())) / 2

    def error(levels: list[Tensor], scale: int, target: Tensor) -> Tensor:
        weights = Weights(method.restorers[str(scale)])
        x = convolve(levels[scale], *weights.take(2))
        x = normalize(x, *weights.take(2))
        if weights.left:
            x = convolve(torch.clamp(x, min=0), *weights.take(2))
        x = 1 / (1 + torch.exp(-x)) if dims == 3 else x
        return mse(nn.functional.interpolate(x, target.shape[2:], mode=UPSAMPLING[dims]), target)

    first, second, small_ones = (pyramid(data[name]) for name in ("view1", "view2", "locals"))
    one = scales[0]
    if preset == "paper":
        theirs = {"restoration": error(first, one, data["target1"]) + error(second, one, data["target2"])}
    else:
        whole = finish(first[-1], method.full_resolution, bounded=dims == 3)
        fade = (1 + torch.cos(torch.tensor(torch.pi / 4, dtype=torch.float64))) / 2
        theirs = {
            "restoration": mse(whole, data["target1"]),
            "scale_restoration": fade * error(first, one, data["target1"]),
        }
    theirs["comparison"] = compare(vectors(first, one), vectors(second, one))
    pairs = []
    for (place, view), scale in zip(product(range(3), (first, second)), scales[1:], strict=True):
        v, p = vectors(small_ones, scale)
        rows = [3 * sample + place for sample in range(COUNT)]
        pairs.append(compare((v[rows], p[rows]), vectors(view, scale)))
    theirs["local_comparison"] = sum(pairs) / 6
    return both(method, ours, theirs)


@case("pcrlv1", "3-D, paper", dims=3, preset="paper")
@case("pcrlv1", "3-D, reference", dims=3, preset="reference")
@case("pcrlv1", "2-D, paper", dims=2, preset="paper")
@case("pcrlv1", "2-D, reference", dims=2, preset="reference")
def pcrlv1(dims: int, preset: str) -> Compared:
    method = ready(methods.PCRLv1(RestorationUNet(encoder(dims), bounded=dims == 3), preset, queue_size=16))
    data = images("view1", "view2", "target1", "target2", dims=dims)
    told = [((True, False, True)[:dims], 1), ((False, True, False)[:dims], 3), ((True, True, False)[:dims], 2)]
    shares = {"paper": [0.3], "reference": [0.4, 0.8, 0.1]}[preset]
    given, orientations = list(shares), [Orientation.same(COUNT, *one) for one in told]
    method._draw_share = lambda: given.pop(0)
    method._draw_orientation = lambda x: orientations.pop(0)
    # the vector of a transformation is float32
    method.attention.register_forward_pre_hook(lambda gate, given: tuple(x.double() for x in given))
    torch.manual_seed(3)
    ours = method.losses(data)
    momentum, queue = method.momentum_branch.network, method.queue.features

    def attend(maps: list[Tensor], one: tuple[tuple[bool, ...], int]) -> list[Tensor]:
        vector = torch.zeros(COUNT, dims + 4, dtype=torch.float64)
        vector[:, [axis for axis, flip in enumerate(one[0]) if flip] + [dims + one[1]]] = 1
        gate = 1 / (1 + torch.exp(-mlp(vector, method.attention, 2)))
        return [*maps[:-1], maps[-1] * gate.reshape(*gate.shape, *[1] * dims)]

    def mixed(a: list[Tensor], b: list[Tensor], share: float) -> list[Tensor]:
        return [share * x + (1 - share) * y for x, y in zip(a, b, strict=True)]

    def error(maps: list[Tensor], target: Tensor) -> Tensor:
        finest = decode(maps, method.network.decoder, skips=True)[-1]
        return mse(finish(finest, method.network.head, bounded=dims == 3), target)

    def online(x: Tensor) -> tuple[list[Tensor], Tensor]:
        maps = encode(x, method.encoder)
        return maps, mlp(pooled(maps[-1]), method.projector, 2)

    def follower(x: Tensor) -> tuple[list[Tensor], Tensor]:
        with torch.no_grad():
            maps = encode(x, momentum.encoder)
            return maps, mlp(pooled(maps[-1]), momentum.projector, 2)

    (o, q), (m, k) = online(data["view1"]), follower(data["view2"])
    if preset == "paper":
        h, x_h = mixed(o, m, 0.3), 0.3 * data["target1"] + 0.7 * data["target2"]
        theirs = {"contrast": contrast(q, k, queue, 0.2) / 2}
        branches = (("online", o, data["target1"]), ("momentum", m, data["target2"]), ("hybrid", h, x_h))
        for (name, maps, clean), one in zip(branches, told, strict=True):
            theirs[f"restore_{name}"] = error(attend(maps, one), turned(clean, *one)) / 2
        return both(method, ours, theirs)
    torch.manual_seed(3)
    order = torch.randperm(COUNT)
    o, m = attend(o, told[0]), attend(m, told[1])
    y1, y2 = turned(data["target1"], *told[0]), turned(data["target2"], *told[1])
    within, *outer = (max(share, 1 - share) for share in shares)
    whole = {name: within * x + (1 - within) * x[order] for name, x in data.items()}
    (o_, q_), (m_, k_) = online(whole["view1"]), follower(whole["view2"])
    keys = (k, k_, within * k + (1 - within) * k[order])
    terms = [contrast(query, key, queue, 0.2) for query, key in zip((q, q_, q_), keys, strict=True)]
    blended = outer[0] * y1 + (1 - outer[0]) * y2
    blended_ = outer[1] * whole["target1"] + (1 - outer[1]) * whole["target2"]
    theirs = {
        "contrast": sum(terms) / 3,
        "restore_online": error(o, y1) / 4,
        "restore_hybrid": error(mixed(o, m, outer[0]), blended) / 4,
        "restore_mixed": error(o_, whole["target1"]) / 4,
        "restore_mixed_hybrid": error(mixed(o_, m_, outer[1]), blended_) / 4,
    }
    return both(method, ours, theirs)
