"""HyperGAN's trainers: balance policies, with the optimizers and hooks that they bring."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any

from poise.recipes.hypergan.draft import Draft
from poise.recipes.hypergan.fields import Fields, shown
from poise.recipes.hypergan.hooks import read_hook
from poise.recipes.hypergan.names import key, last_name
from poise.recipes.hypergan.optimizers import read_optimizer

__all__ = ["TRAINERS", "read_trainer"]

Trainer = Callable[[Fields, Draft], dict[str, Any]]


def read_trainer(fields: Fields | None, draft: Draft) -> None:
    """Find the policy that a trainer is, and read its optimizers and hooks."""
    if fields is None:
        return
    name = fields.take("class")
    policy = TRAINERS.get(key(name, "trainer"))
    inside = fields.object("trainer") if policy is None else None
    if policy is not None:
        draft.settings["balance"] = policy(fields, draft)
    else:
        what = f"there is no trainer '{last_name(name)}' here" if last_name(name) else "it has no class"
        taken = "the one inside" if inside else "the recipe's own balance"
        draft.notes.warn(fields.path, f"{what}; {taken} is taken")
    _clipping(fields, draft)
    _optimizers(fields, draft)
    for hook in fields.objects("hooks"):
        read_hook(hook, draft)
    read_trainer(inside, draft)
    fields.close()


def _optimizers(fields: Fields, draft: Draft) -> None:
    """Each player's own, or else the one for both."""
    both = fields.object("optimizer")
    shared = read_optimizer(both, draft) if both is not None else None
    for role in ("g_optimizer", "d_optimizer"):
        own = fields.object(role)
        settings = read_optimizer(own, draft) if own is not None else shared
        if settings is not None:
            draft.settings[role] = deepcopy(settings)


def _clipping(fields: Fields, draft: Draft) -> None:
    limit = fields.number("d_clipped_weights", "clipped_weights", default=None, least=1e-9)
    if limit is not None:
        draft.add("constraints", "clip", "D", limit=limit)


def _with(name: str, **options: Any) -> dict[str, Any]:
    """A part with those of its options that are not 0 or off."""
    return {"class": name} | {option: value for option, value in options.items() if value}


def _pretrain(fields: Fields) -> int:
    return fields.count("pretrain_d", "d_until", default=0, least=0)


def _alternating(fields: Fields, draft: Draft) -> dict[str, Any]:
    """A player that is trained every n-th step only leaves the other n moves."""
    d_steps = fields.count("d_steps", "d_update_steps", "d_update", default=1, least=1)
    g_steps = fields.count("g_steps", "g_update_steps", "g_update", default=1, least=1)
    g_every = fields.count("train_g_every", default=1, least=1)
    d_every = fields.count("train_d_every", default=1, least=1)
    if g_every > 1 and d_every > 1:
        draft.notes.warn(
            fields.path_of("train_d_every"), f"one player moves in every step here; {d_every} beside train_g_every is 1"
        )
        d_every = 1
    counts = {"d_steps": d_steps * g_every, "g_steps": g_steps * d_every}
    more = {name: count for name, count in counts.items() if count > 1}
    return _with("alternating", **more, pretrain_d=_pretrain(fields))


def _simultaneous(fields: Fields, draft: Draft) -> dict[str, Any]:
    return _with("simultaneous", pretrain_d=_pretrain(fields))


def _balanced(fields: Fields, draft: Draft) -> dict[str, Any]:
    imbalance = fields.number("imbalance", default=0.1)
    part = _with("balanced", pretrain_d=_pretrain(fields), d_fake_balance=fields.flag("d_fake_balance"))
    return part | {"imbalance": imbalance}


def _accumulate(fields: Fields, draft: Draft) -> dict[str, Any]:
    """Gradients agree, or are averaged; or count by their spread, by a formula of its own there."""
    kind = fields.take("type")
    if kind not in (None, "average", "agree", "variance"):
        says = f"{shown(kind)} is no way to combine gradients here; {shown('average')} is taken"
        draft.notes.warn(fields.path_of("type"), says)
        kind = "average"
    if kind == "variance":
        draft.notes.warn(fields.path_of("type"), "gradients that differ move G less by another formula here")
    return _with(
        "accumulate",
        n=fields.count("accumulate", default=3, least=1),
        combine=None if kind == "average" else kind,
        pretrain_d=_pretrain(fields),
    )


TRAINERS: Mapping[str, Trainer] = MappingProxyType(
    {
        "alternating": _alternating,
        "wgan": _alternating,
        "simultaneous": _simultaneous,
        "balanced": _balanced,
        "accumulategradient": _accumulate,
        "accumulategradients": _accumulate,
    }
)
"""HyperGAN's trainers by their class's name without ``Trainer``; each gives a balance policy of here."""
