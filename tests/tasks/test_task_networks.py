"""Networks of the tasks: outputs, norms, normalization of inputs, sizes that fit."""

import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from monai_ssl.networks import as_encoder
from monai_ssl.tasks import Classification, Regression, Segmentation, normalization
from monai_ssl.transfer import ModelCard, export_weights, paper_encoder


def segmenter(structures):
    return Segmentation({str(i): i for i in range(1, structures + 1)})


def classifier(classes):
    return Classification([str(i) for i in range(classes)])


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_outputs_are_logits_of_all_classes(norm):
    net = segmenter(3).network(paper_encoder(3, 1, 16), norm, (8, 8, 16))
    assert net(torch.rand(2, 1, 8, 8, 16)).shape == (2, 4, 8, 8, 16)
    net2 = classifier(5).network(paper_encoder(2, 3, 8), norm)
    assert net2(torch.rand(2, 3, 32, 64)).shape == (2, 5)
    net3 = Regression().network(paper_encoder(3, 1, 16), norm)
    assert net3(torch.rand(2, 1, 8, 8, 16)).shape == (2, 1)
    kinds = {type(layer) for layer in [*net.modules(), *net2.modules()]}
    assert kinds & {nn.GroupNorm, nn.BatchNorm3d} == {type(m) for m in net3.modules()} & {nn.GroupNorm, nn.BatchNorm3d}
    assert (nn.GroupNorm in kinds) == (norm == "group") and (nn.BatchNorm3d in kinds) == (norm == "batch")


def test_normalization_is_that_of_pretraining_and_changes_no_names():
    torch.manual_seed(0)
    plain, normalized = (segmenter(1).network(paper_encoder(3, 1, 4), normalize=n) for n in (None, "zscore"))
    normalized.load_state_dict(plain.state_dict())
    x = torch.rand(2, 1, 8, 8, 8)
    y = (x - x.mean((1, 2, 3, 4), keepdim=True)) / x.std((1, 2, 3, 4), keepdim=True, correction=0)
    torch.testing.assert_close(normalized.eval()(x), plain.eval()(y), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(normalized(x), normalized(5 * x + 3), atol=1e-4, rtol=1e-3)
    assert classifier(2).network(paper_encoder(2, 3, 4), normalize="imagenet")(torch.rand(2, 3, 32, 32)).shape == (2, 2)
    with pytest.raises(ValueError, match=r"`normalize` must be null or one of .*, got 'z'"):
        segmenter(1).network(paper_encoder(3, 1, 4), normalize="z")
    with pytest.raises(ValueError, match=r"'imagenet' is of 3 channels, and `in_channels` is 1"):
        segmenter(1).network(paper_encoder(2, 1, 4), normalize="imagenet")


def test_who_decides_how_images_are_normalized(tmp_path, caplog):
    caplog.set_level("INFO")
    network = segmenter(1).network(paper_encoder(3, 1, 4))
    cards = {name: ModelCard("m", "paper", {}, "ct", normalize=name) for name in ("zscore", "imagenet", None)}
    files = {name: export_weights(network, tmp_path / f"{name}.safetensors", card) for name, card in cards.items()}
    for name, file in files.items():
        assert normalization("card", file) == name
        assert f"{name or 'not at all'}, as the model card of {file} says" in caplog.text
        # the user is right in any case
        assert normalization("none", file) is normalization(None, file) is None
        assert normalization("zscore", str(file)) == "zscore"
    torch.save(network.state_dict(), tmp_path / "a.pt")
    for without in ("", tmp_path / "a.pt", "missing.safetensors"):
        assert normalization("card", without) is None
    strange = export_weights(network, tmp_path / "s.safetensors", ModelCard("m", "paper", {}, "ct", normalize="l2"))
    with pytest.raises(ValueError, match="names the normalization 'l2'"):
        normalization("card", strange)
    with pytest.raises(ValueError, match="`normalize` must be 'card', 'zscore', 'imagenet' or 'none', got 'z'"):
        normalization("z", strange)


def test_sizes_and_norms_are_checked_before_any_scan_is_read():
    with pytest.raises(ValueError, match=r"`roi_size` must be divisible by 8.*got \[30, 32, 16\]; try \[32, 32, 16\]"):
        segmenter(1).network(paper_encoder(3, 1, 4), roi_size=(30, 32, 16))
    with pytest.raises(ValueError, match=r"`image_size` must be divisible by 32"):
        classifier(2).network(paper_encoder(2, 3, 4), image_size=(224, 100))
    with pytest.raises(ValueError, match=r"MonaiEncoder cannot take a `roi_size` of \[8, 8, 8\]; try \[16, 16, 16\]"):
        segmenter(1).network(as_encoder(UNet(3, 1, 2, (4, 8, 8, 8), (2, 2, 2))), roi_size=(8, 8, 8))
    with pytest.raises(ValueError, match=r"`norm` must be 'batch' or 'group', got 'layer'"):
        segmenter(1).network(paper_encoder(3, 1, 4), "layer")
