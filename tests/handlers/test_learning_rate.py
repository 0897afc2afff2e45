import pytest
import torch
from ignite.engine import Events
from toy_training import batches, trainer

from monai_ssl.handlers import LearningRate
from monai_ssl.schedules import cosine, linear


def rates(handler, epochs=4, length=5, engine=None):
    engine = engine or trainer(lr=123.0)
    handler.attach(engine)
    seen = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda e: seen.append(e.optimizers["losses"].param_groups[0]["lr"])
    )
    engine.run(batches(length), max_epochs=epochs)
    return seen


def test_per_epoch_follows_the_paper():
    seen = rates(LearningRate(cosine(0.01, 0.0), per="epoch"), epochs=4)
    assert seen[:5] == [0.01] * 5
    assert seen[10:15] == pytest.approx([0.005] * 5)
    assert len(set(seen)) == 4


def test_the_schedule_of_the_paper_at_start_middle_and_end():
    lr = cosine(0.01, 0.0)
    assert [lr(0), lr(0.5), lr(1)] == pytest.approx([0.01, 0.005, 0.0])


def test_per_iteration_is_a_function_of_the_iteration_alone():
    seen = rates(LearningRate(linear(1.0, 0.0)), epochs=4, length=5)
    assert seen == pytest.approx([1 - i / 20 for i in range(20)])


def test_a_resumed_run_needs_no_state():
    engine = trainer()
    engine.load_state_dict({"epoch_length": 5, "max_epochs": 4, "iteration": 10})
    assert rates(LearningRate(linear(1.0, 0.0)), engine=engine) == pytest.approx([1 - i / 20 for i in range(10, 20)])


def test_each_optimizer_has_its_own_schedule_and_all_groups_follow():
    engine = trainer()
    other = torch.optim.SGD([{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)]}], lr=9.0)
    engine.optimizers["discriminator_losses"] = other
    schedules = {"losses": linear(1.0, 0.0), "discriminator_losses": linear(2.0, 2.0)}
    assert rates(LearningRate(schedules), epochs=1, engine=engine)[0] == 1.0
    assert [g["lr"] for g in other.param_groups] == [2.0, 2.0]


def test_marked_groups_keep_their_rate():
    engine = trainer()
    groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "fixed_lr": True}]
    engine.optimizers["losses"] = torch.optim.SGD(groups, lr=0.3)
    other = engine.optimizers["losses"].param_groups[1]
    assert rates(LearningRate(linear(1.0, 0.0)), engine=engine)[-1] == pytest.approx(0.05)
    assert other["lr"] == 0.3


def test_refusals():
    with pytest.raises(ValueError, match=r"`per` .* got 'step'"):
        LearningRate(linear(1, 0), per="step")
    with pytest.raises(ValueError, match=r"schedules for \['loss'\], but the trainer has optimizers for \['losses'\]"):
        LearningRate({"loss": linear(1, 0)}).attach(trainer())


def test_groups_of_a_layer_decay_get_their_share_of_every_rate():
    engine = trainer()
    groups = [{"params": [torch.zeros(1)], "lr_scale": scale} for scale in (0.25, 0.5, 1.0)]
    engine.optimizers["losses"] = torch.optim.SGD(groups, lr=9.0)
    last = rates(LearningRate(linear(2.0, 0.0)), epochs=1, length=5, engine=engine)[-1]
    assert last == pytest.approx(0.1)
    assert [g["lr"] for g in engine.optimizers["losses"].param_groups] == pytest.approx([0.1, 0.2, 0.4])
