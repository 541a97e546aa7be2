"""From a file of HyperGAN to a recipe."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poise.config import to_yaml
from poise.data.picture import check_size
from poise.errors import ConfigError, DataError
from poise.recipes.hypergan.document import inner, read
from poise.recipes.hypergan.draft import Draft, Network
from poise.recipes.hypergan.fields import Fields, Note, Notes
from poise.recipes.hypergan.hooks import is_hook, read_hook
from poise.recipes.hypergan.layers import Layers
from poise.recipes.hypergan.losses import read_loss
from poise.recipes.hypergan.names import key, last_name
from poise.recipes.hypergan.networks import Fit, fit, is_layered, read_latent, read_network
from poise.recipes.hypergan.optimizers import is_optimizer, read_optimizer
from poise.recipes.hypergan.trainers import read_trainer

__all__ = ["BASE", "Imported", "convert", "convert_file"]

BASE = "vanilla"
"""The recipe whose parts are taken where the file has none."""


@dataclass(frozen=True)
class Imported:
    """A recipe that was made of a file.

    Attributes:
        origin: what the file is called.
        settings: the settings that the file decides, over those of :data:`BASE`.
        notes: what of the file has no meaning here, or another one, in the file's order.
    """

    origin: str
    settings: Mapping[str, Any]
    notes: tuple[Note, ...]

    def text(self) -> str:
        """The recipe as a YAML file, with the notes as comments above it."""
        lines = [f"Made from {self.origin}, a HyperGAN configuration. What it does not say is that of '{BASE}'."]
        for changes_outcome, title in (
            (True, "What is not trained as HyperGAN would train it:"),
            (False, "What has no meaning here and changes nothing:"),
        ):
            notes = [note for note in self.notes if note.changes_outcome == changes_outcome]
            if notes:
                lines += ["", title, *(f"  {note}" for note in notes)]
        head = "".join(f"# {_printable(line)}".rstrip() + "\n" for line in lines)
        return head + "\n" + to_yaml({"recipe": BASE, **self.settings})


def _printable(line: str) -> str:
    """A line whose signs all show: nothing in the file can end a comment."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)


