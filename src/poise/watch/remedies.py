"""What can be done about a finding: for each kind a ladder of changes to the settings, the mildest first.

Settings are those of a config, as JSON values.
"""

from collections.abc import Callable, Mapping
from math import floor, log10
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["HOPELESS", "REMEDIES", "Change", "Remedy", "acts", "remedies"]

Settings = Mapping[str, Any]

# Bounds within which weights and learning rates are moved, over all remedies of one kind.
_LEAST_LR, _MOST_WEIGHT = 1e-7, 1e4
_GRADIENT_PENALTIES = ("r1", "r2", "wgan_gp", "zero_gp", "dragan", "max_gp", "roth", "gradient_norm")
_MOST_D_STEPS = 8

# The arguments of schedules that are values, rather than places.
_OF_SCHEDULES = ("from", "to", "value", "values")


class Change(NamedTuple):
    """A named change to settings.

    Attributes:
        name: what is changed, in words.
        settings: the top-level settings that take the place of the old ones.
        anew: whether training begins again: the weights of before do not fit the settings, or are of no use.
    """

    name: str
    settings: Settings
    anew: bool = False


Remedy = Callable[[Settings], Change | None]
"""Gives the change for settings, or None where there is nothing to change."""


def learning_rates(factor: float, *players: str) -> Remedy:
    """The learning rates of players times ``factor``."""

    def remedy(settings: Settings) -> Change | None:
        fields = {f"{player}_optimizer": settings[f"{player}_optimizer"] for player in players}
        if any(_least(it["lr"]) * factor < _LEAST_LR for it in fields.values()):
            return None
        names = " and ".join(f"{player}_optimizer.lr" for player in players)
        return Change(
            f"{names} times {factor:g}",
            {name: {**field, "lr": _scaled(field["lr"], factor)} for name, field in fields.items()},
        )

    return remedy


def penalty_weights(factor: float) -> Remedy:
    """The weights of all gradient penalties times ``factor``; R1 where there is none and more is wanted."""

    def remedy(settings: Settings) -> Change | None:
        penalties = settings["penalties"]
        of_gradients = [name for name, it in penalties.items() if it.get("class") in _GRADIENT_PENALTIES]
        if not of_gradients and factor > 1:
            return Change(
                "penalties.r1 added, weight 1", {"penalties": {**penalties, "r1": {"class": "r1", "weight": 1.0}}}
            )
        changed = {
            name: {**it, "weight": _scaled(it["weight"], factor)} if name in of_gradients else it
            for name, it in penalties.items()
        }
        if not of_gradients or any(_most(it["weight"]) > _MOST_WEIGHT for it in changed.values()):
            return None
        return Change(f"weights of {', '.join(of_gradients)} times {factor:g}", {"penalties": changed})

    return remedy


def discriminator_steps(factor: float) -> Remedy:
    """D's steps for each of G's times ``factor``, where they are a fixed number."""

    def remedy(settings: Settings) -> Change | None:
        balance = settings["balance"]
        steps = balance.get("d_steps", 1)
        wanted = min(max(round(steps * factor), 1), _MOST_D_STEPS)
        if balance.get("class") != "alternating" or wanted == steps:
            return None
        return Change(f"balance.d_steps {wanted} instead of {steps}", {"balance": {**balance, "d_steps": wanted}})

    return remedy


def as_fast_as_the_generator(settings: Settings) -> Change | None:
    """D learns as fast as G, where it learns more slowly."""
    g, d = settings["g_optimizer"]["lr"], settings["d_optimizer"]
    if _most(d["lr"]) >= _most(g):
        return None
    return Change("d_optimizer.lr as g_optimizer.lr", {"d_optimizer": {**d, "lr": g}})


def no_pretraining(settings: Settings) -> Change | None:
    """D begins with G."""
    balance = settings["balance"]
    if not balance.get("pretrain_d"):
        return None
    return Change("balance.pretrain_d 0", {"balance": {**balance, "pretrain_d": 0}}, anew=True)


