"""HyperGAN's train hooks: penalties, constraints, wrappers of optimizers, and the warm-up."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from poise.recipes.hypergan.document import inner
from poise.recipes.hypergan.draft import Draft
from poise.recipes.hypergan.fields import Fields, is_number, shown
from poise.recipes.hypergan.layers import Layers
from poise.recipes.hypergan.names import key, last_name
from poise.recipes.hypergan.networks import is_layered, read_network
from poise.recipes.hypergan.optimizers import read_optimizer

__all__ = ["HOOKS", "is_hook", "read_hook"]

Hook = Callable[[Fields, Draft], None]

_ENDINGS = ("trainhook", "hook")


def is_hook(name: Any) -> bool:
    """Whether a class is a hook, known or not."""
    return key(name).endswith(_ENDINGS) or key(name, *_ENDINGS) in HOOKS


def read_hook(fields: Fields, draft: Draft) -> None:
    """Add to the recipe what a hook does."""
    name = fields.take("class")
    read = HOOKS.get(key(name, *_ENDINGS))
    if read is None:
        what = f"there is no hook '{last_name(name)}' here" if last_name(name) else "it has no class"
        draft.notes.warn(fields.path, f"{what}; left out")
        fields.ignore()
        return
    read(fields, draft)
    fields.close()


def _players(fields: Fields, draft: Draft) -> list[str]:
    """The players whose losses get a term: D, where the file does not say it."""
    words = fields.words("loss") or ["d"]
    players = [role for role in ("D", "G") if any(word in _PLAYERS.get(role, ()) for word in words)]
    for word in words:
        if not any(word in names for names in _PLAYERS.values()):
            draft.notes.warn(fields.path_of("loss"), f"there is no loss {shown(word)} here; it is 'd' or 'g'")
    return players


_PLAYERS: Mapping[str, tuple[str, ...]] = MappingProxyType({"D": ("d", "dg", "d_loss"), "G": ("g", "dg", "g_loss")})


# Penalties.


def _gradient_norm(fields: Fields, draft: Draft) -> None:
    weight, players = _weight(fields, "gamma", draft), _players(fields, draft)
    for role in players if weight is not None else ():
        draft.add("penalties", "gradient_norm", role, weight=weight)


def _weight(fields: Fields, name: str, draft: Draft) -> float | None:
    """A penalty's weight; a negative one would make of the penalty its opposite, and the penalty is left out."""
    weight = fields.number(name, default=1.0)
    if weight < 0:
        says = f"a weight is at least 0 here, and this is {weight:g}; the penalty is left out"
        draft.notes.warn(fields.path_of(name), says)
        return None
    return weight


def _adversarial_norm(fields: Fields, draft: Draft) -> None:
    """A negative weight cannot be: it would make of the penalty its opposite."""
    mode = fields.take("mode")
    if mode not in (None, "real", "fake"):
        draft.notes.warn(fields.path_of("mode"), f"{shown(mode)} is neither 'real' nor 'fake'; 'real' is taken")
    options = {"mode": mode} if mode == "fake" else {}
    players = _players(fields, draft)
    weights = _gammas(fields, draft)
    for role in players:
        weight, path = weights[role]
        if weight < 0:
            says = f"a weight is at least 0 here, and this is {weight:g}; the penalty is left out for {role}"
            draft.notes.warn(path, says)
        else:
            draft.add("penalties", "adversarial_norm", role, weight=weight, **options)


def _gammas(fields: Fields, draft: Draft) -> dict[str, tuple[float, str]]:
    """The weight for each player, and where it is written."""
    pair, path = fields.take("gammas"), fields.path_of("gammas")
    if isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)):
        return {role: (float(pair[place]), inner(path, place)) for place, role in enumerate("DG")}
    if pair is not None:
        draft.notes.warn(path, f"{shown(pair)} is not a list of two numbers; left out")
    one = fields.number("gamma", default=1.0)
    return dict.fromkeys("DG", (one, fields.path_of("gamma")))


_OF_SAMPLES = "the gradient is taken with respect to samples here, and to the networks' weights there"


def _is_of_d(fields: Fields, draft: Draft) -> bool:
    """Whether a penalty on D's gradient goes to D, as it must."""
    players = _players(fields, draft)
    if "G" in players:
        draft.notes.warn(fields.path_of("loss"), "a penalty on the gradient at samples is D's alone here")
    if "D" not in players:
        fields.ignore()
        return False
    if fields.peek("target") == "discriminator":
        fields.take("target")
    draft.notes.warn(fields.path, _OF_SAMPLES)
    return True


