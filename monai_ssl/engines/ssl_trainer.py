"""SSLTrainer: mixed precision, gradient accumulation, DistributedDataParallel (unused parameters), torch.compile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from ignite import distributed as idist
from monai.engines.trainer import Trainer
from monai.engines.utils import IterationEvents
from monai.engines.workflow import Workflow
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from monai_ssl.arguments import check_interval
from monai_ssl.engines.precision import autocast_dtype, needs_scaler
from monai_ssl.engines.prefetcher import Prefetcher
from monai_ssl.engines.randomness import seed_iteration
from monai_ssl.engines.recomputation import recompute_blocks
from monai_ssl.engines.sharding import check_shardable, shard
from monai_ssl.losses import FeatureQueue, MemoryBank
from monai_ssl.methods.base import Method
from monai_ssl.schedules import iteration_progress
from monai_ssl.transforms.views import BatchViews


class SSLTrainer(Trainer):
    """Minimize the losses of a :class:`~monai_ssl.methods.Method`, one optimizer for each of its steps.

    An iteration moves a batch to the device, makes the views there, computes the terms of each step in turn, and
    steps the optimizers after every ``accumulation_steps`` batches and at the end of an epoch. All random numbers of
    an iteration follow from ``seed`` and its number, so that a resumed run continues exactly.

    ``engine.state.output`` holds every term, detached, by name, and ``loss``, the sum of those of the first step;
    ``engine.state.views`` holds the batch as the method saw it. Under ``torchrun`` the method is wrapped for
    distributed training. ``data_seen`` names the data sets that went into the weights, by their fingerprints.

    Args:
        device: where to train.
        max_epochs: the run ends after them; progress is measured against them.
        train_data_loader: yields dictionaries; its length is the length of an epoch.
        method: what to train; moved to the device.
        optimizer: of the only step, or one for each step by name.
        views: turns what the loader yields into what the method needs, on the device.
        train_handlers: Ignite handlers; attached last to first, as they are listed.
        seed: of all that is drawn in training.
        amp: autocast to bfloat16 where the device has it, else to float16 with a gradient scaler.
        accumulation_steps: batches for one optimizer step.
        clip_norm: largest norm of the gradients of a step; ``None`` does not clip.
        compile: run the method through ``torch.compile``.
        channels_last: memory format of images and convolutions.
        checkpoint_activations: compute the insides of blocks again in the backward pass instead of keeping them: less
            memory, about a third more time, the same result. Not together with ``compile``.
        sharded: of several processes each keeps a part of parameters, gradients and optimizer state only (FSDP), from
            :meth:`run` on; one process alone keeps all.

    Raises:
        ValueError: when the optimizers do not fit the method's steps, ``accumulation_steps`` is below 1, or options
            exclude each other.
        FloatingPointError: in training, when a term is not finite on any rank.

    >>> from monai_ssl.methods import AutoEncoder
    >>> from monai_ssl.networks import ConvEncoder, RestorationUNet
    >>> method = AutoEncoder(RestorationUNet(ConvEncoder(2, widths=(2, 4))))
    >>> loader = [{"view": torch.rand(2, 1, 8, 8)}]
    >>> trainer = SSLTrainer("cpu", 3, loader, method, torch.optim.SGD(method.parameters(), lr=0.1))
    >>> trainer.run()
    >>> trainer.state.iteration, sorted(trainer.state.output)
    (3, ['loss', 'restoration'])
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: Iterable,
        method: Method,
        optimizer: Optimizer | Mapping[str, Optimizer],
        *,
        views: BatchViews | None = None,
        train_handlers: Sequence | None = None,
        seed: int = 0,
        amp: bool = False,
        accumulation_steps: int = 1,
        clip_norm: float | None = None,
        compile: bool = False,
        channels_last: bool = False,
        checkpoint_activations: bool = False,
        sharded: bool = False,
    ) -> None:
        device = torch.device(device)
        if compile and checkpoint_activations:
            raise ValueError(
                "`compile` and `checkpoint_activations` exclude each other: the compiler decides itself what is kept."
            )
        check_interval("[1, inf)", accumulation_steps=accumulation_steps)
        super().__init__(device, max_epochs, train_data_loader, amp=amp, decollate=False)
        self.method, self.views, self.seed = method.to(device), views, seed
        self.optimizers = dict(optimizer) if isinstance(optimizer, Mapping) else {method.steps[0]: optimizer}
        if tuple(self.optimizers) != method.steps:
            raise ValueError(
                f"{type(method).__name__} needs an optimizer for each of {', '.join(method.steps)}, "
                f"but got {', '.join(self.optimizers) or 'none'}."
            )
        self.optimizer = self.optimizers[method.steps[0]]
        self.accumulation_steps, self.clip_norm = accumulation_steps, clip_norm
        self.memory_format = _memory_format(method) if channels_last else torch.contiguous_format
        self.sharded, self.mesh = sharded and idist.get_world_size() > 1, cast(DeviceMesh | None, None)
        if sharded:
            check_shardable(method, compile=compile, scaler=amp and needs_scaler(device))
        if channels_last and not self.sharded:  # whose parts are rows
            _convert_convolutions(self.method, self.memory_format)
        if checkpoint_activations:
            recompute_blocks(self.method)
        if device.type == "cuda":
            self.data_loader = Prefetcher(train_data_loader, self.to_device, device)
        self.network = self.method if self.sharded else _distributed(self.method, device)
        self._forward: Callable[..., Any] = torch.compile(self.network) if compile else self.network
        self.dtype = autocast_dtype(device)
        self.scaler: torch.amp.GradScaler = torch.amp.GradScaler(  # type: ignore[assignment]
            device.type, enabled=amp and needs_scaler(device)
        )
        self.data_seen: list[str] = []
        self.state.views = None
        # after `self` is complete, since handlers may look at it
        self._register_handlers(train_handlers or [])

    def run(self) -> None:  # type: ignore[override]
        """Train until ``max_epochs``."""
        if self.sharded and self.mesh is None:
            # not before handlers are attached: those that start from earlier weights copy them into whole parameters
            self.mesh = shard(self.method, self.optimizers, torch.device(self.state.device))
        # MONAI's trainer would put a gradient scaler for CUDA in the place of ours, whatever the device
        Workflow.run(self)

    def _iteration(self, engine: SSLTrainer, batchdata: Mapping[str, Any]) -> dict[str, Tensor]:
        state = engine.state
        last = self._ends_window(state)
        self.method.train()
        for module in self.method.modules():
            if isinstance(module, Method):
                module.progress = iteration_progress(state)
                module.epochs_done = (state.epoch - 1) / state.max_epochs
        seed_iteration(self.method, self.views, self.seed, state.iteration, idist.get_rank())
        if (state.iteration - 1) % state.epoch_length == 0:
            # not at the event of an epoch, which a run that continues in the middle of one sees again
            self.method.start_epoch()
        batch: dict[Any, Any] = self.to_device(batchdata)
        if self.views is not None:
            with torch.no_grad():
                batch = self.views(batch)
        state.views = batch
        output: dict[str, Tensor] = {}
        for step, optimizer in self.optimizers.items():
            output |= self._minimize(step, optimizer, batch, last)
        if last:
            self.scaler.update()
            with torch.no_grad():
                self.method.after_step()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return output

    @property
    def takes_part(self) -> bool:
        """Whether this process runs the network when the first one looks at it; all do that share it."""
        return self.sharded or idist.get_rank() == 0

    def first_decides(self, decision: bool) -> bool:
        """Return what the first process says, on all that take part."""
        return bool(idist.broadcast(float(decision))) if self.sharded else decision

    def to_device(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Move the tensors of a batch; images get the trainer's memory format."""
        return {k: self._move(v) if isinstance(v, Tensor) else v for k, v in batch.items()}

    def _move(self, x: Tensor) -> Tensor:
        x = x.as_subclass(Tensor).to(self.state.device, non_blocking=True)
        fits = x.ndim == (5 if self.memory_format is torch.channels_last_3d else 4)
        return x.contiguous(memory_format=self.memory_format) if fits else x

    def _minimize(self, step: str, optimizer: Optimizer, batch: dict, last: bool) -> dict[str, Tensor]:
        trained = list(self.method.step_parameters(step))
        wrapped = self.network if isinstance(self.network, DistributedDataParallel) else None
        sync = contextlib.nullcontext() if last or wrapped is None else wrapped.no_sync()
        with sync, _only(self.method, trained, active=len(self.optimizers) > 1):
            with torch.autocast(self.state.device.type, self.dtype, enabled=self.amp):
                terms = self._forward(batch, step)
                loss = torch.stack(list(terms.values())).sum()
            self.scaler.scale(loss / self.accumulation_steps).backward()
        detached = {name: term.detach() for name, term in terms.items()}
        self._check_finite(step, detached, batch)
        if last:
            self._step(optimizer, trained)
        return detached if step != self.method.steps[0] else {"loss": loss.detach(), **detached}

    def _step(self, optimizer: Optimizer, trained: Sequence[nn.Parameter]) -> None:
        if self.clip_norm is not None:
            self.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(trained, self.clip_norm)
        self.scaler.step(optimizer)
        optimizer.zero_grad(set_to_none=True)

    def _ends_window(self, state: Any) -> bool:
        within_epoch = (state.iteration - 1) % state.epoch_length + 1
        return within_epoch % self.accumulation_steps == 0 or within_epoch == state.epoch_length

    def _check_finite(self, step: str, terms: Mapping[str, Tensor], batch: Mapping[str, Any]) -> None:
        # after backward, so that the device has work while the host waits for the answer
        finite = torch.stack(list(terms.values())).isfinite().all().float()
        if idist.get_world_size() > 1:
            finite = idist.all_reduce(finite, op="MIN")  # type: ignore[assignment]
        if finite > 0:
            return
        bad = (
            ", ".join(f"`{k}` = {v.item():g}" for k, v in terms.items() if not v.isfinite()) or "a term of another rank"
        )
        raise FloatingPointError(
            f"{bad} in iteration {self.state.iteration} (epoch {self.state.epoch}, {step}); training stopped and the "
            f"last checkpoint was kept. Scans of the batch: {', '.join(map(str, batch.get('scan', ['unknown'])))}. "
            "Look at them with `monai_ssl inspect`, lower `lr`, or set `clip_norm`, and continue with `--resume true`."
        )


def _distributed(method: Method, device: torch.device) -> nn.Module:
    if idist.get_world_size() == 1:
        return method
    network: nn.Module = method
    if device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(method)
    banks = _bank_buffers(method)
    for name in banks:
        torch.distributed.broadcast(network.get_buffer(name), 0)
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(network, banks)
    unused = method.sparse_gradients or len(method.steps) > 1
    return DistributedDataParallel(
        network, device_ids=[device.index] if device.type == "cuda" else None, find_unused_parameters=unused
    )


def _bank_buffers(method: Method) -> list[str]:
    """Return the names of large buffers that all processes update alike; else all would be sent before every pass."""
    banks = [(name, bank) for name, bank in method.named_modules() if isinstance(bank, (MemoryBank, FeatureQueue))]
    return [f"{name}.{key}" for name, bank in banks for key, _ in bank.named_buffers(recurse=False)]


def _memory_format(method: Method) -> torch.memory_format:
    convolutions_3d = any(isinstance(module, nn.Conv3d) for module in method.modules())
    return torch.channels_last_3d if convolutions_3d else torch.channels_last


def _convert_convolutions(method: Method, memory_format: torch.memory_format) -> None:
    ndim = 5 if memory_format is torch.channels_last_3d else 4
    for parameter in method.parameters():
        if parameter.ndim == ndim:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)


@contextlib.contextmanager
def _only(method: Method, trained: Sequence[nn.Parameter], active: bool) -> Iterator[None]:
    """Freeze what another step trains, so that a step's gradients do not leak into it."""
    keep = {id(p) for p in trained}
    frozen = [p for p in method.parameters() if active and p.requires_grad and id(p) not in keep]
    for p in frozen:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in frozen:
            p.requires_grad_(True)
