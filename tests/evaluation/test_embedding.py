import pytest
import torch

from monai_ssl.evaluation import principal_components, tsne


def clusters(n=20, d=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(3).repeat_interleave(n)
    return 20 * torch.eye(3, d)[classes] + torch.randn(3 * n, d, generator=generator), classes


def test_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 9)
    points, explained = principal_components(x, 3)
    reference = PCA(3).fit(x.numpy())
    expected = torch.from_numpy(reference.transform(x.numpy())).float()
    torch.testing.assert_close(points.abs(), expected.abs(), atol=1e-3, rtol=1e-3)
    assert explained.tolist() == pytest.approx(reference.explained_variance_ratio_.tolist(), abs=1e-5)


def test_points_keep_distances_when_nothing_is_left_out():
    x = torch.randn(10, 3)
    points, explained = principal_components(x, 3)
    torch.testing.assert_close(torch.cdist(points, points), torch.cdist(x, x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(points.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert float(explained.sum()) == pytest.approx(1)
    torch.testing.assert_close(points, principal_components(x + 100, 3)[0], atol=1e-3, rtol=1e-3)


def test_signs_do_not_depend_on_the_order_of_images():
    x, _ = clusters()
    order = torch.randperm(len(x))
    points, shuffled = principal_components(x)[0], principal_components(x[order])[0]
    torch.testing.assert_close(shuffled, points[order], atol=1e-3, rtol=1e-3)
    points, _ = principal_components(torch.tensor([[0.0, 0], [1, 3], [2, 6]]))
    assert points[:, 0].tolist() == sorted(points[:, 0].tolist())
    points, _ = principal_components(torch.tensor([[0.0, 0], [-1, 3], [-2, 6]]))
    assert points[:, 0].tolist() == sorted(points[:, 0].tolist())


def test_equal_vectors_explain_nothing():
    points, explained = principal_components(torch.ones(5, 4))
    assert points.abs().max() == 0 and explained.tolist() == [0, 0]


def test_tsne_keeps_groups_together_and_repeats():
    x, classes = clusters()
    points = tsne(x, perplexity=10)
    assert points.shape == (60, 2) and torch.equal(points, tsne(x, perplexity=10))
    nearest = torch.cdist(points, points).fill_diagonal_(torch.inf).argmin(1)
    assert (classes[nearest] == classes).all()
    assert not torch.equal(points, tsne(x, perplexity=5))


def test_shapes_and_numbers_are_checked():
    for function in (principal_components, tsne):
        with pytest.raises(ValueError, match=r"\(N, D\) with N of at least 2 images, got \(1, 4\)"):
            function(torch.zeros(1, 4))
    for dimensions in (0, 4):
        with pytest.raises(ValueError, match=rf"`dimensions` must be 1 to 3 .* got {dimensions}"):
            principal_components(torch.zeros(3, 5), dimensions)
    for perplexity in (0, 10):
        with pytest.raises(ValueError, match=f"`perplexity` must lie between 0 .* vectors 10, got {perplexity}"):
            tsne(torch.rand(10, 3), perplexity)
