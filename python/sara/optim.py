# SPDX-License-Identifier: Apache-2.0
"""SaRA as a torch.optim.Optimizer."""

from __future__ import annotations

import contextlib
import math
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch

from sara import _core
from sara._build_info import version
from sara.layers import switch, switch_back
from sara.parameters import scope_of
from sara.processes import HiddenFromDDP, average, require_same, world_size
from sara.selection import budget_text, patterns, weights_of

_DEFAULTS = _core.option_defaults()
_BUFFERS = ("values", "exp_avg", "exp_avg_sq")  # of the state: [active weights of a group]
_SCALES = ("exp_avg_scale", "exp_avg_sq_scale")  # with moments="8bit": [blocks of a group]
_GROUP_KEYS = ("lr", "betas", "eps", "weight_decay")


class StepReport(NamedTuple):
    """What one step did, as optimizer.report tells it."""

    grad_norm: float  # of the compact gradient before clipping by max_grad_norm, rank term included
    rank_loss: float  # lambda_rank x the loss of the matrices used at this step
    active: int  # weights trained after this step
    reselected: bool
    skipped: bool  # the gradient was not finite: weights and moments untouched


def _weakly(method):
    """The method as a function that keeps its object from nothing."""
    held = weakref.WeakMethod(method)

    def call():
        if (bound := held()) is not None:
            bound()

    return call


def _check_group(settings):
    """Refuses options of a group that are none, and values out of range. A group may have a name."""
    settings = {key: value for key, value in settings.items() if key != "name"}
    for key in settings:
        if key in _DEFAULTS and key not in _GROUP_KEYS:
            raise _core.InvalidArgument(f"{key}: is for all groups together (got it in one group). Fix: give it to sara.AdamW")
        if key not in _GROUP_KEYS:
            raise _core.InvalidArgument(f"{key}: no option of a group (expected one of {', '.join(_GROUP_KEYS)}). Fix: leave it out")
    legal = {
        "lr": lambda lr: math.isfinite(lr) and lr >= 0,
        "betas": lambda betas: len(betas) == 2 and all(0 <= beta < 1 for beta in betas),
        "eps": lambda eps: math.isfinite(eps) and eps > 0,
        "weight_decay": lambda decay: math.isfinite(decay) and decay >= 0,
    }
    for key, value in settings.items():
        if value is not None and not legal[key](value):
            raise _core.InvalidArgument(f"{key}: out of range in a group (got {value}). Fix: give a value that torch.optim.AdamW takes")


