"""Contract checks: they pass on all that poise has, and each promise fails in its own words where a part breaks it."""

import ast
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from random import random
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus
from torch.optim import Adam, Optimizer

from poise import losses, testing
from poise.balance import BALANCES, Alternating, Balance
from poise.constraints import CONSTRAINTS, Constrained
from poise.ema import Ema
from poise.errors import ConfigError
from poise.hooks import Evaluate, Log, Samples, Save, Stops
from poise.losses import LOSSES, AdversarialLoss, per_sample
from poise.models import PRESETS, build
from poise.optimizers import WRAPPERS, Lookahead, Wrapper
from poise.penalties import PENALTIES, GradientPenalty, Scene, Weighted, acts_on, feature_matching, lecam, wgan_gp
from poise.runs import Checkpoints, JsonLines, read_rows
from poise.schedules import Cosine, Linear, Scheduled
from poise.testing import (
    check_balance,
    check_discriminator,
    check_generator,
    check_hook,
    check_loss,
    check_optimizer,
    check_penalty,
    check_trains,
)
from poise.trainer import Autoencoder, Hook, Trainer

Z_DIM, SHAPE = 3, (2,)

adam = partial(Adam, lr=1e-2)


def refused(words: str) -> Any:
    """The error of a promise that is not kept."""
    return pytest.raises(AssertionError, match=words)


class Squared(torch.autograd.Function):
    """A square whose gradient cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


class SquaredSilently(Squared):
    """A square whose gradient is a constant to whoever differentiates it."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x.detach() * gradient


# Losses.


def of(d: Callable[..., Any] = LOSSES["vanilla"].d, g: Callable[..., Any] = LOSSES["vanilla"].g, **fields: Any) -> Any:
    return AdversarialLoss(d, g, **fields)


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    check_loss(LOSSES[name])
    if LOSSES[name].outputs is None:
        check_loss(LOSSES[name], (1, 3, 3))
        check_loss(LOSSES[name], 4)


HALF_CONSTANT = of(per_sample(lambda a, b: softplus(-a) * torch.sigmoid(-a).detach() + softplus(b)))

BROKEN_LOSSES: dict[str, tuple[Any, str]] = {
    "a function": (losses.hinge, "check_loss: expected an AdversarialLoss; saw a function: give one, such as"),
    "raises": (of(d=lambda a: a), r"loss.d of logits \(5, 1\): expected no error; saw TypeError .*takes \(real_logits"),
    "no tensor": (of(d=lambda a, b: 0.5), "expected a tensor; saw a float: return the values of the samples"),
    "the batch's mean": (
        of(d=per_sample(lambda a, b: (b - a).mean())),
        r"loss.d of logits \(5, 1\): expected values of shape \(5,\), one a sample; saw shape \(\): average",
    ),
    "columns": (of(g=lambda a, b: softplus(-b)), r"loss.g of logits \(5, 1\): .* saw shape \(5, 1\): average within"),
    "by dimensions": (
        of(g=per_sample(lambda a, b: b.ndim * softplus(-b))),
        r"loss.g of the same logits as \(5, 1\) and as \(5,\): expected the same values; saw \[.*flatten all but the",
    ),
    "broadcasts": (
        of(d=lambda a, b: (softplus(-a) + softplus(b)).flatten()),
        r"loss.d of real logits \(5, 1\) and fake logits \(5,\): expected a refusal, because .* shape \(25,\): compare",
    ),
    "broadcasts batches": (
        of(d=lambda a, b: LOSSES["vanilla"].d(a, b.expand_as(a) if len(b) == 1 else b)),
        r"fake logits \(1, 1\): expected a refusal",
    ),
    "broadcasts for G": (
        of(g=lambda a, b: softplus(a - b).flatten(), g_uses_real=True),
        r"loss.g of real logits \(5, 1\) and fake logits \(5,\): expected a refusal",
    ),
    "overflows": (
        of(d=per_sample(lambda a, b: -torch.log(torch.sigmoid(a)) - torch.log(1 - torch.sigmoid(b)))),
        "loss.d where reals have logits -50 and fakes 50: expected finite values; saw inf: write it with functions",
    ),
    "infinite slope": (
        of(g=per_sample(lambda a, b: (50 - b).abs().sqrt())),
        "loss.g where reals have logits -50 and fakes 50: expected finite gradients; saw nan: write it",
    ),
    "held constant": (
        HALF_CONSTANT,
        "the gradients of loss.d: expected those of finite differences; saw Gradcheck.*=False",
    ),
    "uses reals": (
        of(g=per_sample(lambda a, b: softplus(a - b))),
        r"with g_uses_real=False: expected the same values; saw others: give AdversarialLoss\(..., g_uses_real=True\)",
    ),
    "uses no reals": (of(g_uses_real=True), "with g_uses_real=True: expected other values; saw the same: leave g_uses"),
    "sides exchanged": (
        of(d=lambda a, b: LOSSES["hinge"].d(b, a)),
        "descent along loss.d: expected the .* reals raised above .* saw that it lowers reals and raises fakes: a ",
    ),
    "two targets alike": (of(d=per_sample(lambda a, b: softplus(-a) + softplus(-b))), "saw that it raises fakes: a hi"),
    "indifferent": (of(d=per_sample(lambda a, b: a.abs() + b.abs())), "saw that it moves neither side"),
    "D looks at reals only": (
        of(d=per_sample(lambda a, b: softplus(-a))),
        "loss.d at other fake logits: expected other values; saw the same: let D's function look at both its arguments",
    ),
    "D looks at fakes only": (
        of(d=per_sample(lambda a, b: softplus(b))),
        "loss.d at other real logits: expected other values; saw the same",
    ),
    "flipped": (
        of(d=lambda a, b: LOSSES["vanilla"].d(a, b).flip(0)),
        r"loss.d of the same samples in the order \[1, 0, 2, 3, 4\]: expected the same values in that order, \[.*\]; "
        r"saw \[.*\]: give the value of each sample in its place",
    ),
    "fakes flipped": (
        of(d=lambda a, b: LOSSES["vanilla"].d(a, b.flip(0))),
        r"loss.d of the same samples in the order \[1, 0, 2, 3, 4\]",
    ),
    "sorted": (of(g=lambda a, b: LOSSES["vanilla"].g(a, b).sort().values), "loss.g of the same samples in the order"),
    "the last two exchanged": (
        of(g=lambda a, b: LOSSES["vanilla"].g(a, b)[[0, 1, 2, 4, 3]]),
        r"loss.g of the same samples in the order \[4, 0, 1, 2, 3\]",
    ),
    "G against itself": (
        of(g=per_sample(lambda a, b: softplus(b))),
        "descent along loss.g: expected .* saw that it lowers",
    ),
    "G without a gradient": (
        of(g=per_sample(lambda a, b: 0 * b)),
        "saw that it leaves them: a higher logit means more",
    ),
}


