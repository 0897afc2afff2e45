"""Cross-contrast: codes of subject and contrast, and terms by hand."""

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import SegResNet
from visits import visits_store

from monai_ssl.methods import CrossContrast
from monai_ssl.methods.cross_contrast import Coded, cosine, divergence
from monai_ssl.networks import ConvEncoder, MonaiEncoder, ResidualEncoder, ResidualEncoderUNet, RestorationUNet

SMALL = {"pretrain": {"dataset_dir": visits_store(), "latent": 8}}
WHOLE = ("network.encoder.", "network.decoder.", "network.head.", "to_code.", "from_code.")
MOVES = {
    **dict.fromkeys(("restoration", "translation"), WHOLE),
    **dict.fromkeys(("divergence", "subject", "contrast"), ("network.encoder.", "to_code.")),
}


def make(**options):
    torch.manual_seed(0)
    network = RestorationUNet(ConvEncoder(2, widths=(4, 8)), skips=False, bounded=False)
    return CrossContrast(network, **{"latent": 8} | options)


def batch(size=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    views = {f"view{i}": torch.randn(size, 1, 16, 16, generator=g) for i in (1, 2)}
    return views | {f"visible{i}": torch.zeros(size, 1, 16, 16).bernoulli(0.4, generator=g) for i in (1, 2)}


def test_terms_by_hand():
    method, data = make(weights=[2, 3, 5, 7, 11]).eval(), batch()
    method.epochs_done = 4
    codes, means, logs = [], [], []
    for i in (1, 2):
        maps = method.encoder(data[f"view{i}"] * data[f"visible{i}"])
        joined = torch.cat([F.avg_pool2d(maps[0], 2), maps[1]], 1)
        mean, log_variance = method.to_code(joined)[:, :8], method.to_code(joined)[:, 8:]
        codes.append((mean[:, :4], mean[:, 4:]))
        means.append(mean)
        logs.append(log_variance)

    def decoded(subject, contrast):
        return method.network.restore([maps[0], method.from_code(torch.cat([subject, contrast], 1))])

    def smooth(a, b):
        gap = (a - b).abs()
        return torch.where(gap < 0.1, gap.square() / 0.2, gap - 0.05).mean()

    both = (codes[0][0] + codes[1][0]) / 2
    views = [data["view1"], data["view2"]]
    kl = sum((m**2 + v.exp() - 1 - v).mean() / 2 for m, v in zip(means, logs, strict=True)) / 2
    cosines = [F.cosine_similarity(a.flatten(1), b.flatten(1)) for a, b in zip(*codes, strict=True)]
    expected = {
        "restoration": 2 * sum(smooth(decoded(*c), v) for c, v in zip(codes, views, strict=True)),
        # each from its own contrast, not from the other's
        "translation": 3 * sum(smooth(decoded(both, c[1]), v) for c, v in zip(codes, views, strict=True)),
        "divergence": 5 * 0.5 * kl,
        "subject": 7 * (1 - cosines[0].mean()),
        "contrast": 11 * cosines[1].clamp_min(0).mean(),
    }
    found = {name: x.item() for name, x in method.losses(data).items()}
    assert found == pytest.approx({name: x.item() for name, x in expected.items()}, rel=1e-4, abs=1e-5)


def test_equal_contrasts_have_one_subject_and_the_divergence_a_zero():
    method, data = make(), batch()
    same = {**data, "view2": data["view1"], "visible2": data["visible1"]}
    method._drawn = lambda mean, log_variance: mean + torch.ones_like(mean) * (log_variance / 2).exp()
    assert method.losses(same)["subject"].item() == pytest.approx(0, abs=1e-6)
    zeros = torch.zeros(2, 4, 3, 3)
    assert divergence(zeros, zeros) == 0
    assert divergence(zeros + 0.1, zeros) > 0 < divergence(zeros, zeros - 0.1)
    assert cosine(zeros + 1, -zeros - 1).tolist() == pytest.approx([-1, -1])


def test_opposite_contrasts_cost_no_more_than_orthogonal_ones():
    """A cosine that is made as small as can be has no end at the orthogonal."""
    method, data = make(weights=[0, 0, 0, 0, 1]).eval(), batch()
    code = torch.randn(3, 8, 8, 8)
    opposite = torch.cat([code[:, :4], -code[:, 4:]], 1)
    coded = iter([([], code, code, code), ([], opposite, opposite, opposite)])
    method._coded = lambda *_: Coded(*next(coded))
    method._decoded = lambda *_: data["view1"]
    assert method.losses(data)["contrast"] == 0


def test_masked_voxels_are_not_seen_and_the_divergence_rises():
    method, data = make().eval(), batch()
    changed = {**data, "view1": torch.where(data["visible1"] > 0, data["view1"], torch.tensor(9.0))}
    for name in ("subject", "contrast", "divergence"):
        assert method.losses(changed)[name] == method.losses(data)[name]
    rises = []
    for epochs in (0, 4, 9, 50):
        method.epochs_done = epochs
        rises.append(method.losses(data)["divergence"].item())
    assert rises == pytest.approx([rises[0] * n for n in (1, 5, 10, 10)], rel=1e-5)


def test_skip_connections_are_refused_and_own_decoders_do():
    own = MonaiEncoder(SegResNet(2, init_filters=8, blocks_down=(1, 1), blocks_up=(1,)))
    for encoder in (ConvEncoder(2, widths=(4, 8)), ResidualEncoder(spatial_dims=2, widths=[4, 8], depths=[1, 1]), own):
        with pytest.raises(ValueError, match="no skip connections"):
            CrossContrast(RestorationUNet(encoder, bounded=False), latent=8)
        method = CrossContrast(RestorationUNet(encoder, skips=False, bounded=False), latent=8)
        assert all(x.isfinite() for x in method.losses(batch()).values())
    with pytest.raises(ValueError, match="no skip connections"):
        CrossContrast(ResidualEncoderUNet(ResidualEncoder(spatial_dims=2, widths=[4, 8], depths=[1, 1])), latent=8)
    with pytest.raises(ValueError, match="even, got 7"):
        make(latent=7)
