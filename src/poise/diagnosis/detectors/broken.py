"""Trainings that break: numbers that are not finite, gradients and steps out of all proportion, players never alive."""

from collections.abc import Mapping
from statistics import median_low

from poise.diagnosis.course import Course, number
from poise.diagnosis.detectors.sign import SEVERE, WARNING, Sign, rounded

__all__ = ["dead_start", "dead_units", "exploding_gradients", "huge_steps", "non_finite", "wrong_sign"]

_NAMES = {"d": "discriminator", "g": "generator"}


def non_finite(course: Course) -> Sign | None:
    """A loss, a gradient or a score that is NaN or infinite: an event of the guard, or a number that the log lacks."""
    broken: Sign | None = None
    for row in course.events.rows:
        if row.get("kind") in ("non_finite", "skipped_update") and (at := number(row.get("step"))) is not None:
            evidence = row.get("evidence")
            error = evidence.get("error", "") if isinstance(evidence, Mapping) else ""
            is_left_out = row.get("kind") == "skipped_update"
            sign = _not_finite(int(at), {"error": str(error)})
            if not is_left_out:
                broken = sign
            elif course.log.last_step <= at:  # nothing tells yet whether that was all
                broken = sign._replace(severity=WARNING)
    if broken is not None:
        return broken
    hole = course.log.hole("d_loss", "g_loss", "d_grad_norm", "g_grad_norm")
    return None if hole is None else _not_finite(hole[0], {"not_finite": hole[1]})


def _not_finite(step: int, evidence: dict[str, object]) -> Sign:
    return Sign(
        SEVERE,
        evidence,
        "A loss or gradient became NaN or infinite: mostly a learning rate that is too high for a player whose "
        "gradients are not bounded, or NaN in the data.",
        "Halve both learning rates, or add a gradient penalty (r1); look for NaN in the data; go on from the last "
        "checkpoint.",
        step,
    )


def wrong_sign(course: Course) -> Sign | None:
    """Losses by which the players pull in the same direction."""
    if course.probes.latest("opposes") != 0:
        return None
    return Sign(
        SEVERE,
        {"opposes": 0},
        "The generator's loss pulls its samples to the side where the discriminator wants fakes: one of the two losses "
        "has the wrong sign, or labels of real and fake are swapped.",
        "Turn the sign of one player's loss: D must lower its own by telling reals from fakes, G by fakes that D takes "
        "for real.",
        0,
    )


def exploding_gradients(course: Course) -> Sign | None:
    """A gradient norm that stays far above what it was."""
    worst: Sign | None = None
    for player, name in _NAMES.items():
        column = f"{player}_grad_norm"
        recent, early = course.log.last(column, 3), course.log.early(column)
        if not recent or not early or course.log.count < 8:
            continue
        growth = min(value for _, value in recent) / early
        if growth < 100:
            continue
        severity = SEVERE if growth >= 1e4 else WARNING
        sign = Sign(
            severity,
            rounded(**{column: recent[-1][1], "at_the_beginning": early, "times": growth}),
            f"The {name}'s gradient is {growth:,.0f} times what it was at the beginning: its loss has no bound on its "
            "slope, or its learning rate is too high.",
            f"Lower {player}_optimizer.lr, or raise a gradient penalty on D (r1, wgan_gp); spectral norm bounds D's "
            "slope.",
            recent[0][0],
        )
        if worst is None or sign.severity.rank < worst.severity.rank:
            worst = sign
    return worst


def huge_steps(course: Course) -> Sign | None:
    """Steps that change a network's weights by a large part of their size; or a first one by several times that."""
    for player, name in _NAMES.items():
        recent = course.probes.points(f"{player}_step")[-4:]
        size = median_low(value for _, value in recent) if len(recent) > 1 else 0.0
        if size >= 0.05:
            return _too_large(player, name, "One step changes", size, size >= 0.2, recent[0][0])
        left = course.distance_left
        first = course.probes.first(f"{player}_first_step")
        if first is not None and first[1] >= 1 and (left is None or left > 0.5):
            return _too_large(player, name, "The first step changed", first[1], first[1] >= 5, 0)
    return None


def _too_large(player: str, name: str, what: str, size: float, severe: bool, since_step: int) -> Sign:
    return Sign(
        SEVERE if severe else WARNING,
        rounded(**{f"{player}_step": size}),
        f"{what} the {name}'s weights by {size:.0%} of their size: its learning rate is far too high.",
        f"Divide {player}_optimizer.lr by {10 if size < 0.5 else 100}, and begin anew.",
        since_step,
    )


def dead_start(course: Course) -> Sign | None:
    """D's loss next to zero ever since the first tick, for losses that are zero where D is perfect."""
    points, blind = course.log.points("d_loss")[1:], course.blind_loss
    if blind is None or len(points) < 5 or any(value > 0.02 * blind for _, value in points):
        return None
    left = course.distance_left
    if left is not None and left < 0.9:
        return None  # G learns all the same
    return Sign(
        SEVERE,
        rounded(d_loss=points[-1][1], highest=max(value for _, value in points)),
        "D has told all fakes from the beginning, so its loss is next to zero and G gets next to no gradient.",
        "Give D a gradient penalty (r1) or a loss that does not saturate (relativistic, wasserstein with wgan_gp), or "
        "lower d_optimizer.lr.",
        points[0][0],
    )


def dead_units(course: Course) -> Sign | None:
    """Most units of a ReLU layer that are 0 for every sample."""
    for player, name in _NAMES.items():
        recent = course.probes.last(f"{player}_dead", 3)
        if recent and (share := min(value for _, value in recent)) >= 0.5:
            return Sign(
                WARNING,
                rounded(**{f"{player}_dead": share}),
                f"In one layer of the {name} {share:.0%} of the ReLU units are 0 for every sample, and no gradient "
                "reaches them: mostly after steps that were too large.",
                f"Lower {player}_optimizer.lr and begin anew, or use leaky_relu.",
                recent[0][0],
            )
    return None