@pytest.mark.parametrize("name", BROKEN_LOSSES)
def test_broken_losses(name: str) -> None:
    loss, words = BROKEN_LOSSES[name]
    with refused(words):
        check_loss(loss)


def test_losses_that_mean_otherwise() -> None:
    check_loss(losses.lsgan(a=1.0, b=0.0, c=0.0), real_up=False)
    with refused("raises fakes"):
        check_loss(losses.lsgan(a=1.0, b=0.0, c=0.0))
    check_loss(HALF_CONSTANT, gradcheck=False)


def test_the_outputs_are_those_of_the_loss() -> None:
    check_loss(LOSSES["realness"], 10)
    with refused("check_loss: expected outputs=10, as the loss says itself; saw outputs=3: leave outputs out"):
        check_loss(LOSSES["realness"], 3)
    flat_only = of(
        d=lambda a, b: (softplus(-a) + softplus(b)).squeeze(1) if a.ndim == 2 else softplus(-a) + softplus(b)
    )
    with refused(r"loss.d of logits \(5, 1, 3, 3\): expected values of shape \(5,\)"):
        check_loss(flat_only, (1, 3, 3))


# Penalties.


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties(name: str) -> None:
    check_penalty(PENALTIES[name], gradcheck=name != "lecam")  # whose anchors are constants


@pytest.mark.parametrize("to", ["D", "G"])
@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_act_on_the_players_that_they_name(name: str, to: Any) -> None:
    expected = nullcontext() if to in acts_on(PENALTIES[name]) else refused("saw none, or zeros")
    with expected:
        check_penalty(PENALTIES[name], to=to, gradcheck=False)


@pytest.mark.parametrize(
    ("penalty", "options"),
    [
        (feature_matching(["features", "blocks.1"]), {}),  # layers of its own choice
        (feature_matching(reduce="sample"), {"to": "D"}),
        (wgan_gp(one_sided=True), {}),  # no gradient where D is flat
        (PENALTIES["gradient_norm"], {"to": "G"}),
        (PENALTIES["orthogonal"], {"to": "G", "shapes": [(5,), (3, 4, 4), (2, 6)]}),
    ],
)
def test_penalties_with_options(penalty: Any, options: dict[str, Any]) -> None:
    check_penalty(penalty, **options)


def on_reals(of: Callable[[Tensor], Tensor]) -> GradientPenalty:
    return GradientPenalty(at=lambda real, fake: real, of=of)


def without_a_graph(scene: Scene) -> Tensor:
    points = scene.real.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(scene.critic(points).sum(), points)
    return gradients.flatten(1).square().sum(1)


def weighed_by_a_constant(scene: Scene) -> Tensor:
    return (scene.real_logits.detach() * scene.real_logits).flatten(1).mean(1)


def once_only(scene: Scene) -> Tensor:
    return Squared.apply(scene.real_logits).flatten(1).mean(1)  # type: ignore[no-any-return]


def noisy(scene: Scene) -> Tensor:
    return random() * scene.real_logits.square().flatten(1).mean(1)


class Counting:
    """Remembers how often it was called."""

    calls = 0

    def __call__(self, scene: Scene) -> Tensor:
        self.calls += 1
        return self.calls * scene.real_logits.square().mean()


def keeping(what: Callable[[Tensor], Any]) -> Callable[[Scene], Tensor]:
    def penalty(scene: Scene) -> Tensor:
        scene.memory[f"{scene.entry}.kept"] = what(scene.real_logits.mean())
        return scene.real_logits.square().mean()

    return penalty


class AtUpdate:
    """Fails from the second update on, where there is a memory."""

    def __call__(self, scene: Scene) -> Tensor:
        before = scene.memory.get(f"{scene.entry}.at", torch.zeros(()))
        scene.memory[f"{scene.entry}.at"] = torch.zeros(2, 3)
        return scene.real_logits.square().mean() + before.reshape(())


def sharing(scene: Scene) -> Tensor:
    scene.memory["mean"] = scene.real_logits.detach().mean()
    return scene.real_logits.square().mean()


BROKEN_PENALTIES: dict[str, tuple[Any, str]] = {
    "a class": (Counting, "check_penalty: expected a function of a scene; saw the class Counting: give a penalty"),
    "a text": ("r1", "check_penalty: expected a function of a scene; saw a str"),
    "a list": (
        on_reals(lambda g: g.tolist()),
        r"samples \(5, 2\) with logits \(5, 1\): expected a tensor \(5,\).*a list",
    ),
    "one for each entry": (on_reals(lambda g: g.square()), r"saw shape \(5, 2\): sum over each sample's entries"),
    "vectors only": (
        lambda scene: scene.real_logits.square().mean() + scene.fake.square().sum(1),
        r"samples \(5, 1, 4, 4\) with logits \(5, 1\): expected a tensor \(5,\).* saw shape \(5, 4, 4\)",
    ),
    "no patches": (
        lambda scene: scene.real_logits.square().squeeze(1),
        r"samples \(5, 1, 4, 4\) with logits \(5, 1, 2, 2\): expected a tensor \(5,\).* saw shape \(5, 2, 2\)",
    ),
    "takes D's output for logits": (
        lambda scene: scene.discriminator(scene.real).square().mean(),
        r"expected no error; saw AttributeError \('tuple' .*: a penalty takes a scene, and D's logits from",
    ),
    "root at 0": (
        on_reals(lambda g: (g.square().sum(1).sqrt() - 1).square()),
        "with logits .*, which are constant: expected finite gradients; saw NaN or infinity: use torch.linalg",
    ),
    "logarithm of 0": (on_reals(lambda g: g.square().sum(1).log()), "which are constant: expected finite values"),
    "without a graph": (
        without_a_graph,
        r"samples \(2,\) in 3 scenes: expected gradients by weights of the discriminator, .* saw none, or zeros: leave",
    ),
    "held constant": (
        weighed_by_a_constant,
        r"the derivatives of the penalty of samples \(5, 2\) .*: expected those of finite differences; saw G.*=False",
    ),
    "once only": (
        once_only,
        "the second derivatives of .*: expected those of finite differences; saw GradcheckError",
    ),
    "draws elsewhere": (
        noisy,
        "twice from one seed: expected the same .*: draw random numbers from torch's default gen",
    ),
    "remembers": (Counting(), "twice from one seed: expected the same .* keep what must be remembered in scene.memory"),
    "keeps a graph": (
        keeping(lambda it: it),
        r"scene.memory\['checked.kept'\] .* saw one with a graph: keep tensors only, and",
    ),
    "keeps a number": (keeping(Tensor.item), r"scene.memory\['checked.kept'\] .*: expected a tensor .* saw a float"),
    "shares what it keeps": (
        sharing,
        r"scene.memory: expected names that begin with scene.entry and a dot, here 'checked.'; saw 'mean': name it f'",
    ),
    "fails with a memory": (AtUpdate(), "expected no error; saw RuntimeError .*shape"),
}


