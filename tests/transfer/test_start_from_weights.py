import logging

import pytest
import torch

from monai_ssl.networks import ConvEncoder, PyramidUNet, ResNetEncoder
from monai_ssl.tasks import Classification, Segmentation
from monai_ssl.transfer import ModelCard, export_weights, paper_encoder, start_from


def segmenter(encoder, structures, **more):
    return Segmentation({str(i): i for i in range(1, structures + 1)}).network(encoder, **more)


def test_encoders_are_those_of_the_papers():
    assert sum(p.numel() for p in paper_encoder(3, 1).parameters()) == 7_027_776
    assert isinstance(paper_encoder(2, 3, 4), ResNetEncoder)
    assert paper_encoder(3, 1, 4, depth=3).channels == (4, 8, 16)


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


def test_a_decoder_of_another_file():
    def fresh(seed):
        torch.manual_seed(seed)
        return segmenter(paper_encoder(3, 1, 4), 2)

    first, second, target = fresh(1), fresh(2), fresh(3)
    states = {name: network.state_dict() for name, network in (("encoder", first), ("decoder", second))}
    start_from(target, states["encoder"], modality="ct", part="both", decoder_weights=states["decoder"])
    for part, state in states.items():
        own = {k: v for k, v in target.state_dict().items() if k.startswith(part)}
        assert own and all(torch.equal(v, state[k]) for k, v in own.items()), part
    with pytest.raises(ValueError, match="`decoder_weights` are given, and `part` is 'encoder'"):
        start_from(target, states["encoder"], modality="ct", decoder_weights=states["decoder"])


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
    net, image_net = segmenter(paper_encoder(3, 1, 4), 1), Classification(range(2)).network(paper_encoder(3, 1, 4))
    with pytest.raises(ValueError, match=r"`part` must be one of .*, got 'head'"):
        start_from(net, net.state_dict(), modality="ct", part="head")
    with pytest.raises(ValueError, match="EncoderClassifier has no `decoder` to load into; set `part` to 'encoder'"):
        start_from(image_net, net.state_dict(), modality="ct", part="both")