def convert_file(path: Path) -> Imported:
    """Make a recipe of a file.

    Args:
        path: a JSON file of HyperGAN 1.x: a whole model, or one component such as a trainer.

    Raises:
        ConfigError: when the file cannot be read or is not JSON, a layer in it is none, or nothing in it has a meaning.
        ShapeError: when layers do not fit each other.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: it is not text in UTF-8") from error
    return convert(text, str(path))


def convert(text: str, origin: str) -> Imported:
    """Make a recipe of the text of a file; nothing that it names is imported or run.

    Args:
        text: the text.
        origin: what the file is called, for messages.

    Raises:
        ConfigError: when it is not JSON, a layer in it is none, or nothing in it has a meaning.
        ShapeError: when layers do not fit each other.
    """
    document = read(text, origin)
    if not isinstance(document.value, dict):
        raise ConfigError(f"{origin} holds no object: a HyperGAN configuration is one, such as a model or a trainer")
    notes = Notes()
    for path, differ in document.repeated.items():
        says = "is given more than once; the last one counts"
        notes.warn(path, says) if differ else notes.inform(path, says)
    draft = Draft(notes, origin)
    _read(Fields(document.value, "", notes), draft)
    settings = _finished(draft)
    if not settings:
        named = "; ".join(str(note) for note in notes[:3])
        raise ConfigError(f"{origin}: nothing in it has a meaning here{f' ({named})' if named else ''}")
    order = {path: place for place, path in enumerate(_paths(document.value, ""))}
    return Imported(origin, settings, tuple(sorted(notes, key=lambda note: order.get(note.path, -1))))


# Reading.


def _read(fields: Fields, draft: Draft) -> None:
    """Read a component by its class, or a whole model."""
    name = fields.peek("class")
    kind = key(name)
    if kind.endswith("trainer"):
        read_trainer(fields, draft)
    elif is_hook(name):
        read_hook(fields, draft)
    elif kind.endswith("loss"):
        read_loss(fields, draft)
    elif kind.endswith("distribution"):
        read_latent(fields, draft)
    elif is_optimizer(name):
        settings = read_optimizer(fields, draft)
        draft.settings |= {"g_optimizer": settings, "d_optimizer": deepcopy(settings)}
    elif name is not None and is_layered(fields):
        network = read_network(fields, draft)
        if kind.endswith("generator"):
            draft.generator = network
        else:
            draft.discriminator = network
            draft.notes.warn(fields.path, "a network alone is taken for the discriminator")
    else:
        _read_model(fields, draft)


def _read_model(fields: Fields, draft: Draft) -> None:
    name = fields.take("class")
    if name is not None and key(name) != "standardgan":
        says = f"there is no '{last_name(name)}' here: one generator plays one discriminator, as in a StandardGAN"
        draft.notes.warn(fields.path_of("class"), says)
    read_latent(fields.object("latent", "z_distribution"), draft)
    draft.generator = read_network(fields.object("generator"), draft)
    draft.discriminator = read_network(fields.object("discriminator"), draft)
    read_loss(fields.object("loss"), draft)
    read_trainer(fields.object("trainer"), draft)
    for hook in fields.objects("hooks"):
        read_hook(hook, draft)
    _read_samples(fields.object("input"), draft)
    _read_samples(fields.object("runtime"), draft)
    fields.close()


def _read_samples(fields: Fields | None, draft: Draft) -> None:
    """What is said of the data and batches."""
    if fields is None:
        return
    fields.take("class")
    width, height = (fields.count(name, default=None, least=1) for name in ("width", "height"))
    if width and height and width != height:
        draft.notes.warn(
            fields.path, f"images are square here, and {width} x {height} there; the data's own size is taken"
        )
    else:
        draft.side = draft.side or width or height
    channels = fields.peek("channels")  # at which networks are tried; training has those of the data
    draft.channels = draft.channels or (channels if type(channels) is int and 0 < channels < 100 else None)
    batch = fields.count("batch_size", default=None, least=1)
    if batch is not None:
        draft.settings["batch"] = batch
    fields.close(changes_outcome=False, says="is decided by 'poise train DATA'")


# Writing.


def _finished(draft: Draft) -> dict[str, Any]:
    """The settings in the order in which configs have them."""
    found = fit(draft)
    side = _side(draft, found.shape)
    _keep_samples_apart(draft)
    _count_outcomes(draft, found)
    settings = dict(draft.settings)
    for role in ("g_optimizer", "d_optimizer"):
        if draft.wraps:
            settings[role] = settings.get(role, {}) | {"wrap": deepcopy(draft.wraps)}
    if draft.encoder is not None:
        settings["warmup"] = {"class": "autoencoder", "encoder": _part(draft.encoder)} | settings["warmup"]
    settings |= {"size": side, "z_dim": found.z}
    settings |= {"generator": _part(draft.generator), "discriminator": _part(draft.discriminator)}
    return {name: settings[name] for name in _ORDER if settings.get(name)}


_ORDER = (
    "size batch z_dim generator discriminator loss penalties constraints balance warmup g_optimizer d_optimizer"
).split()


def _part(network: Network) -> dict[str, Any] | None:
    return {"class": "layers", "layers": network.texts} if isinstance(network, Layers) else network


def _side(draft: Draft, made: tuple[int, ...] | None) -> int | None:
    """The side of the images: what the generator makes counts before what is said."""
    side, where = draft.side, ""
    if made is not None:
        side = made[-1] if len(made) == 3 and made[-1] == made[-2] else None
        where = draft.generator.path if isinstance(draft.generator, Layers) else ""
        if len(made) == 3 and side is None:
            draft.notes.warn(where, f"it makes images of {made[-1]} x {made[-2]}, and images are square here")
        elif draft.side and draft.side != side:
            draft.notes.warn(
                where, f"it makes samples of shape {made}, and the file's images have {draft.side} pixels a side"
            )
    try:
        check_size(side)
    except DataError as error:
        draft.notes.warn(where, str(error))
        return None
    return side


# Penalties on D's gradient at each sample.
_OF_SAMPLES = frozenset({"wgan_gp", "r1", "r2", "dragan", "max_gp", "roth"})


def _keep_samples_apart(draft: Draft) -> None:
    """Leave batch norm out of a preset where a penalty is that of each sample: it makes one's logit that of all."""
    penalties = draft.settings.get("penalties", {})
    classes = {part.get("class", name) for name, part in penalties.items()}
    if isinstance(draft.discriminator, Layers) or _OF_SAMPLES.isdisjoint(classes):
        return
    if draft.discriminator is None:
        draft.notes.warn(
            "",
            "the recipe's DCGAN discriminator is taken without batch norm, for a penalty on the gradient at each "
            "sample takes a logit that depends on no other; for vectors give --set discriminator=mlp",
        )
    draft.discriminator = (draft.discriminator or {"class": "dcgan"}) | {"norm": "none"}


def _count_outcomes(draft: Draft, found: Fit) -> None:
    """Bring the realness loss and the discriminator's outputs together: the latter are its outcomes."""
    loss = draft.settings.get("loss", {})
    if loss.get("class") != "realness":
        return
    if isinstance(draft.discriminator, Layers):
        outputs = found.outputs or ()
        if len(outputs) == 1 and outputs[0] > 1:
            loss["outcomes"] = outputs[0]
            return
        says = f"realness takes two or more outputs, and this has {outputs}; the recipe's own loss is taken"
        draft.notes.warn(draft.discriminator.path, says)
        del draft.settings["loss"]
        return
    loss["outcomes"] = _OUTCOMES
    draft.discriminator = (draft.discriminator or {"class": "dcgan"}) | {"outputs": _OUTCOMES}


_OUTCOMES = 10  # the loss's own default


def _paths(value: Any, path: str) -> Iterator[str]:
    """Every path in the file, in its order."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _paths(item, inner(path, name))