@pytest.mark.parametrize("name", BROKEN_PENALTIES)
def test_broken_penalties(name: str) -> None:
    penalty, words = BROKEN_PENALTIES[name]
    with refused(words):
        check_penalty(penalty)


def test_the_player_of_a_penalty() -> None:
    with refused(r"in 3 scenes: expected gradients by weights of the generator, which it goes to; saw none, or zeros"):
        check_penalty(PENALTIES["r1"], to="G")
    with refused("the penalty's player: expected 'D' or 'G'; saw 'E': set its attribute to"):
        check_penalty(type("Penalty", (Counting,), {"to": "E"})())


def test_what_is_asked_of_a_penalty_can_be_narrowed() -> None:
    check_penalty(weighed_by_a_constant, gradcheck=False)
    check_penalty(BROKEN_PENALTIES["vectors only"][0], shapes=[(2,), (5,)])
    with refused("the derivatives"):
        check_penalty(lecam())


# Balance.


@pytest.mark.parametrize("name", BALANCES)
def test_balances(name: str) -> None:
    check_balance(BALANCES[name])
    check_balance(lambda: BALANCES[name](pretrain_d=7))


class Own(Balance):
    """One step of each, unless a test says otherwise."""

    def __init__(self) -> None:
        self.count = 0
        self.list: list[int] = []

    def plan(self, step: int, signals: Any) -> Any:
        return (("D",), ("G",))


def planning(plan: Callable[[Any, int, Any], Any], **more: Any) -> type[Balance]:
    """A policy of this plan, and these methods and attributes."""
    return type("Policy", (Own,), {"plan": plan, **more})


def counting(policy: Any, step: int, signals: Any) -> Any:
    policy.count += 1
    return (("D",),) * (1 + policy.count % 5) + (("G",),)


def appending(policy: Any, step: int, signals: Any) -> Any:
    policy.list.append(step)
    return (("D",),) * (1 + len(policy.list) % 3)


ONE_FOR_ALL = Own()


class Shared(Own):
    """Its state is that of the class."""

    seen: ClassVar[list[int]] = []

    def plan(self, step: int, signals: Any) -> Any:
        self.seen.append(step)
        return (("D",),) * (1 + len(self.seen) % 5)


class Refusing(Own):
    """Takes back no state."""

    def load_state_dict(self, state: Any) -> None:
        raise KeyError("turn")


BROKEN_BALANCES: dict[str, tuple[Callable[[], Any], str]] = {
    "no policy": (dict, r"make\(\): expected a Balance; saw a dict: derive the policy from poise.balance.Balance"),
    "cannot be made": (lambda: Alternating(0), r"make\(\): expected no error; saw ValueError \(d_steps is 0"),
    "needs what is not measured": (
        planning(Own.plan, needs=frozenset({"d_input_grad_nrm"})),
        r"the policy's needs: expected signals that .* saw 'd_input_grad_nrm' \(did you mean 'd_input_grad_norm'\?\)",
    ),
    "nobody": (
        planning(lambda *_: ()),
        r"plan\(0, signals\) with the signals none: expected phases .* saw \(\): return",
    ),
    "nothing": (planning(lambda *_: None), "expected phases of 'D' and 'G', such as .* saw None"),
    "another role": (planning(lambda *_: (("d",),)), r"saw \(\('d',\),\)"),
    "one player twice": (planning(lambda *_: (("D", "D"),)), r"saw \(\('D', 'D'\),\): .* nobody twice"),
    "no phases": (planning(lambda *_: 5), "saw 5"),
    "a signal that is missing": (
        planning(lambda self, step, signals: (("D",),) if signals["d_loss"] > 0 else (("G",),)),
        r"plan\(0, signals\) with the signals none: expected no error; saw KeyError \('d_loss'\): .* signals.get",
    ),
    "a signal of the other player": (
        planning(lambda self, step, signals: (("D",),) if step == 0 or signals["g_loss"] > 0 else (("G",),)),
        r"plan\(1, signals\) with the signals d_loss, .*: expected no error; saw KeyError \('g_loss'\)",
    ),
    "a quotient": (
        planning(lambda self, step, signals: (("D",),) if 1 / signals.get("d_loss", 1) > 0 else (("G",),)),
        "expected no error; saw ZeroDivisionError",
    ),
    "writes signals": (
        planning(lambda self, step, signals: signals.update(x=1.0)),
        "expected no error; saw AttributeError",
    ),
    "numbers that are none": (
        planning(Own.plan, numbers=lambda self: {"k": torch.zeros(())}),
        r"numbers\(\)\['k'\]: expected a number; saw a Tensor: give float\(...\)",
    ),
    "tensors": (
        planning(Own.plan, state_dict=lambda self: {"mean": [torch.zeros(2)]}),
        r"state\['mean'\]\[0\] of state_dict\(\) after 0 steps: expected JSON values: .* saw a Tensor, tensor",
    ),
    "numpy": (planning(Own.plan, state_dict=lambda self: {"n": np.int64(3)}), r"state\['n'\] of .* saw a int64"),
    "tuples": (
        planning(Own.plan, state_dict=lambda self: {"pair": (1, 2)}),
        r"state\['pair'\] .* saw a tuple, \(1, 2\)",
    ),
    "numbers as keys": (
        planning(Own.plan, state_dict=lambda self: {"by": {1: 2}}),
        r"a key of state\['by'\] .* a int, 1",
    ),
    "its own list": (
        planning(appending, state_dict=lambda self: {"list": self.list}),
        r"the state that was given before step 0: expected that it stays as it was; .*: return copies of lists",
    ),
    "the class's state": (
        Shared,
        "a second policy, after another one has been at work: expected that it does the same from the beginning; saw "
        "the plan .* in step 0: keep state in attributes that __init__ sets",
    ),
    "one for all": (
        lambda: ONE_FOR_ALL,
        "a second policy, .*: expected that it does the same from the beginning; saw that it begins with the state",
    ),
    "draws": (
        planning(lambda self, step, signals: (("D",),) if random() < 0.5 else (("G",),)),
        "a second policy, .* draw no random numbers",
    ),
    "forgets": (
        planning(counting),
        r"step 1 of a new policy, into which the state {} was loaded: expected what the policy did that it was saved "
        r"from; saw the plan \(.*: give everything that plan\(\) changes in state_dict\(\)",
    ),
    "forgets to load": (
        planning(counting, state_dict=lambda self: {"count": self.count}, load_state_dict=lambda self, state: None),
        r"step 1 of a new policy, into which the state {'count': 1} was loaded",
    ),
    "refuses its own state": (
        Refusing,
        r"load_state_dict\({}\): expected no error; saw KeyError \('turn'\): take back",
    ),
    "forgets a weight": (
        lambda: type("Policy", (Own,), {"plan": weigh_later})(),
        r"saw the fake_weight 1.0 and not 0.25: give everything",
    ),
}