class AdamW(torch.optim.Optimizer):
    """AdamW on the weights that do nothing yet (Alg. 1; Sec. 4.1-4.4), for any torch.nn.Module.

    The selected weights live in one flat float32 buffer; `param_groups` holds one compact parameter a group, [active weights of the
    group], whose .grad is the compact gradient. So LR schedulers, torch.amp.GradScaler,
    `clip_grad_norm_(optimizer.parameters(), 1.0)`, closures, accelerate and Lightning work unchanged. The model's own parameters keep
    no .grad: each dense gradient is freed during backward as soon as its selected entries are gathered. Every weight outside
    the mask stays bit for bit the base.

    model: an nn.Module, an iterable of (name, parameter), or a list of groups {"params": one of those, "lr": ..., "weight_decay":
        ...}. Parameters with requires_grad = False are left alone. Move and convert the model before; make the optimizer
        before trained weights are loaded into it.
    threshold: select { |p| < threshold }, strictly, over all groups (2e-3 when no budget is given).
    budget: instead of a threshold, how many weights: a count (50_000_000, "50M") or a share ("5%").
    lr: learning rate; default 1e-3 exp(-350 threshold) (Eq. 13).
    betas, eps, weight_decay: as in torch.optim.AdamW. decay_to: what decay pulls to, "zero" (the paper) or "base".
    lambda_rank: weight of the nuclear-norm loss on the trained weights (Sec. 4.2, Eq. 4-6), 0 for none. rank_mode: matrices a
        step, "one" drawn at random or "all". rank_layers: "linear", or "all" with convolutions. rank_reduction: "mean" or "sum". The
        term is added inside step() and is not left in .grad; max_grad_norm counts it, clip_grad_norm_ does not see it.
    progressive_iter: after this step only weights still below the threshold go on (Sec. 4.3); 0: never. The paper: half of the steps.
    max_grad_norm: clip by the true norm inside step(); None: never.
    include, exclude: regular expressions on parameter names; seed: of the rank loss's draws; force: accept a threshold
        that selects nothing or more than half.
    moments: "fp32", or "8bit": both moments in one byte a weight, in blocks of 256 with a scale each (docs/method.md).
    selection: which weights, by name: "below" the threshold (the paper), or, with a budget, "largest", "random" (by seed),
        "smallest_per_tensor", "changed" (those that moved most from this model to `tuned`, a module of the same kind).

    Several processes (torch.distributed started before): each backward pass ends with one exchange that averages the compact gradient
    over them; no wrapper is needed. Every process makes the optimizer on the same weights and runs the same number of backward passes and
    steps. A module may be wrapped in DistributedDataParallel afterwards, by accelerate too; not before.

    sparse_backward: let the model's nn.Linear and nn.Conv2d compute the selected entries of their weight gradients alone, by the
        library's forward and backward (until close()); they have no second derivative. False: dense gradients, freed layer by
        layer. Only where a module was given, not a list of parameters.
    fast_attention: on the CPU, let torch.nn.functional.scaled_dot_product_attention go by the library's kernels (until close(), in the whole
        process) where they fit: AVX-512, float32 or, with bf16 instructions, bfloat16, no mask, no dropout, not causal, the usual scale, at
        least as many heads of all samples as threads. The numbers are the same up to rounding. False: torch's own.
    pool_memory: on the CPU, let tensors of 32 KiB and more take their memory from one pool, from now on and in the whole process: what a
        step has freed stays warm for the next one and does not go back to the system. False: torch's allocator as it is.

    Raises ValueError (sara.InvalidArgument) for bad options, a selection of nothing or of more than half, weights trained by another
    sara optimizer; sara.BadFile for NaN or infinite weights.
    """

    def __init__(
        self,
        model: torch.nn.Module | Iterable[tuple[str, torch.Tensor]] | Sequence[dict],
        threshold: float | None = None,
        *,
        budget: int | str | None = None,
        lr: float | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        decay_to: Literal["zero", "base"] = "zero",
        moments: Literal["fp32", "8bit"] = "fp32",
        lambda_rank: float = 5e-3,
        rank_mode: Literal["one", "all"] = _DEFAULTS["rank_mode"],
        rank_layers: Literal["linear", "all"] = "linear",
        rank_reduction: Literal["mean", "sum"] = "mean",
        progressive_iter: int = 0,
        max_grad_norm: float | None = None,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        seed: int = 0,
        force: bool = False,
        selection: Literal["below", "largest", "random", "smallest_per_tensor", "changed"] = "below",
        tuned: torch.nn.Module | None = None,
        sparse_backward: bool = True,
        fast_attention: bool = True,
        pool_memory: bool = True,
    ) -> None:
        self._core = self._attention = None
        self._identity = id(self)
        self._processes = world_size()
        self._synchronized, self._waiting = True, False
        scope = scope_of(model)
        for _, settings in scope.groups:
            _check_group(settings)
        options = dict(
            threshold=threshold,
            budget=budget_text(budget),
            lr=lr,
            adam_beta1=betas[0],
            adam_beta2=betas[1],
            eps=eps,
            weight_decay=weight_decay,
            decay_to=decay_to,
            moments=moments,
            lambda_rank=lambda_rank,
            rank_mode=rank_mode,
            rank_layers=rank_layers,
            rank_reduction=rank_reduction,
            progressive_iter=progressive_iter,
            max_grad_norm=0 if max_grad_norm is None else max_grad_norm,
            include=patterns(include),
            exclude=patterns(exclude),
            seed=seed,
            force=force,
            selection=selection,
        )
        for named, _ in scope.groups:
            for _, parameter in named:
                if parameter._post_accumulate_grad_hooks is not None and not parameter._post_accumulate_grad_hooks:
                    _core.drop_post_accumulate_hook(parameter)  # what a removed hook leaves behind
                    parameter._post_accumulate_grad_hooks = None
        on_cpu = any(parameter.device.type == "cpu" for named, _ in scope.groups for _, parameter in named)
        if pool_memory and on_cpu:
            _core.pool_tensor_memory()
        self._family = scope.family
        self._flags = [(parameter, parameter.requires_grad) for named, _ in scope.groups for _, parameter in named]
        self._core = _core.AdamW([(named, settings.get("lr"), settings.get("weight_decay")) for named, settings in scope.groups], options, weights_of(tuned))
        tensors = {name: parameter for named, _ in scope.groups for name, parameter in named}
        self._homes = [(name, *scope.owners[name], tensors[name]) for name in self._core.trained_names() if name in scope.owners]
        self._switched = switch(scope.modules, {id(tensors[name]) for name in self._core.trained_names()}) if sparse_backward else []
        self._hidden = HiddenFromDDP(scope.modules if self._processes > 1 else (), {id(tensors[name]) for name in self._core.trained_names()})
        self.report: StepReport | None = None
        try:
            if self._processes > 1:
                self._require_same("at the start")
                self._core.after_backward(_weakly(self._after_backward))
            if lr is None:
                rates = [settings.get("lr") for _, settings in scope.groups]
                lr = self._core.lr() if None in rates else rates[0]
            groups = [{**settings, "params": [values]} for (_, settings), values in zip(scope.groups, self._core.parameters())]
            self._attention = _core.FastAttention() if fast_attention and on_cpu else None
            super().__init__(groups, dict(lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay))
        except BaseException:
            self.close()
            raise
        self._complete = True

    # The optimizer interface.

    def add_param_group(self, param_group: dict) -> None:
        if getattr(self, "_complete", False):
            raise _core.InvalidArgument("add_param_group: the selection is over all groups together. Fix: give every group to sara.AdamW when it is made")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], object] | None = None):
        """One step of Alg. 1 on the gradient gathered since zero_grad(); sets `report`. A gradient with NaN or infinite
        entries changes nothing. Raises ValueError, with nothing changed, when a weight was moved, replaced or got another hook.

        closure: computes the loss anew, as in torch.optim; its result is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        core = self._bound()
        self._require_known_processes()
        if self._waiting:
            self._average()
        steps = [(float(g["lr"]), float(g["betas"][0]), float(g["betas"][1]), float(g["eps"]), float(g["weight_decay"])) for g in self.param_groups]
        self.report = StepReport(**core.step(steps))
        if self.report.reselected and self._processes > 1:
            self._hidden.refresh()
            self._require_same(f"after step {core.steps}")
        return loss

    @contextlib.contextmanager
    def no_sync(self):
        """In several processes: backward passes inside do not average the compact gradient; the first one outside, or step(), averages what
        has come together. For gradient accumulation, where it saves exchanges; the result is the same without. Every process does the same.
        """
        before, self._synchronized = self._synchronized, False
        try:
            yield
        finally:
            self._synchronized = before

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the compact gradient. The buffer stays, whatever set_to_none says. (model.zero_grad() does not reach it.)"""
        self._open().zero_grad()
        self._waiting = False

    def parameters(self) -> list[torch.Tensor]:
        """The compact parameters, one a group: for clip_grad_norm_ and the like."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def state_dict(self) -> dict:
        """All that is needed to go on bit for bit: values, moments, counts, and after a reselection what is still active and what
        the others learned. Tensors and plain objects only, so torch.load(weights_only=True) reads it back. The tensors are the
        live ones, not copies, as in torch.optim.
        """
        core = self._open()
        state = core.state()
        groups = {}
        for index in range(len(self.param_groups)):
            spans = {**dict.fromkeys(_BUFFERS, core.group_span(index)), **dict.fromkeys(_SCALES, core.group_block_span(index))}
            groups[index] = {key: state[key][begin:end] for key, (begin, end) in spans.items() if key in state}
        for key in _BUFFERS + _SCALES:
            state.pop(key, None)
        saved = [{**{key: value for key, value in group.items() if key != "params"}, "params": [index]} for index, group in enumerate(self.param_groups)]
        return {"state": groups, "param_groups": saved, "sara": state}

    def load_state_dict(self, state_dict: Mapping) -> None:
        """Goes on from what state_dict() gave, on an optimizer made with the same options over the same base; writes the model's trained
        weights too. Raises ValueError, with nothing changed, for another base, threshold, number of groups or size.
        """
        core = self._bound()
        if not all(key in state_dict for key in ("state", "param_groups", "sara")):
            raise _core.InvalidArgument("state: not of a sara.AdamW. Fix: load what its state_dict() gave")
        groups, saved = state_dict["state"], state_dict["param_groups"]
        if len(saved) != len(self.param_groups) or set(groups) != set(range(len(self.param_groups))):
            raise _core.InvalidArgument(f"state: another number of groups (expected {len(self.param_groups)}, got {len(saved)}). Fix: make the optimizer with the same groups")
        keys = _BUFFERS + (_SCALES if "exp_avg_scale" in core.state() else ())
        for index, settings in enumerate(saved):
            missing = [key for key in keys if not isinstance(groups[index].get(key), torch.Tensor)]
            missing += [key for key in _GROUP_KEYS if key not in settings]
            if missing:
                raise _core.InvalidArgument(f"state: group {index} has no {', '.join(missing)}. Fix: load the whole of what state_dict() gave")
        device = self.parameters()[0].device
        groups = {index: {key: tensor.to(device) for key, tensor in group.items()} for index, group in groups.items()}
        flat = {key: torch.cat([groups[index][key] for index in reversed(range(len(groups)))]) for key in keys}
        core.load_state({**state_dict["sara"], **flat})
        self._waiting = False
        if self._processes > 1:
            self._hidden.refresh()
            self._require_same("after load_state_dict")
        for group, settings in zip(self.param_groups, saved):
            group.update({key: value for key, value in settings.items() if key != "params"})

    def __getstate__(self):
        raise TypeError("a sara.AdamW is bound to its model and cannot be copied or pickled. Fix: save its state_dict()")

    # What was learned.

    def adapter(self, metadata: Mapping[str, object] | None = None, *, as_values: bool = False) -> _core.Adapter:
        """What was learned so far as a sara.Adapter. metadata: dict of texts, added to the run's own.

        as_values: hold the trained weights instead of differences to the base; restores float32 weights bit for bit on their own base.
        Raises sara.InternalError when a weight outside the mask has changed.
        """
        core = self._bound()
        adapter = core.adapter(as_values)
        first = self.param_groups[0]
        about = {"steps": core.steps, "lr": first.get("initial_lr", first["lr"]), "library_version": version, "family": self._family, "precision": core.precision()}
        about.update(metadata or {})
        adapter.metadata = {**adapter.metadata, **{key: str(value) for key, value in about.items() if value is not None}}
        return adapter

    def save(self, path: str | os.PathLike, metadata: Mapping[str, object] | None = None, *, as_values: bool = False) -> None:
        """Writes what was learned so far to an adapter file (.safetensors), atomically; see adapter()."""
        _core.save_adapter(os.fspath(path), self.adapter(metadata, as_values=as_values))

    @property
    def threshold(self) -> float | None:
        """The threshold given, or that of the budget; None where another selection than "below" has none."""
        threshold = self._open().threshold
        return threshold if math.isfinite(threshold) else None

    @property
    def selected(self) -> int:
        """Weights in the first mask: the budget reached."""
        return self._open().selected

    @property
    def active(self) -> int:
        """Weights trained now: all selected ones until a reselection."""
        return self._open().active

    @property
    def total(self) -> int:
        """Weights in scope."""
        return self._open().total

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self._open().steps

    def held_bytes(self) -> dict[str, int]:
        """Bytes held for the selected weights: {"index": positions, "state": values, gradient and both moments, "base": original numbers}."""
        return self._open().held_bytes()

    def close(self) -> None:
        """Takes the gradient hooks off the model and gives its parameters their requires_grad and its layers their own backward back. The trained weights stay."""
        if self._core is None:
            return
        self._core = self._attention = None
        switch_back(getattr(self, "_switched", ()))
        if hasattr(self, "_hidden"):
            self._hidden.undo()
        for parameter, flag in self._flags:
            parameter.requires_grad_(flag)

    def __del__(self):
        # A wrapper that took over this object's attributes (Lightning's does) is not this object.
        if getattr(self, "_core", None) is not None and self._identity == id(self):
            self.close()

    # Several processes.

    def _after_backward(self):
        self._waiting = True
        if self._synchronized:
            self._average()

    def _average(self):
        average(self._core.gradient())
        self._waiting = False

    def _require_same(self, when):
        require_same(self._core.fingerprint(), when, self._core.gradient().device)

    def _require_known_processes(self):
        if world_size() != self._processes:
            raise _core.InvalidArgument(
                f"torch.distributed: {world_size()} processes now, {self._processes} when the optimizer was made. Fix: call init_process_group, or make the Accelerator, first"
            )

    def _bound(self):
        """The core, after a look whether the model still holds the parameters that it trains."""
        core = self._open()
        for name, home, own_name, parameter in self._homes:
            if home.get(own_name) is not parameter:
                raise _core.InvalidArgument(
                    f"parameters: {name} was replaced after the optimizer was made. Fix: make the optimizer again, from the model as it is now"
                )
        return core

    def _open(self):
        if self._core is None:
            raise _core.InvalidArgument("optimizer: is closed. Fix: make a new sara.AdamW")
        return self._core
