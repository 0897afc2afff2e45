"""What a stage takes over from an earlier one, and what it refuses."""

from types import SimpleNamespace

import pytest
import torch
from toy_training import Toy, batches

from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import Checkpoint, StartFrom
from monai_ssl.methods import BYOL, AutoEncoder, MoCo
from monai_ssl.networks import ConvEncoder, MomentumNetwork, RestorationUNet
from monai_ssl.transfer import ModelCard, export_weights


def trainer(method, *handlers, epochs=1):
    optimizer = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9)
    return SSLTrainer("cpu", epochs, batches(), method, optimizer, train_handlers=list(handlers))


def earlier(path, **options):
    torch.manual_seed(1)
    method = Toy(**options)
    method.seen += 5
    torch.save(method.state_dict() | {f"encoder.{k}": v for k, v in method.encoder.state_dict().items()}, path)
    return method


def test_takes_all_that_fits_and_accounts_for_the_rest(tmp_path, caplog):
    old = earlier(tmp_path / "model.pt")
    new = Toy()
    new.head = torch.nn.Conv2d(6, 2, 1)
    head = new.head.weight.detach().clone()
    with caplog.at_level("INFO"):
        run = trainer(new, StartFrom(tmp_path / "model.pt"))
    assert all(torch.equal(a, b) for a, b in zip(old.net.parameters(), new.net.parameters(), strict=True))
    assert new.seen == 5 and torch.equal(new.head.weight, head)
    assert "head.weight (1, 6, 1, 1) in file, (2, 6, 1, 1) here" in caplog.text
    assert not run.optimizer.state


def test_nothing_happens_without_a_path():
    new = Toy()
    before = {k: v.clone() for k, v in new.state_dict().items()}
    trainer(new, StartFrom(None))
    assert all(torch.equal(before[k], v) for k, v in new.state_dict().items())


def test_takes_a_checkpoint_too_and_a_resumed_run_keeps_its_own(tmp_path):
    first = Toy()
    trainer(first, Checkpoint(tmp_path / "a")).run()
    state = torch.load(tmp_path / "a/checkpoint.pt", weights_only=True)
    state["method"] |= {f"encoder.{k}": v for k, v in first.encoder.state_dict().items()}
    torch.save(state, tmp_path / "earlier.pt")
    second = Toy()
    trainer(second, StartFrom(tmp_path / "earlier.pt"))
    assert torch.equal(second.head.weight, first.head.weight)
    own = Toy()
    trainer(own, Checkpoint(tmp_path / "b")).run()
    resumed, checkpoint = Toy(), Checkpoint(tmp_path / "b", resume=True)
    for handlers in (
        [StartFrom(tmp_path / "earlier.pt"), checkpoint],
        [checkpoint, StartFrom(tmp_path / "earlier.pt")],
    ):
        checkpoint.start(trainer(resumed, *handlers, epochs=2))
        assert torch.equal(resumed.head.weight, own.head.weight)


def test_refuses_another_encoder_and_a_missing_file(tmp_path):
    earlier(tmp_path / "model.pt", width=4)
    with pytest.raises(ValueError, match=r"of the encoder .* can be loaded .*another width"):
        trainer(Toy(), StartFrom(tmp_path / "model.pt"))
    with pytest.raises(FileNotFoundError, match="There is no weights file"):
        trainer(Toy(), StartFrom(tmp_path / "none.pt"))


def small_encoder():
    return ConvEncoder(2, widths=(4, 8))


@pytest.mark.parametrize("method", [MoCo, BYOL])
def test_momentum_encoders_begin_with_published_weights_too(method, tmp_path):
    card = ModelCard("theirs", "paper", {}, "ct", data_fingerprint="b", earlier_data=("a",))
    published = AutoEncoder(RestorationUNet(small_encoder()))
    path = export_weights(published, tmp_path / "theirs.safetensors", card)
    new = method(small_encoder())
    start = SimpleNamespace(method=new, data_seen=["own"])
    StartFrom(path).attach(start)
    wanted = published.encoder.state_dict()
    followers = [m for f in new.modules() if isinstance(f, MomentumNetwork) for m in f.modules()]
    copies = [m for m in followers if isinstance(m, ConvEncoder)]
    assert len(copies) == 1
    for encoder in (new.encoder, *copies):
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in encoder.state_dict().items())
    assert start.data_seen == ["own", "a", "b"]


def test_a_decoder_in_the_file_is_taken_too(tmp_path):
    first, second = (AutoEncoder(RestorationUNet(small_encoder())) for _ in range(2))
    card = ModelCard("autoencoder", "paper", {}, "ct")
    path = export_weights(first, tmp_path / "unet.safetensors", card, ("encoder", "decoder"))
    StartFrom(path).attach(SimpleNamespace(method=second, data_seen=[]))
    for part in ("encoder", "decoder"):
        pairs = zip(getattr(first, part).parameters(), getattr(second, part).parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