def weigh_later(policy: Any, step: int, signals: Any) -> Any:
    if step == 2:
        policy.fake_weight = 0.25
    return (("D",), ("G",))


ONE_FOR_ALL.plan = partial(appending, ONE_FOR_ALL)  # type: ignore[method-assign]
ONE_FOR_ALL.state_dict = lambda: {"list": list(ONE_FOR_ALL.list)}  # type: ignore[method-assign]


@pytest.mark.parametrize("name", BROKEN_BALANCES)
def test_broken_balances(name: str) -> None:
    make, words = BROKEN_BALANCES[name]
    with refused(words):
        check_balance(make)


def test_further_signals() -> None:
    seen: set[str] = set()

    def plan(self: Any, step: int, signals: Any) -> Any:
        seen.update(signals)
        return (("D",), ("G",))

    check_balance(planning(plan), steps=10, signals=["r1_loss"])
    assert {"d_loss", "d_real", "d_fake_g", "g_loss", "r1_loss"} <= seen


# Networks.

SIZES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "mlp": ((5,), {}),
    "dcgan": ((3, 8, 8), {"norm": "none"}),
    "resnet": ((1, 8, 8), {}),
    "r3gan": ((1, 8, 8), {}),
    "progressive": ((1, 8, 8), {"first": 8}),
    "began": ((1, 8, 8), {}),
}

MIXING = {"progressive"}  # by its minibatch standard deviation


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    shape, options = SIZES[name]
    check_generator(PRESETS[name].generator(z_dim=6, shape=shape, width=4, **options), 6, shape)
    discriminator = PRESETS[name].discriminator(shape=shape, width=4, **options)
    check_discriminator(discriminator, shape, independent=name not in MIXING)


def test_batch_norm_is_for_generators() -> None:
    check_generator(PRESETS["dcgan"].generator(z_dim=6, shape=(1, 8, 8), width=4), 6, (1, 8, 8))
    discriminator = PRESETS["dcgan"].discriminator(shape=(1, 8, 8), width=4)
    check_discriminator(discriminator, (1, 8, 8), independent=False)
    with refused(
        r"samples of the batch are exchanged: expected that .* batch norm \(layer '3'\), or .*independent=False"
    ):
        check_discriminator(discriminator, (1, 8, 8))


def test_patches_spectral_norm_and_dropout() -> None:
    patches = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 4, 3, 2, 1)),
        nn.Dropout(0.3),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 1, 3, 1, 1),
    )
    check_discriminator(patches, (1, 8, 8))
    check_discriminator(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), (1, 8, 8))


def test_gates_may_begin_at_0() -> None:
    """What they let through later has no gradient yet."""
    layers = ["conv 8", "attention", "residual (conv 8) (relu)", "learned_noise", "lrelu", "linear 1"]
    check_discriminator(build(layers, (1, 8, 8)), (1, 8, 8))
    check_generator(build(["linear 4*4*8", *layers[1:-1], "conv 1"], (6,)), 6, (1, 4, 4))


def test_many_idle_weights_are_counted() -> None:
    deep = nn.Sequential(*[nn.Linear(3, 3) for _ in range(6)], nn.Hardtanh(5.0, 6.0), nn.Linear(3, 2))
    with torch.no_grad():
        deep[5].weight.mul_(1e-3)
    with refused("the gradient of the generator by weight '0.weight', .*, weight '3.bias' and 5 more: expected some"):
        check_generator(deep, 3, (2,))


def test_layers_that_rest() -> None:
    growing = PRESETS["progressive"].generator(z_dim=6, shape=(1, 8, 8), width=4)
    with refused(
        r"the gradient by the generator's weight 'blocks.1.*: expected finite numbers; saw none: use it in fo"
    ):
        check_generator(growing, 6, (1, 8, 8))
    check_generator(growing, 6, (1, 8, 8), idle=["blocks.1.", "to_rgb.1."])


class Layers(nn.Module):
    """Three inputs to two outputs, or what a test makes of them."""

    def __init__(self, outputs: int = 2, inputs: int = 3) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(inputs, 4), nn.Linear(4, outputs)
        self.kept = torch.zeros(())

    def forward(self, x: Tensor) -> Any:
        return self.two(torch.tanh(self.one(x)))


def doing(forward: Callable[[Any, Tensor], Any], **more: Any) -> type[Layers]:
    """Layers with this forward pass."""
    return type("Network", (Layers,), {"forward": forward, **more})


def plain(network: Any, x: Tensor) -> Tensor:
    return Layers.forward(network, x)  # type: ignore[no-any-return]


def averaging(network: Any, x: Tensor) -> Tensor:
    """Keeps a running mean where no state reaches it."""
    if network.training:
        network.kept = torch.lerp(network.kept, x.detach().mean(), 0.1)
    return plain(network, x - network.kept)


def squared_once(network: Any, x: Tensor) -> Tensor:
    return network.two(Squared.apply(network.one(x)))  # type: ignore[no-any-return]


def squared_silently(network: Any, x: Tensor) -> Tensor:
    return network.two(SquaredSilently.apply(network.one(x)))  # type: ignore[no-any-return]


