"""The memory of a step that is counted without computing it: the same as that of the step, and near the profiler's."""

from types import SimpleNamespace

import pytest
import torch
from monai.transforms import MapTransform

from monai_ssl.engines.gpu_casts import GpuCasts
from monai_ssl.engines.memory import LiveBytes, step_memory
from monai_ssl.methods import C2L, MAE, PCRLv1, PCRLv2, SimCLR, VolumeFusion
from monai_ssl.networks import ConvEncoder, PyramidUNet, ResidualEncoder, RestorationUNet
from monai_ssl.transforms import BatchViews, RandGaussianNoiseBatchd


def masked():
    unet = RestorationUNet(ResidualEncoder(widths=(8, 16, 32), depths=(1, 2, 1)), skips=True, bounded=False)
    visible = torch.zeros(2, 1, 32, 16, 32, dtype=torch.bool)
    visible[:, :, ::2] = True
    x = torch.rand(2, 1, 32, 16, 32)
    return MAE(unet), {"view": x, "target": x.clone(), "visible": visible}


def contrast():
    views = {name: torch.rand(4, 1, 32, 32, 16) for name in ("view1", "view2")}
    return SimCLR(ConvEncoder(widths=(8, 16, 32)), hidden=32, dim=16), views


CASES = {
    "MAE": (masked, lambda p: torch.optim.SGD(p, 0.01, momentum=0.9)),
    "SimCLR": (contrast, lambda p: torch.optim.AdamW(p, 0.01)),
}


def made(name):
    case, optimizer = CASES[name]
    torch.manual_seed(0)
    method, batch = case()
    trained = [p for p in method.parameters() if p.requires_grad]
    return SimpleNamespace(
        method=method, optimizers={"losses": optimizer(trained)}, accumulation_steps=1, views=None
    ), batch


def really(trainer, batch, amp):
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            loss = sum(trainer.method(batch, "losses").values())
        loss.backward()
        trainer.optimizers["losses"].step()
        trainer.optimizers["losses"].zero_grad(set_to_none=True)


def held(trainer, batch):
    return sum(t.nbytes for t in (*trainer.method.state_dict().values(), *batch.values()))


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_it_is_that_of_the_step_itself_and_near_the_profilers(name, amp):
    trainer, batch = made(name)
    before = {n: t.clone() for n, t in trainer.method.state_dict().items()}
    counted = step_memory(trainer, batch, amp=amp)
    assert all(torch.equal(before[n], t) for n, t in trainer.method.state_dict().items())
    with LiveBytes() as live:
        really(trainer, batch, amp)
    assert counted == pytest.approx(held(trainer, batch) + live.peak, rel=1e-3)

    trainer, batch = made(name)
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(profile_memory=True, activities=cpu) as profiled:
        really(trainer, batch, amp)
    now = peak = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    # the profiler sees the workspaces inside operations, too
    assert 0.75 < counted / (held(trainer, batch) + peak) < 1.05


def test_buffers_that_no_checkpoint_keeps_count_and_shared_weights_once():
    trainer, batch = made("SimCLR")
    before = step_memory(trainer, batch, amp=False)
    trainer.method.register_buffer("table", torch.zeros(1000), persistent=False)
    trainer.method.same = trainer.method.encoder
    assert step_memory(trainer, batch, amp=False) == before + 4000


def test_what_an_optimizer_keeps_lives_beside_the_activations_of_the_next_step():
    trainer, batch = made("SimCLR")
    with_momentum = step_memory(trainer, batch, amp=False)
    trained = [p for p in trainer.method.parameters() if p.requires_grad]
    trainer.optimizers = {"losses": torch.optim.SGD(trained, 0.01)}
    alone = step_memory(trainer, batch, amp=False)
    assert with_momentum - alone == pytest.approx(2 * sum(p.nbytes for p in trained), rel=0.01)


def step_of(method):
    trained = [p for p in method.parameters() if p.requires_grad]
    optimizers = {"losses": torch.optim.SGD(trained, 0.01)}
    return SimpleNamespace(method=method, optimizers=optimizers, accumulation_steps=1, views=None)


def test_a_method_that_draws_on_the_cpu_is_counted():
    trainer = step_of(C2L(ConvEncoder(widths=(4, 8)), dim=4, queue_size=64))
    assert step_memory(trainer, contrast()[1], amp=False) > held(trainer, {})


class Reads(SimCLR):
    def losses(self, batch):
        return super().losses(batch) if batch["view1"].mean().item() > 0 else {}


def test_a_method_that_reads_values_back_is_named():
    with pytest.raises(ValueError, match=r"The memory of Reads cannot be told without values"):
        step_memory(step_of(Reads(ConvEncoder(widths=(4, 8)))), contrast()[1], amp=False)


def test_views_count_and_need_no_values():
    trainer, batch = made("SimCLR")
    alone = step_memory(trainer, batch, amp=False)
    trainer.views = BatchViews([RandGaussianNoiseBatchd(["view1", "view2"], prob=1.0)])
    windows = sum(x.nbytes for x in batch.values())
    assert step_memory(trainer, batch, amp=False) == pytest.approx(alone + windows, rel=1e-3)


def test_a_transform_of_others_may_look_at_values():
    class Looks(MapTransform):
        def __call__(self, data):
            return {**data, **{key: data[key] / float(data[key].max()) for key in self.keys}}

    trainer, batch = made("SimCLR")
    alone = step_memory(trainer, batch, amp=False)
    with pytest.warns(UserWarning, match="Looks in `views`"):
        trainer.views = BatchViews([Looks(["view1", "view2"])])
    assert step_memory(trainer, batch, amp=False) > alone


def test_a_gpu_normalizes_tokens_in_float32():
    x, norm, linear = torch.rand(2, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        half = linear(x)
        assert norm(half).dtype is torch.bfloat16
        with GpuCasts():
            assert [f(half).dtype for f in (norm, torch.exp, linear)] == [torch.float32] * 2 + [torch.bfloat16]
            assert half.softmax(1).dtype is torch.float32


def restored(method, *views):
    return method, {name: torch.rand(2, 1, 16, 16, 16) for name in views}


def fused():
    unet = RestorationUNet(ConvEncoder(widths=(4, 8)), out_channels=6, bounded=False)
    return VolumeFusion(unet), {"view": torch.rand(2, 1, 16, 16, 16), "levels": torch.randint(6, (2, 16, 16, 16))}


NUMBERS = {
    # a scale of the decoder
    "PCRLv2": lambda: restored(
        PCRLv2(PyramidUNet(ConvEncoder(widths=(4, 8, 8)))), "view1", "view2", "target1", "target2"
    ),
    # flips and turns of each sample, and the share of a mixture
    "PCRLv1": lambda: restored(
        PCRLv1(RestorationUNet(ConvEncoder(widths=(4, 8, 8)))), "view1", "view2", "target1", "target2"
    ),
    # the axes that MONAI's Dice loss sums over
    "VolumeFusion": fused,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_on_the_host_are_known(name):
    torch.manual_seed(0)
    method, batch = NUMBERS[name]()
    trainer = step_of(method)
    counted = step_memory(trainer, batch, amp=False)
    with LiveBytes() as live:
        really(trainer, batch, amp=False)
    # scales and turns are drawn anew, and not all cost the same
    assert counted == pytest.approx(held(trainer, batch) + live.peak, rel=0.2)
