"""HyperGAN's losses."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from poise.recipes.hypergan.draft import Draft
from poise.recipes.hypergan.fields import Fields, is_number, shown
from poise.recipes.hypergan.names import key, last_name

__all__ = ["LOSSES", "read_loss"]

Loss = Callable[[Fields, Draft], dict[str, Any] | None]


def read_loss(fields: Fields | None, draft: Draft) -> None:
    """Find the loss of here that is the file's; the recipe's own stays where there is none."""
    if fields is None:
        return
    name = fields.take("class")
    make = LOSSES.get(key(name, "loss"))
    loss = make(fields, draft) if make else None
    if make is None:
        draft.notes.warn(fields.path, f"there is no loss '{last_name(name)}' here; the recipe's own is taken")
        fields.ignore()
    weight = fields.number("gradient_penalty", default=None, least=0)
    if weight is not None:
        draft.add("penalties", "wgan_gp", "D", weight=weight)
    fields.drop("reduce", says="logits of a sample are averaged")
    fields.close()
    if loss is not None:
        draft.settings["loss"] = loss


def _vanilla(fields: Fields, draft: Draft) -> dict[str, Any]:
    smoothing = fields.number("label_smooth", "label_smoothing", default=0.0, least=0, most=0.99)
    return {"class": "vanilla"} | ({"label_smoothing": smoothing} if smoothing else {})


def _logistic(fields: Fields, draft: Draft) -> dict[str, Any]:
    for name, default in (("beta", 1), ("threshold", 20)):  # of a softplus; these are none
        if fields.peek(name) == default:
            fields.take(name)
    return {"class": "vanilla"}


def _lsgan(fields: Fields, draft: Draft) -> dict[str, Any]:
    a, b, c = _labels(fields, draft)
    return {"class": "lsgan", "a": a, "b": b, "c": c}


def _labels(fields: Fields, draft: Draft) -> list[float]:
    """The targets a, b, c."""
    given = fields.take("labels")
    if given is None:
        return list(_LABELS)
    if isinstance(given, list) and len(given) == 3 and all(map(is_number, given)):
        return [float(it) for it in given]
    draft.notes.warn(
        fields.path_of("labels"), f"{shown(given)} is not a list of three numbers; {shown(_LABELS)} is taken"
    )
    return list(_LABELS)


_LABELS = [-1.0, 1.0, 1.0]


def _wasserstein(fields: Fields, draft: Draft) -> dict[str, Any]:
    return {"class": "wasserstein_kl" if fields.flag("kl") else "wasserstein"}


def _hinge(fields: Fields, draft: Draft) -> dict[str, Any]:
    return {"class": "hinge"}


def _ragan(fields: Fields, draft: Draft) -> dict[str, Any] | None:
    """By its type; its targets are those of the paper, which are the only ones here."""
    given = fields.take("type")
    kind = "standard" if given is None else given
    form = _FORMS.get(kind) if isinstance(kind, str) else None
    name = "relativistic" if fields.flag("rgan") else "relativistic_average"
    if kind == "wasserstein" and name == "relativistic_average":
        draft.notes.warn(
            fields.path, "the wasserstein type is, but for a factor of 2 in D's loss, the loss wasserstein"
        )
        return {"class": "wasserstein"}
    if form is None:
        draft.notes.warn(fields.path_of("type"), f"there is no {name} loss of the type {shown(kind)} here; left out")
        return None
    if form == "least_squares" and _labels(fields, draft) != _LABELS:
        draft.notes.warn(fields.path_of("labels"), f"the targets are {shown(_LABELS)} here")
    if form == "logistic":
        draft.notes.warn(fields.path, "G's loss has both of the paper's terms here, and one there")
    return {"class": name} | ({} if form == "logistic" else {"form": form})


_FORMS: Mapping[str, str] = MappingProxyType(
    {"standard": "logistic", "least_squares": "least_squares", "hinge": "hinge"}
)


def _realness(fields: Fields, draft: Draft) -> dict[str, Any]:
    """The number of outcomes is that of D's outputs, which is learned later."""
    return {"class": "realness", "objective": "anchored"}


def _softmax(fields: Fields, draft: Draft) -> dict[str, Any]:
    return {"class": "softmax"}


def _f_divergence(fields: Fields, draft: Draft) -> dict[str, Any] | None:
    r"""By its type. G minimizes the conjugate's negative there for some, and a formula of the type's own for others."""
    given = fields.take("type")
    kind = "gan" if given is None else given
    of_g = fields.take("g_loss_type")
    of_g = kind if of_g is None else of_g
    saturating = of_g in ("gan", "total_variation", "standard")
    if kind == "gan":
        if not saturating:
            draft.notes.warn(fields.path_of("g_loss_type"), "G minimizes log(1 - sigmoid(D(G(z)))) here")
        return {"class": "minimax"}
    if kind == "total_variation" and saturating:
        return {"class": "total_variation"}
    if kind not in _DIVERGENCES:
        draft.notes.warn(fields.path_of("type"), f"there is no f-divergence {shown(kind)} here; left out")
        return None
    if not saturating:
        draft.notes.warn(fields.path, "G minimizes -g_f(D(G(z))) here, as f-GAN advises, and another formula there")
    options = {"saturating": True} if saturating and kind != "total_variation" else {}
    return {"class": kind} | options


_DIVERGENCES = ("kl", "js", "reverse_kl", "pearson", "squared_hellinger", "neyman", "total_variation")

LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "standard": _vanilla,
        "standardgan": _vanilla,
        "logistic": _logistic,
        "leastsquares": _lsgan,
        "lsgan": _lsgan,
        "wasserstein": _wasserstein,
        "wgan": _wasserstein,
        "hinge": _hinge,
        "ragan": _ragan,
        "realness": _realness,
        "softmax": _softmax,
        "fdivergence": _f_divergence,
    }
)
"""HyperGAN's losses by their class's name without ``Loss``; each gives a loss of here, or None."""