def scattered(network: Any, x: Tensor) -> Tensor:
    """Wants two tensors of one dtype, of which one may be in bfloat16."""
    features = network.one(x)
    places = torch.arange(features.shape[1]).expand_as(features)
    return network.two(torch.zeros(features.shape).scatter(1, places, features))  # type: ignore[no-any-return]


def frozen(network: nn.Module) -> nn.Module:
    return network.requires_grad_(False)


def with_a_graph() -> nn.Module:
    network = Layers()
    network.kept = network.one.weight.sum()
    return network


def not_finite() -> nn.Module:
    network = Layers()
    with torch.no_grad():
        network.two.bias[0] = torch.inf
    return network


def gated(network: Any, x: Tensor) -> Tensor:
    return network.two(torch.tanh(0 * network.one(x)))  # type: ignore[no-any-return]


BROKEN_GENERATORS: dict[str, tuple[Callable[[], Any], str]] = {
    "a function": (
        lambda: torch.tanh,
        "the generator: expected a torch.nn.Module; saw a builtin_function_or_method: give the network itself, and not",
    ),
    "a class": (lambda: Layers, "the generator: expected a torch.nn.Module; saw the class Layers: give the network"),
    "multiplied by 0": (
        doing(lambda self, x: 0 * plain(self, x)),
        "the gradient of the generator by weight 'one.weight', weight 'one.bias', weight 'two.weight', .*, the input: "
        "expected some number that is not 0; saw zeros only, at 3 points: look at what it is multiplied by",
    ),
    "a part multiplied by 0": (
        doing(gated),
        "the gradient of the generator by weight 'one.weight', weight 'one.bias', weight 'two.weight', the input: exp",
    ),
    "nothing to train": (
        lambda: frozen(Layers()),
        "the generator's weights: expected some that are trainable; saw none",
    ),
    "double precision": (
        lambda: Layers().double(),
        r"weight 'one.weight': expected float32, .*; saw float64: call generator.float\(\)",
    ),
    "cannot be copied": (
        with_a_graph,
        "deepcopy of the generator: expected no error; saw RuntimeError .*: keep nothing in",
    ),
    "its own copy": (
        doing(plain, __deepcopy__=lambda self, memo: self),
        "deepcopy of the generator: expected weights of its own; saw those of the original: leave out __deepcopy__",
    ),
    "other latents": (
        lambda: Layers(inputs=7),
        r"the generator in training mode, given \(5, 3\): expected no error; saw RuntimeError .*: it takes \(n, 3\)",
    ),
    "other samples": (
        lambda: Layers(outputs=6),
        r"given \(5, 3\): expected shape \(5, 2\); saw shape \(5, 6\): keep the",
    ),
    "more than samples": (
        doing(lambda self, x: (plain(self, x), x)),
        r"TypeError \(a tuple in place of a tensor of samp",
    ),
    "squeezes": (
        doing(lambda self, x: plain(self, x).squeeze()),
        r"the generator in evaluation mode, given \(1, 3\): expected shape \(1, 2\); saw shape \(2,\): keep the first",
    ),
    "casts": (doing(lambda self, x: plain(self, x).double()), "expected float32; saw float64: leave out casts"),
    "not finite": (not_finite, "expected finite numbers; saw NaN or infinity: look at how its weights begin"),
    "draws elsewhere": (
        doing(lambda self, x: plain(self, x) + random()),
        "two copies of the generator, given the same from one seed: expected the same from both; saw two results: draw",
    ),
    "an unused weight": (
        doing(lambda self, x: nn.functional.linear(plain(self, x), torch.eye(2)).detach() + self.two.bias),
        "the gradient by the generator's weight 'one.weight': expected finite numbers; saw none: use it in forward",
    ),
    "no gradient at all": (
        doing(lambda self, x: plain(self, x).detach()),
        "the gradient of the generator: .* RuntimeError",
    ),
    "an infinite slope": (
        doing(lambda self, x: plain(self, x) + (0 * self.one(x)).square().sqrt()[:, :2]),
        "the gradient by the generator's weight 'one.weight': expected finite numbers; saw NaN or infinity",
    ),
    "latents held constant": (
        doing(lambda self, x: plain(self, x.detach())),
        "the gradient by what the generator is given: expected finite numbers; saw none: leave out detach",
    ),
    "differentiable once": (
        doing(squared_once),
        "the gradient of a gradient of the generator: expected no error; saw RuntimeError .* double_backward=False",
    ),
    "differentiable twice by name": (
        doing(squared_silently),
        "the gradient of a gradient of the generator: expected that of finite differences; saw another: use operations",
    ),
    "no bfloat16": (
        doing(scattered),
        r"the generator with operations in bfloat16: expected no error; saw RuntimeError .* give bf16=False",
    ),
    "state that is not saved": (
        doing(averaging),
        "a copy of the generator, into which the state of a trained one was loaded: expected the same outputs; saw "
        r"others in evaluation mode, by up to .*: keep state in parameters and buffers \(register_buffer\)",
    ),
    "state that cannot be saved": (
        doing(plain, get_extra_state=lambda self: {1, 2}, set_extra_state=lambda self, state: None),
        "state_dict of the generator, saved and loaded: expected no error; saw TypeError",
    ),
    "mixes samples": (
        doing(lambda self, x: plain(self, x - x.mean(0))),
        "the generator in evaluation mode, where the other samples .*: expected that a sample's output stays; saw a "
        "change by .*: do nothing over the first dimension; if it is meant so, give independent=False",
    ),
}


@pytest.mark.parametrize("name", BROKEN_GENERATORS)
def test_broken_generators(name: str) -> None:
    make, words = BROKEN_GENERATORS[name]
    with refused(words):
        check_generator(make(), Z_DIM, SHAPE)


@pytest.mark.parametrize("seed", [8, 13])
def test_wrong_slopes_that_are_nearly_right_somewhere(seed: int) -> None:
    """With these weights one of the points differs by less than 1 %."""
    make, words = BROKEN_GENERATORS["differentiable twice by name"]
    torch.manual_seed(seed)
    with refused(words):
        check_generator(make(), Z_DIM, SHAPE)


@pytest.mark.parametrize(
    ("forward", "option"),
    [
        (squared_once, "double_backward"),
        (scattered, "bf16"),
        (lambda self, x: plain(self, x - x.mean(0)), "independent"),
    ],
)
def test_what_is_asked_of_a_network_can_be_narrowed(forward: Any, option: str) -> None:
    check_generator(doing(forward)(), Z_DIM, SHAPE, **{option: False})
    check_discriminator(doing(forward)(), (3,), **{option: False})