def _gradient_penalty(fields: Fields, draft: Draft) -> None:
    """By where the gradient is taken: between reals and fakes, or at either."""
    if not _is_of_d(fields, draft):
        return
    weight = _weight(fields, "lambda", draft)
    if weight is None:
        fields.ignore()
        return
    target = fields.number("flex", default=1.0, least=0)
    where = fields.peek("input")
    one_sided = fields.peek("type") == "relu"
    if where in ("x", "g") and target == 0:  # r1 and r2 are half of the square; of 0, both sides are one
        fields.take("input")
        if one_sided:
            fields.take("type")
        draft.add("penalties", "r1" if where == "x" else "r2", "D", weight=2 * weight)
        return
    if where == "x" and not one_sided:
        fields.take("input")
        draft.add("penalties", "dragan", "D", weight=weight, target=target, spread=0.0)
        return
    if one_sided:
        fields.take("type")
    options = ({} if target == 1 else {"target": target}) | ({"one_sided": True} if one_sided else {})
    draft.add("penalties", "wgan_gp", "D", weight=weight, **options)


def _max_gp(fields: Fields, draft: Draft) -> None:
    if _is_of_d(fields, draft) and (weight := _weight(fields, "lambda", draft)) is not None:
        draft.add("penalties", "max_gp", "D", weight=weight)


def _roth(fields: Fields, draft: Draft) -> None:
    if _is_of_d(fields, draft) and (weight := _weight(fields, "gamma", draft)) is not None:
        draft.add("penalties", "roth", "D", weight=weight)


def _orthogonal(fields: Fields, draft: Draft) -> None:
    draft.notes.warn(fields.path, "the distance from orthogonal weights is squared here, and taken absolutely there")
    draft.add("penalties", "orthogonal", "G", weight=1e-6)


# Constraints.


def _weight_constraint(fields: Fields, draft: Draft) -> None:
    kinds = fields.words("constraints", "weight_constraint", "constraint")
    every = fields.count("constraint_every", default=1, least=1)
    if not kinds:
        draft.notes.warn(fields.path, "it names no constraint; left out")
    for kind in kinds:
        if kind in ("clip", "clipping"):
            limit = fields.number("clip", "limit", default=0.01, least=1e-9)
            draft.add("constraints", "clip", "D", limit=limit, **({} if every == 1 else {"every": every}))
        elif kind in ("spectral", "spectral_norm"):
            draft.add("constraints", "spectral_norm", "D")
        else:
            draft.notes.warn(fields.path, f"there is no constraint {shown(kind)} here; left out")


# What optimizers do with gradients.


def _extragradient(fields: Fields, draft: Draft) -> None:
    """Two gradients are one step of the optimizer there, and two steps here."""
    draft.notes.warn(
        fields.path,
        "the second gradient is taken where the optimizer's step along the first one leads, and followed alone here; "
        "it is taken a step of 1e-4 along the gradient away, and the sum of both is followed there",
    )
    draft.wraps.append({"class": "extragradient"})


def _negative_momentum(fields: Fields, draft: Draft) -> None:
    """A part of the last gradient is taken away there; here, of the last step."""
    gamma = fields.number("gamma", default=0.5, least=-0.99, most=0.99)
    draft.notes.warn(fields.path, "a part of the last step is taken back here, and of the last gradient there")
    draft.wraps.append({"class": "negative_momentum", "beta": -gamma})


# The warm-up.


def _autoencoder(fields: Fields, draft: Draft) -> None:
    encoder = fields.object("encoder")
    if encoder is None or not is_layered(encoder):
        draft.notes.warn(fields.path, "a warm-up takes an encoder of layers, and this has none; left out")
        fields.ignore()
        return
    if draft.encoder is not None:
        draft.notes.warn(fields.path, "there is one warm-up here, and this is another; left out")
        fields.ignore()
        return
    network = read_network(encoder, draft)
    draft.encoder = network if isinstance(network, Layers) else None
    optimizer = fields.object("optimizer")
    draft.settings["warmup"] = {"steps": fields.count("steps", default=1000, least=1)} | (
        {} if optimizer is None else {"optimizer": read_optimizer(optimizer, draft)}
    )


def _augmentation(fields: Fields, draft: Draft) -> None:
    """Without a policy it does nothing there either."""
    if fields.peek("policy"):
        draft.notes.warn(fields.path, "there is no differentiable augmentation here; left out")
    else:
        draft.notes.inform(fields.path, "does nothing, for it has no policy; left out")
    fields.ignore()


HOOKS: Mapping[str, Hook] = MappingProxyType(
    {
        "gradientnorm": _gradient_norm,
        "adversarialnorm": _adversarial_norm,
        "gradientpenalty": _gradient_penalty,
        "maxgp": _max_gp,
        "stabilizingtraining": _roth,
        "orthogonalregularization": _orthogonal,
        "weightconstraint": _weight_constraint,
        "extragradient": _extragradient,
        "negativemomentum": _negative_momentum,
        "initializeasautoencoder": _autoencoder,
        "differentialaugmentation": _augmentation,
    }
)
"""HyperGAN's hooks by their class's name without ``TrainHook``."""
