"""Embedding of images in the plane by PCA and t-SNE, trained beside untrained."""

from __future__ import annotations

from monai_ssl.analysis.features import networks, pooled_features
from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.analysis.pictures import scatter
from monai_ssl.analysis.section import Picture, Section, Table, rounded
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.evaluation import effective_rank, principal_components, spread, tsne

_PERPLEXITY, _FEWEST = 30.0, 4


def embedding_section(run: TrainedRun, shown: ImageSet, seed: int = 0) -> Section:
    """Draw the pooled features of images in the plane, and say how many directions they fill.

    Args:
        run: its trained and its untrained encoder.
        shown: images, colored by class where they have one.
        seed: of t-SNE.
    """
    features = {name: pooled_features(encoder, shown) for name, encoder in networks(run, shown).items()}
    if len(shown) < _FEWEST:
        raise ValueError(f"An embedding needs {_FEWEST} images at least, got {len(shown)}.")
    perplexity = min(_PERPLEXITY, (len(shown) - 1) / 3)
    numbers, rows, planes, neighbors = {}, [], {}, {}
    for name, x in features.items():
        points, explained = principal_components(x)
        share = float(explained.sum())
        numbers[name] = {"spread": spread(x), "effective_rank": effective_rank(x), "variance_in_the_plane": share}
        rows.append([name, rounded(spread(x)), f"{effective_rank(x):.1f}", rounded(share)])
        planes[f"{name}, {share:.0%} of the variance"] = points
        neighbors[name] = tsne(x, perplexity, seed)
    said = (
        shown.described(),
        "Features are the average of the coarsest map. A spread near 0 or an effective rank near 1 means a collapse. "
        "Groups that the untrained network shows as well come from the images, not from the training; distances "
        "between groups of a t-SNE say little.",
    )
    pictures = (
        Picture(scatter(planes, shown.classes, shown.names), "Principal components."),
        Picture(scatter(neighbors, shown.classes, shown.names), f"t-SNE, perplexity {perplexity:.3g}."),
    )
    head = ("Network", "Spread", "Effective rank", "Variance in the plane")
    return Section("embedding", "Embedding", said, numbers, Table(head, rows), pictures)