BROKEN_DISCRIMINATORS: dict[str, tuple[Callable[[], Any], str]] = {
    "no module": (
        lambda: None,
        "the discriminator: expected a torch.nn.Module; saw a NoneType: give the network itself",
    ),
    "multiplied by 0": (
        doing(lambda self, x: 0 * plain(self, x)),
        "the gradient of the discriminator by weight 'one.weight', .* expected some number that is not 0; saw zeros",
    ),
    "probabilities": (
        doing(lambda self, x: torch.sigmoid(plain(self, x))),
        "the discriminator: expected no error; saw UserWarning .*sigmoid.*: leave out the last activation",
    ),
    "samples held constant": (
        doing(lambda self, x: plain(self, x.detach())),
        "the gradient by what the discriminator is given: expected finite numbers; saw none",
    ),
    "the batch's mean": (
        doing(lambda self, x: plain(self, x).mean()),
        r"the discriminator in training mode, given \(5, 3\): expected logits \(5,\) or \(5, ...\); saw shape \(\)",
    ),
    "no logits": (
        doing(lambda self, x: {"features": plain(self, x)}),
        r"given \(5, 3\): expected no error; saw ConfigError \(the discriminator returned dict without a tensor of",
    ),
    "features with weights of their own": (
        doing(lambda self, x: (self.one(x), self.two.weight.detach())),
        "the gradient by the discriminator's weight 'two.weight': expected finite numbers; saw none",
    ),
    "differentiable once": (doing(squared_once), "the gradient of a gradient of the discriminator"),
    "mixes samples detached": (
        doing(lambda self, x: plain(self, x - x.detach().mean(0))),
        "the discriminator in training mode, where the other samples of the batch are exchanged: expected that",
    ),
}


@pytest.mark.parametrize("name", BROKEN_DISCRIMINATORS)
def test_broken_discriminators(name: str) -> None:
    make, words = BROKEN_DISCRIMINATORS[name]
    with refused(words):
        check_discriminator(make(), (3,))


@pytest.mark.parametrize(
    "returned",
    [
        lambda logits, features: (logits, features),
        lambda logits, features: [logits, [features, features]],
        lambda logits, features: {"logits": logits, "last": features},
        lambda logits, features: (logits[:, 0], {"last": features}),
    ],
)
def test_features_beside_logits(returned: Callable[[Tensor, Tensor], Any]) -> None:
    def forward(self: Any, x: Tensor) -> Any:
        features = torch.tanh(self.one(x))
        return returned(features[:, :1], self.two(features))  # the last layer makes features only

    check_discriminator(doing(forward)(), (3,))


