"""Contract checks: they pass on all that poise has, and each promise fails in its own words where a part breaks it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import random
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import relu, softplus
from torch.optim import Adam, Optimizer

from poise import losses, testing
from poise.balance import BALANCES, Alternating, Balance
from poise.constraints import CONSTRAINTS, Constrained
from poise.ema import Ema
from poise.errors import ConfigError
from poise.hooks import Evaluate, Log, Samples, Save, Stops
from poise.losses import LOSSES, AdversarialLoss
from poise.losses.loss import per_sample
from poise.models import PRESETS
from poise.optimizers import WRAPPERS, Lookahead, Wrapper
from poise.penalties import PENALTIES, GradientPenalty, Scene, Weighted, feature_matching, lecam, wgan_gp
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
    "raises": (of(d=lambda a: a), r"loss.d of logits \(4, 1\): expected no error; saw TypeError .*takes \(real_logits"),
    "no tensor": (of(d=lambda a, b: 0.5), "expected a tensor; saw a float: return the values of the samples"),
    "the batch's mean": (
        of(d=per_sample(lambda a, b: (b - a).mean())),
        r"loss.d of logits \(4, 1\): expected values of shape \(4,\), one a sample; saw shape \(\): average within each",
    ),
    "columns": (of(g=lambda a, b: softplus(-b)), r"loss.g of logits \(4, 1\): .* saw shape \(4, 1\): average within"),
    "by dimensions": (
        of(g=per_sample(lambda a, b: b.ndim * softplus(-b))),
        r"loss.g of the same logits as \(4, 1\) and as \(4,\): expected the same values; saw \[.*flatten all but the",
    ),
    "broadcasts": (
        of(d=lambda a, b: (softplus(-a) + softplus(b)).flatten()),
        r"loss.d of real logits \(4, 1\) and fake logits \(4,\): expected a refusal, because .* of shape \(16,\): compare",
    ),
    "broadcasts batches": (
        of(d=lambda a, b: LOSSES["vanilla"].d(a, b.expand_as(a) if len(b) == 1 else b)),
        r"fake logits \(1, 1\): expected a refusal",
    ),
    "broadcasts for G": (
        of(g=lambda a, b: softplus(a - b).flatten(), g_uses_real=True),
        r"loss.g of real logits \(4, 1\) and fake logits \(4,\): expected a refusal",
    ),
    "overflows": (
        of(d=per_sample(lambda a, b: -torch.log(torch.sigmoid(a)) - torch.log(1 - torch.sigmoid(b)))),
        "loss.d where reals have logits -50 and fakes 50: expected finite values; saw inf: write it with functions",
    ),
    "infinite slope": (
        of(g=per_sample(lambda a, b: relu(1 - b).sqrt())),
        "loss.g where reals have logits -50 and fakes 50: expected finite gradients; saw nan: write it",
    ),
    "held constant": (HALF_CONSTANT, "the gradients of loss.d: expected those of finite differences; saw Gradcheck.*=False"),
    "uses reals": (
        of(g=per_sample(lambda a, b: softplus(a - b))),
        r"with g_uses_real=False: expected the same values; saw others: give AdversarialLoss\(..., g_uses_real=True\)",
    ),
    "uses no reals": (of(g_uses_real=True), "with g_uses_real=True: expected other values; saw the same: leave g_uses"),
    "sides exchanged": (
        of(d=lambda a, b: LOSSES["hinge"].d(b, a)),
        "descent along loss.d: expected the .* reals raised above .* saw that it lowers reals and raises fakes: a higher",
    ),
    "two targets alike": (of(d=per_sample(lambda a, b: softplus(-a) + softplus(-b))), "saw that it raises fakes: a hi"),
    "indifferent": (of(d=per_sample(lambda a, b: 0 * (a + b))), "saw that it moves neither side"),
    "G against itself": (of(g=per_sample(lambda a, b: softplus(b))), "descent along loss.g: expected .* saw that it lowers"),
    "G without a gradient": (of(g=per_sample(lambda a, b: 0 * b)), "saw that it leaves them: a higher logit means more"),
}


@pytest.mark.parametrize("name", BROKEN_LOSSES)
def test_broken_losses(name: str) -> None:
    loss, words = BROKEN_LOSSES[name]
    with refused(words):
        check_loss(loss)


def test_losses_that_mean_otherwise() -> None:
    check_loss(losses.lsgan(a=1.0, b=0.0, c=0.0), real_up=False)
    with refused("lowers reals and raises fakes"):
        check_loss(losses.lsgan(a=1.0, b=0.0, c=0.0))
    check_loss(HALF_CONSTANT, gradcheck=False)


def test_the_outputs_are_those_of_the_loss() -> None:
    check_loss(LOSSES["realness"], 10)
    with refused("check_loss: expected outputs=10, as the loss says itself; saw outputs=3: leave outputs out"):
        check_loss(LOSSES["realness"], 3)
    flat_only = of(d=lambda a, b: (softplus(-a) + softplus(b)).squeeze(1) if a.ndim == 2 else softplus(-a) + softplus(b))
    with refused(r"loss.d of logits \(4, 1, 3, 3\): expected values of shape \(4,\)"):
        check_loss(flat_only, (1, 3, 3))


# Penalties.


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties(name: str) -> None:
    check_penalty(PENALTIES[name], gradcheck=name != "lecam")  # whose anchors are constants


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
        scene.memory["kept"] = what(scene.real_logits.mean())
        return scene.real_logits.square().mean()

    return penalty


class ForNobody:
    to = "E"


class AtUpdate:
    """Fails from the second update on, where there is a memory."""

    def __call__(self, scene: Scene) -> Tensor:
        before = scene.memory.get("at", torch.zeros(()))
        scene.memory["at"] = torch.zeros(2, 3)
        return scene.real_logits.square().mean() + before.reshape(())


BROKEN_PENALTIES: dict[str, tuple[Any, str]] = {
    "a class": (Counting, "check_penalty: expected a function of a scene; saw the class Counting: give a penalty"),
    "a text": ("r1", "check_penalty: expected a function of a scene; saw a str"),
    "a list": (on_reals(lambda g: g.tolist()), r"samples \(4, 2\) with logits \(4, 1\): expected a tensor \(4,\).*a list"),
    "one for each entry": (on_reals(lambda g: g.square()), r"saw shape \(4, 2\): sum over each sample's entries"),
    "vectors only": (
        lambda scene: scene.critic(scene.real).square().flatten(1).mean(1) + scene.fake.square().sum(1),
        r"samples \(4, 1, 4, 4\) with logits \(4, 1\): expected a tensor \(4,\).* saw shape \(4, 4, 4\)",
    ),
    "no patches": (
        lambda scene: scene.real_logits.square().squeeze(1),
        r"samples \(4, 1, 4, 4\) with logits \(4, 1, 2, 2\): expected a tensor \(4,\).* saw shape \(4, 2, 2\)",
    ),
    "takes D's output for logits": (
        lambda scene: scene.discriminator(scene.real).square().mean(),
        r"expected no error; saw AttributeError \('tuple' .*: a penalty takes a scene, and D's logits from its critic\(\)",
    ),
    "root at 0": (
        on_reals(lambda g: (g.square().sum(1).sqrt() - 1).square()),
        "with logits .*, which are constant: expected finite gradients; saw NaN or infinity: use torch.linalg.vector_norm",
    ),
    "logarithm of 0": (on_reals(lambda g: g.square().sum(1).log()), "which are constant: expected finite values"),
    "without a graph": (
        without_a_graph,
        r"samples \(2,\) in 3 scenes: expected gradients by weights of the discriminator, .* saw none, or zeros: leave out",
    ),
    "held constant": (
        weighed_by_a_constant,
        r"the derivatives of the penalty of samples \(4, 2\) .*: expected those of finite differences; saw Gradcheck.*=False",
    ),
    "once only": (once_only, "the second derivatives of .*: expected those of finite differences; saw RuntimeError .*twice"),
    "draws elsewhere": (noisy, "twice from one seed: expected the same .*: draw random numbers from torch's default gen"),
    "remembers": (Counting(), "twice from one seed: expected the same .* keep what must be remembered in scene.memory"),
    "keeps a graph": (keeping(lambda it: it), r"scene.memory\['kept'\] .* saw one with a graph: keep tensors only, and"),
    "keeps a number": (keeping(float), r"scene.memory\['kept'\] .*: expected a tensor .* saw a float"),
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


def weighing(policy: Any, step: int, signals: Any) -> Any:
    policy.fake_weight = 0.5 + 0.1 * step * (step % 2)
    return (("D",), ("G",)) if step % 2 else (("D",),)


ONE_FOR_ALL = Own()


class Shared(Own):
    """Its state is that of the class."""

    seen: ClassVar[list[int]] = []

    def plan(self, step: int, signals: Any) -> Any:
        self.seen.append(step)
        return (("D",),) * (1 + len(self.seen) % 3)


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
    "nobody": (planning(lambda *_: ()), r"plan\(0, signals\) with the signals none: expected phases .* saw \(\): return"),
    "nothing": (planning(lambda *_: None), "expected phases of 'D' and 'G', such as .* saw None"),
    "another role": (planning(lambda *_: (("d",),)), r"saw \(\('d',\),\)"),
    "one player twice": (planning(lambda *_: (("D", "D"),)), r"saw \(\('D', 'D'\),\): .* nobody twice"),
    "no phases": (planning(lambda *_: 5), "saw 5"),
    "a signal that is missing": (
        planning(lambda self, step, signals: (("D",),) if signals["d_loss"] > 0 else (("G",),)),
        r"plan\(0, signals\) with the signals none: expected no error; saw KeyError \('d_loss'\): .* signals.get\(name\)",
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
        r"state\['mean'\]\[0\] of state_dict\(\) after 0 steps: expected JSON values: .* saw a Tensor, tensor\(\[0., 0.\]\)",
    ),
    "numpy": (planning(Own.plan, state_dict=lambda self: {"n": np.int64(3)}), r"state\['n'\] of .* saw a int64"),
    "tuples": (planning(Own.plan, state_dict=lambda self: {"pair": (1, 2)}), r"state\['pair'\] .* saw a tuple, \(1, 2\)"),
    "numbers as keys": (planning(Own.plan, state_dict=lambda self: {"by": {1: 2}}), r"a key of state\['by'\] .* a int, 1"),
    "its own list": (
        planning(appending, state_dict=lambda self: {"list": self.list}),
        r"the state that was given before step 0: expected that it stays as it was; .*: return copies of lists and dicts",
    ),
    "the class's state": (
        Shared,
        "a second policy, after another one has been at work: expected that it does the same from the beginning; saw the "
        "plan .* in step 0: keep state in attributes that __init__ sets",
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
        r"step 1 of a new policy, into which the state {} was loaded: expected what the policy did that it was saved from; "
        r"saw the plan \(.*: give everything that plan\(\) changes in state_dict\(\)",
    ),
    "forgets to load": (
        planning(counting, state_dict=lambda self: {"count": self.count}, load_state_dict=lambda self, state: None),
        r"step 1 of a new policy, into which the state {'count': 1} was loaded",
    ),
    "refuses its own state": (Refusing, r"load_state_dict\({}\): expected no error; saw KeyError \('turn'\): take back"),
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
