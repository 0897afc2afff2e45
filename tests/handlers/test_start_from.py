"""What a stage takes over from an earlier one, and what it refuses."""

import pytest
import torch
from toy_training import Toy, batches

from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import Checkpoint, StartFrom


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
