"""The ways to train a case that are timed beside each other: loops by hand, and poise in each mode and precision."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from cases import Case
from plain import Step
from poise.losses import LOSSES
from poise.penalties import PENALTIES, Weighted
from poise.trainer import Trainer, make_fabric

__all__ = ["EXECUTIONS", "PLAIN", "PRECISIONS", "Loop", "Variant", "variants_of"]

PLAIN = "plain"
EXECUTIONS = ("eager", "compile", "graph")
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


class Loop(NamedTuple):
    """A training that can go on.

    Attributes:
        step: one step.
        tick: what is done once after many steps, such as reading the means of what was logged.
        generator: the network in training.
        discriminator: the same.
    """

    step: Step
    tick: Callable[[], object]
    generator: nn.Module
    discriminator: nn.Module


class Variant(NamedTuple):
    """A way to train a case.

    Attributes:
        start: begins it, given batches of real samples.
        precision: ``fp32`` or ``bf16``.
        is_by_hand: whether the loop is one of ours, and not poise's.
        same_training: whether it comes to the plain loop's weights.
    """

    start: Callable[[list[Tensor]], Loop]
    precision: str = "fp32"
    is_by_hand: bool = False
    same_training: bool = True


def variants_of(
    case: Case, executions: tuple[str, ...] = EXECUTIONS, precisions: tuple[str, ...] = tuple(PRECISIONS)
) -> dict[str, Variant]:
    """Every variant of a case by its name, the plain loop first."""
    variants = {PLAIN: Variant(partial(_by_hand, case, case.plain), is_by_hand=True)}
    for name, loop in case.further.items():
        precision = "bf16" if name.endswith("bf16") else "fp32"
        if precision in precisions:
            variants[name] = Variant(partial(_by_hand, case, loop), precision, True, name in case.same_training)
    for precision in precisions:
        for execution in executions:
            start = partial(_by_poise, case, execution, precision)
            variants[f"poise {execution} {precision}"] = Variant(start, precision)
    return variants


def _by_hand(case: Case, loop: Callable[..., Step], reals: list[Tensor]) -> Loop:
    game = case.game(reals, case.peeks)
    return Loop(loop(game), lambda: None, game.generator, game.discriminator)


def _by_poise(case: Case, execution: str, precision: str, reals: list[Tensor]) -> Loop:
    game = case.game(reals)
    device = reals[0].device
    adam = partial(game.adam, fused=True)
    trainer = Trainer(
        game.generator,
        game.discriminator,
        z_dim=case.z_dim,
        loss=LOSSES[case.loss],
        penalties={name: Weighted(PENALTIES[name], weight) for name, weight in case.penalties.items()},
        balance=case.balance(),
        g_optimizer=adam,
        d_optimizer=adam,
        fabric=make_fabric(device.type, PRECISIONS[precision]),
        execution=execution,
    )

    def tick() -> None:
        trainer.read()
        trainer.meters.clear()

    return Loop(partial(trainer.step, game.reals), tick, trainer.generator, trainer.discriminator)