def more_augmentation(settings: Settings) -> Change | None:
    """Images are augmented, as strongly as D's verdicts ask for."""
    if settings["size"] is None or settings["augment"] is not None:
        return None
    ada = {"class": "ada", "p": 0.0, "adaptive": {"target": 0.6, "kimg": 100.0, "most": 0.8}}
    return Change("augment ada, adaptive", {"augment": ada})


def anew(remedy: Remedy) -> Remedy:
    """The same from the beginning, where the weights of before are of no use."""

    def change(settings: Settings) -> Change | None:
        found = remedy(settings)
        return None if found is None else found._replace(anew=True)

    return change


_CALM = learning_rates(0.5, "g", "d")
_FIRM = penalty_weights(2.0)

REMEDIES: Mapping[str, tuple[Remedy, ...]] = MappingProxyType(
    {
        "non_finite": (_CALM, _FIRM),
        "exploding_gradients": (_CALM, _FIRM),
        "dead_start": (no_pretraining,),
        "memorization": (more_augmentation, _FIRM),
        "vanishing_generator_gradient": (no_pretraining, discriminator_steps(0.5), anew(_FIRM)),
        "discriminator_wins": (no_pretraining, discriminator_steps(0.5), _FIRM, learning_rates(0.25, "d")),
        "generator_wins": (anew(as_fast_as_the_generator), penalty_weights(0.1), discriminator_steps(2.0)),
        "saturated_output": (anew(learning_rates(0.1, "g")),),
        "mode_collapse": (_FIRM, learning_rates(0.5, "g")),
        "past_best": (_CALM, _FIRM),
        "no_progress": (),
    }
)
"""What is tried, by kind, before the settings of a safe recipe are."""


# What a person wants something to be done about without having asked for it: a run that would be lost by the morning.
_AUTO = frozenset({"non_finite", "dead_start"})

# What no setting is to blame for, and what spoils all that comes.
HOPELESS = frozenset({"wrong_sign", "range_mismatch"})


def acts(mode: str, kind: str) -> bool:
    """Whether the watch does something about a severe finding, rather than only saying so.

    Args:
        mode: ``off``, ``warn``, ``auto`` or ``act``.
        kind: of the finding.
    """
    if mode == "auto":
        return kind in _AUTO
    return mode == "act" and (kind in REMEDIES or kind in HOPELESS or kind == "huge_steps")


def remedies(kind: str, evidence: Mapping[str, Any]) -> tuple[Remedy, ...]:
    """What may help against a finding, the mildest first; nothing where no setting is to blame.

    Args:
        kind: of the finding.
        evidence: which may say whose step is too large.
    """
    if kind == "huge_steps":
        return tuple(anew(learning_rates(_shrinking(float(size)), name[0])) for name, size in evidence.items())
    return REMEDIES.get(kind, ())


def _shrinking(size: float) -> float:
    """The power of ten that makes steps of this size, over that of the weights, about a hundredth or less."""
    return float(min(10.0 ** floor(log10(0.04 / size)), 0.1))


def _scaled(value: Any, factor: float) -> Any:
    """A number, or a schedule with all that it goes through, times ``factor``."""
    if isinstance(value, Mapping):
        return {name: _scaled(it, factor) if name in _OF_SCHEDULES else it for name, it in value.items()}
    return [it * factor for it in value] if isinstance(value, list) else value * factor


def _extremes(value: Any) -> list[float]:
    """What a number is, or the numbers between which a schedule lies."""
    if isinstance(value, Mapping):
        return [it for name in _OF_SCHEDULES if name in value for it in _extremes(value[name])]
    return [float(it) for it in (value if isinstance(value, list) else [value])]


def _least(value: Any) -> float:
    """The least positive number of a setting."""
    return min((it for it in _extremes(value) if it > 0), default=float("inf"))


def _most(value: Any) -> float:
    return max(_extremes(value), default=0.0)
