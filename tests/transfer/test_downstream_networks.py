import logging

import pytest
import torch
from torch import nn

from monai_ssl.networks import ConvEncoder, PyramidUNet, ResNetEncoder
from monai_ssl.transfer import ModelCard, classifier, decisions, export_weights, paper_encoder, segmenter, start_from


def test_encoders_are_those_of_the_papers():
    assert sum(p.numel() for p in paper_encoder(3, 1).parameters()) == 7_027_776
    assert isinstance(paper_encoder(2, 3, 4), ResNetEncoder)
    assert paper_encoder(3, 1, 4, depth=3).channels == (4, 8, 16)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_outputs_are_logits_of_all_classes(norm):
    net = segmenter(paper_encoder(3, 1, 16), 3, norm, (8, 8, 16))
    assert net(torch.rand(2, 1, 8, 8, 16)).shape == (2, 4, 8, 8, 16)
    net2 = classifier(paper_encoder(2, 3, 8), 5, norm)
    assert net2(torch.rand(2, 3, 32, 64)).shape == (2, 5)
    kinds = {type(layer) for layer in [*net.modules(), *net2.modules()]}
    assert (nn.GroupNorm in kinds) == (norm == "group") and (nn.BatchNorm3d in kinds) == (norm == "batch")


def test_normalization_is_that_of_pretraining_and_changes_no_names():
    torch.manual_seed(0)
    plain, normalized = segmenter(paper_encoder(3, 1, 4), 1), segmenter(paper_encoder(3, 1, 4), 1, normalize="zscore")
    normalized.load_state_dict(plain.state_dict())
    x = torch.rand(2, 1, 8, 8, 8)
    y = (x - x.mean((1, 2, 3, 4), keepdim=True)) / x.std((1, 2, 3, 4), keepdim=True, correction=0)
    torch.testing.assert_close(normalized.eval()(x), plain.eval()(y), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(normalized(x), normalized(5 * x + 3), atol=1e-4, rtol=1e-3)
    assert classifier(paper_encoder(2, 3, 4), 2, normalize="imagenet")(torch.rand(2, 3, 32, 32)).shape == (2, 2)
    with pytest.raises(ValueError, match=r"`normalize` must be null or one of .*, got 'z'"):
        segmenter(paper_encoder(3, 1, 4), 1, normalize="z")


def test_sizes_and_norms_are_checked_before_any_scan_is_read():
    with pytest.raises(ValueError, match=r"`roi_size` must be divisible by 8.*got \[30, 32, 16\]; try \[32, 32, 16\]"):
        segmenter(paper_encoder(3, 1, 4), 1, roi_size=(30, 32, 16))
    with pytest.raises(ValueError, match=r"`image_size` must be divisible by 32"):
        classifier(paper_encoder(2, 3, 4), 2, image_size=(224, 100))
    with pytest.raises(ValueError, match=r"`norm` must be 'batch' or 'group', got 'layer'"):
        segmenter(paper_encoder(3, 1, 4), 1, "layer")


def test_start_from_weights_or_scratch(tmp_path, caplog):
    caplog.set_level(logging.INFO, "monai_ssl")
    source = PyramidUNet(ConvEncoder(3, 1, (4, 8, 16, 32)))
    card = ModelCard("m", "paper", {}, "ct", {"kind": "ct_window", "low": -1000.0, "high": 1000.0})
    path = export_weights(source, tmp_path / "w.safetensors", card)
    net = segmenter(paper_encoder(3, 1, 4), 1)
    assert start_from(net, "", modality="ct") == () and "starts from scratch" in caplog.text
    (account,) = start_from(net, str(path), modality="ct")
    assert account.complete and "100% of 56 tensors, there under `encoder.`" in caplog.text
    assert torch.equal(net.encoder.stages[3].conv2.weight, source.encoder.stages[3].conv2.weight)
    with pytest.warns(UserWarning, match="modality is mr here but was ct.*"):
        start_from(net, str(path), modality="mr")


@pytest.mark.parametrize("part", ["encoder", "decoder", "both", "none"])
def test_the_part_asked_for_is_that_of_the_file_and_the_rest_as_initialized(part):
    def fresh(seed):
        torch.manual_seed(seed)
        return segmenter(paper_encoder(3, 1, 4), 2)

    source, target, untouched = fresh(1), fresh(2), fresh(2)
    state = {f"module.network.{k}": v + 1 for k, v in source.state_dict().items()}
    accounts = start_from(target, state, modality="ct", part=part)
    taken = {"encoder": ["encoder"], "decoder": ["decoder"], "both": ["encoder", "decoder"], "none": []}[part]
    assert [account.part for account in accounts] == taken and all(account.complete for account in accounts)
    assert [account.prefix for account in accounts] == [f"module.network.{name}." for name in taken]
    for name, tensor in target.state_dict().items():
        expected = state[f"module.network.{name}"] if name.split(".")[0] in taken else untouched.state_dict()[name]
        assert torch.equal(tensor, expected), name
    assert not any(name.startswith("head") for account in accounts for name in account.loaded)


def test_a_decoder_without_skips_fits_a_network_without_skips_only():
    source = PyramidUNet(ConvEncoder(3, 1, (4, 8, 16))).state_dict()
    with pytest.raises(ValueError, match=r"trained without skip connections, this one is with: .*part='encoder'"):
        start_from(segmenter(paper_encoder(3, 1, 4, 3), 1), source, modality="ct", part="both")
    target = segmenter(paper_encoder(3, 1, 4, 3), 1, skips=False)
    assert all(account.complete for account in start_from(target, source, modality="ct", part="both"))
    assert target(torch.rand(2, 1, 8, 8, 8)).shape == (2, 2, 8, 8, 8)
    skipping = segmenter(paper_encoder(3, 1, 4, 3), 1).state_dict()
    with pytest.raises(ValueError, match="trained with skip connections, this one is without"):
        start_from(target, skipping, modality="ct", part="decoder")


def test_parts_that_are_not_there_are_named():
    net, image_net = segmenter(paper_encoder(3, 1, 4), 1), classifier(paper_encoder(3, 1, 4), 2)
    with pytest.raises(ValueError, match=r"`part` must be one of .*, got 'head'"):
        start_from(net, net.state_dict(), modality="ct", part="head")
    with pytest.raises(ValueError, match="EncoderClassifier has no `decoder` to load into; set `part` to 'encoder'"):
        start_from(image_net, net.state_dict(), modality="ct", part="both")


def test_decisions():
    output = [{"pred": torch.tensor([0.2, 0.8]), "label": torch.tensor([0.0, 1.0])}]
    output.append({"pred": torch.tensor([0.6, 0.7]), "label": torch.tensor([1.0, 0.0])})
    predicted, truth = decisions(output, multilabel=True)
    assert predicted.tolist() == [[0, 1], [1, 1]] and truth.tolist() == [[0, 1], [1, 0]]
    predicted, truth = decisions(output)
    assert predicted.argmax(1).tolist() == [1, 1] and truth.tolist() == [1, 0]