def test_a_network_stays_as_it_is() -> None:
    network = PRESETS["dcgan"].generator(z_dim=6, shape=(1, 8, 8), width=4).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    check_generator(network, 6, (1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())
    assert not network.training


# Optimizers.


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers(name: str) -> None:
    check_optimizer(lambda weights: WRAPPERS[name](adam(weights)))


@pytest.mark.parametrize(
    "make",
    [
        partial(torch.optim.Adam, lr=1e-2, fused=True),
        partial(torch.optim.SGD, lr=1e-2, momentum=0.9),
        partial(torch.optim.RMSprop, lr=1e-2, centered=True),
        Scheduled(torch.optim.AdamW, lr=Linear(from_=1e-2, to=1e-3, end=10.0)),
    ],
)
def test_optimizers(make: Any) -> None:
    check_optimizer(make)


def test_an_optimizer_may_count_in_its_groups() -> None:
    class Counts(Grouped):
        def __init__(self, weights: Any) -> None:
            super().__init__(weights)

    check_optimizer(Counts)


class Descent(Optimizer):
    """Gradient descent, with what a test adds."""

    def __init__(self, weights: Any, **options: Any) -> None:
        super().__init__(weights, options)
        self.number = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.number += 1
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight -= self.rate() * weight.grad

    def rate(self) -> float:
        return 0.1


class Decaying(Descent):
    """Its count of steps is not in its state."""

    def rate(self) -> float:
        return 0.1 / self.number


TAKEN: list[int] = []


class Counted(Descent):
    """Counts the steps of all of its kind."""

    def rate(self) -> float:
        TAKEN.append(1)
        return 0.1 / len(TAKEN)


class Grouped(Descent):
    """Counts steps in a setting."""

    def __init__(self, weights: Any, number: int = 0) -> None:
        super().__init__(weights, number=number)

    def rate(self) -> float:
        self.param_groups[0]["number"] = self.param_groups[0].get("number", 0) + 1
        return 0.1 / self.param_groups[0]["number"]  # type: ignore[no-any-return]


class Demanding(Descent):
    """Takes a gradient of every weight for granted."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if any(weight.grad is None for group in self.param_groups for weight in group["params"]):
            raise ValueError("no gradient")
        super().step()


class Periodic(Wrapper):
    """Sometimes takes a weight back, by a count of its own."""

    _span = 1
    count = 0

    def _end(self, weights: list[Tensor], starts: list[Tensor]) -> None:
        self.count += 1
        if self.count % 10 == 0:
            torch._foreach_copy_(weights, starts)


def making(**methods: Any) -> type[Descent]:
    return type("Optimizer", (Descent,), methods)


BROKEN_OPTIMIZERS: dict[str, tuple[Any, str]] = {
    "no optimizer": (
        list,
        r"make\(weights\): expected a torch.optim.Optimizer; saw a list: derive the optimizer from it",
    ),
    "not of weights": (
        lambda: None,
        r"make\(weights\): expected no error; saw TypeError .*: give a function of an iterable",
    ),
    "some of the weights": (
        lambda weights: adam(list(weights)[1:]),
        "the optimizer's parameter groups: expected the 4 weights that it was given; saw 3 weights: hand all",
    ),
    "needs a closure": (
        torch.optim.LBFGS,
        "step number 0: expected no error; saw TypeError .*'closure'.*: take gradients as",
    ),
    "needs every gradient": (
        Demanding,
        r"step number 0: expected no error; saw ValueError \(no gradient\): .* skip None",
    ),
    "not finite": (making(rate=lambda self: torch.nan), "step number 0: expected finite weights; saw NaN or infinity"),
    "does not move": (making(rate=lambda self: 0.0), "24 steps: expected weights that move; saw that they stay"),
    "a state that cannot be saved": (
        making(state_dict=lambda self: {"seen": {1, 2}}),
        "the state after 0 steps, as the bytes of a safetensors file: expected no error; saw TypeError .*: give nested",
    ),
    "a count of its own": (
        Decaying,
        "a new optimizer, into which the state after 1 steps was loaded: expected the same weights, bit for bit, .* "
        "saw weight 0 differ after step 1 by .*: keep all that changes from step to step in self.state",
    ),
    "a count among the settings": (
        Grouped,
        "into which the state after 1 steps was loaded: .* and not in attributes or settings; or override",
    ),
    "a period of its own": (
        lambda weights: Periodic(adam(weights)),
        "into which the state after 1 steps was loaded: .* saw weight . differ after step 9 by",
    ),
    "a count of all": (
        Counted,
        "a second optimizer of weights that begin alike: expected the same weights, .* differ after step 0 by .*: keep",
    ),
    "draws": (
        making(rate=lambda self: 0.1 * random()),
        "a second optimizer of weights that begin alike: .* draw no random numbers",
    ),
    "refuses its own state": (
        making(load_state_dict=lambda self, state: int("x")),
        "into which the state after 0 steps was loaded: expected no error; saw ValueError .*: take back in load",
    ),
}


@pytest.mark.parametrize("name", BROKEN_OPTIMIZERS)
def test_broken_optimizers(name: str) -> None:
    make, words = BROKEN_OPTIMIZERS[name]
    with refused(words):
        check_optimizer(make)


def test_optimizers_for_some_weights() -> None:
    def make(weights: Any) -> Optimizer:
        weights = list(weights)
        if any(weight.ndim != 2 for weight in weights):
            raise ValueError("matrices only")
        return adam(weights)

    with refused("matrices only"):
        check_optimizer(make)
    check_optimizer(make, shapes=[(3, 2), (2, 2)], steps=6)


# Hooks.


class Drawing(Hook):
    """Draws random numbers, samples, and ends every fit early: all of it is allowed."""

    def after_step(self, trainer: Trainer) -> None:
        torch.rand(3)
        trainer.sample(3)
        trainer.read()
        if trainer.steps % 4 == 0:
            trainer.stop("enough")


def hooks(directory: Path) -> dict[str, Callable[[], Hook]]:
    def rows(name: str) -> JsonLines:
        return JsonLines(directory / name)

    checkpoints = Checkpoints(directory / "checkpoints")
    return {
        "none": Hook,
        "drawing": Drawing,
        "log": lambda: Log(rows("log.jsonl"), every_steps=2),
        "samples": lambda: Samples(
            directory / "samples", lambda samples, step, path: path.touch(), n=4, seed=0, first=2
        ),
        "save": lambda: Save(checkpoints, every_steps=2),
        "evaluate": lambda: Evaluate(
            rows("metrics.jsonl"),
            lambda trainer: {"mean": abs(float(trainer.sample(8).mean()))},
            metric="mean",
            every_kimg=0.03,
            save=Save(checkpoints),
        ),
        "stops": lambda: Stops(directory / "stop", max_seconds=0.0, signals=()),
    }


@pytest.mark.parametrize("name", hooks(Path()))
def test_hooks(name: str, tmp_path: Path) -> None:
    check_hook(hooks(tmp_path)[name])
    if name in ("log", "evaluate"):
        file = {"log": "log.jsonl", "evaluate": "metrics.jsonl"}[name]
        assert [row["step"] for row in read_rows(tmp_path / file)][-1] == 18  # it was there all the time


class Twice(Hook):
    """Can be used once only."""

    used = False

    def start(self, trainer: Trainer) -> None:
        if self.used:
            raise RuntimeError("this hook is spent")
        self.used = True


class Ending(Hook):
    """Leaves the generator in evaluation mode."""

    def end(self, trainer: Trainer) -> None:
        trainer.generator.eval()


def acting(after_step: Callable[[Any, Trainer], object]) -> type[Hook]:
    return type("Acting", (Hook,), {"after_step": after_step})


def clamp(hook: Any, trainer: Trainer) -> None:
    for weight in trainer.discriminator.parameters():
        weight.data.clamp_(-0.1, 0.1)


def zero_average(hook: Any, trainer: Trainer) -> None:
    for weight in trainer.average.parameters():
        weight.data.zero_()


def only_new_ones_break(hook: Any, trainer: Trainer) -> None:
    if trainer.steps == 13:
        clamp(hook, trainer)


BROKEN_HOOKS: dict[str, tuple[Callable[[], Any], str]] = {
    "no hook": (dict, r"make\(\): expected a Hook; saw a dict: derive the hook from poise.trainer.Hook"),
    "cannot be made": (lambda: 1 / 0, r"make\(\): expected no error; saw ZeroDivisionError"),
    "clips": (
        acting(clamp),
        "a fit with the hook: expected the same as one without, bit for bit; saw a difference in generator.0.weight: "
        "a hook observes: change no weights, .* a constraint",
    ),
    "changes the average": (acting(zero_average), "a fit with the hook: .* saw a difference in ema.0.weight"),
    "fails": (acting(lambda hook, trainer: 1 / 0), "a fit with the hook: expected no error; saw ZeroDivisionError"),
    "spent": (Twice, r"a second fit with the hook: expected no error; saw RuntimeError \(this hook is spent\)"),
    "changes the mode": (Ending, "a second fit with the hook: .* saw a difference in generator"),
    "late": (
        acting(only_new_ones_break),
        "a fit of a new trainer that goes on with the hook: .* saw a difference in generator",
    ),
}


@pytest.mark.parametrize("name", BROKEN_HOOKS)
def test_broken_hooks(name: str) -> None:
    make, words = BROKEN_HOOKS[name]
    with refused(words):
        check_hook(make)


def test_hooks_see_the_trainer_that_is_asked_for() -> None:
    seen: set[Any] = set()

    def after_step(hook: Any, trainer: Trainer) -> None:
        seen.add((tuple(trainer.sample(1).shape), type(trainer.balance), trainer.nimg // trainer.steps))

    check_hook(acting(after_step), shape=(1, 4, 4), batch=5, steps=2, balance=BALANCES["simultaneous"]())
    assert seen == {((1, 1, 4, 4), BALANCES["simultaneous"], 5)}


# Training.

TRAININGS: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"loss {name}": lambda loss=loss: {"loss": loss} for name, loss in LOSSES.items()},  # type: ignore[misc]
    **{
        f"penalty {name}": lambda name=name, it=it: {"penalties": {name: Weighted(it, 0.5)}}  # type: ignore[misc]
        for name, it in PENALTIES.items()
    },
    **{f"balance {name}": lambda it=it: {"balance": it(pretrain_d=1)} for name, it in BALANCES.items()},  # type: ignore[misc]
    **{
        f"wrapper {name}": lambda it=it: dict.fromkeys(("g_optimizer", "d_optimizer"), lambda w: it(adam(w)))  # type: ignore[misc]
        for name, it in WRAPPERS.items()
    },
    **{
        f"constraint {name}": lambda it=it: {"constraints": [Constrained(it, to="D", every=2)]}  # type: ignore[misc]
        for name, it in CONSTRAINTS.items()
    },
    "warm-up": lambda: {"warmup": Autoencoder(nn.Linear(2, 4), 3, adam)},
    "schedules": lambda: {
        "g_optimizer": Scheduled(Adam, lr=Cosine(from_=1e-2, to=1e-3, end=0.1)),
        "top_k": Linear(from_=1.0, to=0.5, end=0.1),
        "ema": Ema(half_life_kimg=Linear(from_=0.1, to=0.2, end=0.1)),
    },
    "layers": lambda: {"penalties": {"match": Weighted(feature_matching(["one", "two.three"]), 1.0, every=2)}},
    "much at once": lambda: {
        "loss": LOSSES["relativistic"],
        "penalties": {"r1": Weighted(PENALTIES["r1"], 0.1, every=3), "lecam": Weighted(lecam(0.5), 0.1)},
        "constraints": [Constrained(CONSTRAINTS["spectral_norm"])],
        "balance": BALANCES["adaptive_critic"](),
        "g_optimizer": lambda weights: Lookahead(adam(weights), k=3),
        "seed": 7,
    },
}


@pytest.mark.filterwarnings("ignore:proportional control reads")  # of a critic that is no autoencoder
@pytest.mark.parametrize("name", TRAININGS)
def test_trainings(name: str) -> None:
    check_trains(**TRAININGS[name]())


def test_training_of_ones_own_networks() -> None:
    shape = (1, 8, 8)
    generator = PRESETS["dcgan"].generator(z_dim=5, shape=shape, width=4)
    discriminator = PRESETS["dcgan"].discriminator(shape=shape, width=4, spectral_norm=True, norm="none")
    before = [weight.clone() for weight in generator.parameters()]
    check_trains(generator, discriminator, z_dim=5, shape=shape, steps=4, batch=4)
    assert all(map(torch.equal, generator.parameters(), before))


def drawn_elsewhere(scene: Scene) -> Tensor:
    return random() * scene.real_logits.square().mean()


BROKEN_TRAININGS: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "a policy that forgets": (
        lambda: {"balance": planning(counting)()},
        "a training that goes on from the state after step 1: expected the same as one call of fit, bit for bit; saw a "
        "difference in generator.0.weight: draw random numbers",
    ),
    "an optimizer that forgets": (
        lambda: {"g_optimizer": Decaying},
        "goes on from the state after step 1: .* saw a difference in generator.0.weight: .* in state_dict",
    ),
    "a network that forgets": (
        lambda: {"generator": doing(averaging)(inputs=4)},
        "goes on from the state after step 1: .* saw a difference in generator.one.weight: .* parameters and buffers",
    ),
    "a penalty that draws elsewhere": (
        lambda: {"penalties": {"own": Weighted(drawn_elsewhere, 1.0)}},
        "a loop over step: expected the same as one call of fit, bit for bit; saw a difference in generator",
    ),
    "a loss that is not finite": (
        lambda: {"loss": of(d=per_sample(lambda a, b: (b - a) / 0))},
        r"fit from step 0 to 8: expected no error; saw NonFiniteError \(step 0: the discriminator's loss is not finite",
    ),
    "what cannot be copied": (
        lambda: {"generator": with_a_graph()},
        "a copy of the parts: expected no error; saw RuntimeError .*: give parts that deepcopy can copy",
    ),
    "a state that cannot be saved": (
        lambda: {"balance": planning(Own.plan, state_dict=lambda self: {"seen": {1}})()},
        "the state after step 8: expected no error; saw TypeError .*: give tensors and JSON values",
    ),
    "a state that is refused": (
        lambda: {"balance": Refusing()},
        "a new trainer, given the state after step 1: expected no error; saw CheckpointError .*: take back what",
    ),
}


@pytest.mark.parametrize("name", BROKEN_TRAININGS)
def test_broken_trainings(name: str) -> None:
    options, words = BROKEN_TRAININGS[name]
    with refused(words):
        check_trains(**options())


def test_what_the_trainer_refuses_it_says_itself() -> None:
    with pytest.raises(ConfigError, match=r"penalties\.r1\.weight is -1"):
        check_trains(penalties={"r1": Weighted(PENALTIES["r1"], -1.0)})
    with pytest.raises(TypeError, match="'los'"):
        check_trains(los=LOSSES["hinge"])


# All of them.

CHECKS: dict[str, Callable[[], None]] = {
    "check_loss": lambda: check_loss(LOSSES["hinge"]),
    "check_penalty": lambda: check_penalty(PENALTIES["wgan_gp"]),
    "check_balance": lambda: check_balance(Alternating),
    "check_generator": lambda: check_generator(Layers(), Z_DIM, SHAPE),
    "check_discriminator": lambda: check_discriminator(Layers(), (3,)),
    "check_optimizer": lambda: check_optimizer(adam, steps=3),
    "check_hook": lambda: check_hook(Hook, steps=2),
    "check_trains": lambda: check_trains(steps=2),
}


def test_every_check_is_here() -> None:
    assert set(CHECKS) == set(testing.__all__)


@pytest.fixture
def _layers_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One network for all, so that a test draws no random numbers itself."""
    network = Layers()
    monkeypatch.setattr(sys.modules[__name__], "Layers", lambda: network)


@pytest.mark.usefixtures("_layers_draw_nothing")
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", CHECKS)
def test_the_caller_s_randomness_and_gradients_are_left_alone(name: str, context: Callable[[], Any]) -> None:
    state = torch.get_rng_state()
    with context():
        CHECKS[name]()
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)


def test_needs_no_pytest() -> None:
    code = "import sys, poise.testing; sys.exit(bool({'pytest', 'hypothesis'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_promise_is_checked_by_a_statement_that_python_can_leave_out() -> None:
    for path in Path(testing.__file__).parent.glob("*.py"):
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)], path.name
