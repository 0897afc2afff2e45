"""2-D embeddings of representations: PCA and t-SNE."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_components(x: Tensor, dimensions: int = 2) -> tuple[Tensor, Tensor]:
    """Project representations on the directions in which they vary most.

    The sign of a direction is free; here its largest entry is positive, so that equal data gives equal pictures.

    Args:
        x: representations (N, D), N >= 2.
        dimensions: to keep, at most min(N, D).

    Returns:
        Points (N, dimensions), centered, and the share of the variance (dimensions,) that each explains, in [0, 1].

    Raises:
        ValueError: for another shape, or more dimensions than there are.
    """
    _check(x)
    if not 1 <= dimensions <= min(x.shape):
        raise ValueError(f"`dimensions` must be 1 to {min(x.shape)} for {tuple(x.shape)} numbers, got {dimensions}.")
    centered = x.detach().cpu().double() - x.detach().cpu().double().mean(0)
    u, s, directions = torch.linalg.svd(centered, full_matrices=False)
    sign = directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign().squeeze(1)
    explained = s.square() / s.square().sum().clamp_min(torch.finfo(torch.float64).tiny)
    return (u * s * sign)[:, :dimensions].float(), explained[:dimensions].float()


def tsne(x: Tensor, perplexity: float = 30.0, seed: int = 0) -> Tensor:
    """Place representations (N, D) in the plane so that neighbors stay neighbors; distances between groups say little.

    Van der Maaten, Hinton, "Visualizing Data using t-SNE", JMLR 2008, by scikit-learn from a start by PCA.

    Args:
        x: representations (N, D).
        perplexity: about how many neighbors a vector has, less than N.
        seed: the same one gives the same picture.

    Returns:
        Points (N, 2).

    Raises:
        ValueError: for another shape, or a perplexity out of range.
    """
    from sklearn.manifold import TSNE

    _check(x)
    if not 0 < perplexity < len(x):
        raise ValueError(f"`perplexity` must lie between 0 and the number of vectors {len(x)}, got {perplexity}.")
    solver = TSNE(n_components=2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    return torch.from_numpy(solver.fit_transform(x.detach().cpu().double().numpy())).float()


def _check(x: Tensor) -> None:
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"Representations must be (N, D) with N of at least 2 images, got {tuple(x.shape)}.")


__all__ = ["principal_components", "tsne"]
