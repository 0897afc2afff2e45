"""Permutation tables with a large Hamming distance, for jigsaw and Rubik's cube.

Noroozi, Favaro, "Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles", ECCV 2016,
https://arxiv.org/abs/1603.09246, choose rows at a large Hamming distance. The group is PGL(2, 7) acting on the
projective line over the field of seven elements, see Dixon, Mortimer, "Permutation Groups", Springer 1996, Sec. 2.8.
"""

from __future__ import annotations

from itertools import permutations as all_orders
from itertools import product
from math import factorial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.arguments import check_choice

Criterion = Literal["maxmin", "maxmean", "random", "group"]

_CRITERIA = ("maxmin", "maxmean", "random", "group")
_LISTED = 8  # 40,320 orders of 8 cells are listed; of more cells, candidates are drawn
_CANDIDATES = 20_000


def permutation_table(
    cells: int, count: int = 100, criterion: Criterion = "maxmin", *, include_identity: bool = False, seed: int = 0
) -> Tensor:
    """Return ``count`` different orders of ``cells`` cells, int64 (count, cells), the same ones on any machine.

    Slot ``s`` of a puzzle holds cell ``table[label, s]``.

    Args:
        cells: number of cells.
        count: rows of the table, the classes of the task.
        criterion: ``"maxmin"`` adds the order whose least distance to those chosen is largest (100 orders of 8 cells
            differ in at least 5 places), ``"maxmean"`` the one whose mean distance is largest (the study's table, down
            to 2), ``"random"`` any, ``"group"`` takes rows of PGL(2, 7) or a part of it, for 8 cells only: up to 8 rows
            differ in all places, up to 56 in 7, up to 336 in 6, and no larger distances exist for so many.
        include_identity: whether the first row leaves all cells in place; otherwise no row does.
        seed: of the choice.

    Raises:
        ValueError: for an unknown criterion, or more rows than there are orders.

    >>> table = permutation_table(8, count=8, criterion="group")
    >>> int((table[0] != table[1]).sum())  # two rows differ in all places
    8
    """
    _check(cells, count, criterion, include_identity)
    random = np.random.RandomState(seed)
    if criterion == "group":
        table = _group_rows(count, include_identity, random)
    else:
        table = _chosen_rows(cells, count, criterion, include_identity, random)
    return torch.from_numpy(table.astype(np.int64))


def _check(cells: int, count: int, criterion: str, include_identity: bool) -> None:
    check_choice(_CRITERIA, criterion=criterion)
    if criterion == "group" and cells != 8:
        raise ValueError(f'`criterion="group"` permutes 8 cells, got {cells}: use "maxmin".')
    most = 336 if criterion == "group" else factorial(cells) - (not include_identity)
    if not 2 <= count <= most:
        raise ValueError(f"`count` must be between 2 and {most}, the orders of {cells} cells that exist, got {count}.")


def _chosen_rows(
    cells: int, count: int, criterion: str, include_identity: bool, random: np.random.RandomState
) -> NDArray:
    pool = _pool(cells, count, random)
    pool = pool[np.any(pool != np.arange(cells), axis=1)]
    if criterion == "random":
        rows = pool[random.permutation(len(pool))[: count - include_identity]]
        return np.concatenate([np.arange(cells)[None], rows]) if include_identity else rows
    chosen = [np.arange(cells) if include_identity else pool[random.randint(len(pool))]]
    least, total = np.full(len(pool), cells), np.zeros(len(pool), np.int64)
    while True:
        distance = np.sum(pool != chosen[-1], axis=1)
        # never twice the same row, whatever its mean distance
        least, total = np.minimum(least, distance), np.where(distance == 0, -np.inf, total + distance)
        if len(chosen) == count:
            return np.stack(chosen)
        score = least if criterion == "maxmin" else total
        best = np.flatnonzero(score == score.max())
        chosen.append(pool[best[random.randint(len(best))]])


def _pool(cells: int, count: int, random: np.random.RandomState) -> NDArray:
    if cells <= _LISTED:
        return np.array(list(all_orders(range(cells))))
    drawn = random.rand(max(_CANDIDATES, 4 * count), cells).argsort(axis=1)
    return np.unique(drawn, axis=0)


def _group_rows(count: int, include_identity: bool, random: np.random.RandomState) -> NDArray:
    """Rows of a coset of the smallest of a cube's translations, AGL(1, 8) and PGL(2, 7) that has enough."""
    rows = _translations() if count <= 8 else _affine() if count <= 56 else _projective()
    if include_identity:
        others = rows[1:][random.permutation(len(rows) - 1)[: count - 1]]
        return np.concatenate([rows[:1], others])
    if count == len(rows):
        # all rows of the group are asked for: those of a coset lie as far apart and leave out the identity
        swapped = np.array([1, 0, 2, 3, 4, 5, 6, 7])
        return rows[:, swapped][random.permutation(len(rows))]
    return rows[1:][random.permutation(len(rows) - 1)[:count]]


def _translations() -> NDArray:
    """The maps x + b over the field of eight elements; its sum is the exclusive or."""
    x = np.arange(8)
    return x[None] ^ x[:, None]


def _affine() -> NDArray:
    """AGL(1, 8), the maps a x + b over the field of eight elements, a not 0; the identity first."""
    times = np.array([[_field_product(a, x) for x in range(8)] for a in range(1, 8)])
    return (times[:, None] ^ np.arange(8)[:, None]).reshape(56, 8)


def _field_product(a: int, b: int) -> int:
    """Product of polynomials over two elements modulo t^3 + t + 1."""
    value = 0
    for bit in range(3):
        value ^= (a << bit) * (b >> bit & 1)
    for bit in (4, 3):
        value ^= (0b1011 << (bit - 3)) * (value >> bit & 1)
    return value


def _projective() -> NDArray:
    """PGL(2, 7), the maps x -> (a x + b) / (c x + d) on 0..6 and infinity (7); the identity first."""
    inverse = {x: pow(x, -1, 7) for x in range(1, 7)}
    rows = set()
    for a, b, c, d in product(range(7), repeat=4):
        if (a * d - b * c) % 7:
            above, below = [(a * x + b) % 7 for x in range(7)] + [a], [(c * x + d) % 7 for x in range(7)] + [c]
            rows.add(tuple(n * inverse[m] % 7 if m else 7 for n, m in zip(above, below, strict=True)))
    return np.array(sorted(rows))


__all__ = ["permutation_table"]
