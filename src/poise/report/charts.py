"""Which charts a run has, and what is drawn in each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from poise.report.curves import Numbers, is_logarithmic, rounded, smooth, thin
from poise.report.record import Record, Row, measured
from poise.report.scores import BETTER
from poise.runs import number

__all__ = ["charts_of", "ruler_of"]

# So many numbers of a file are drawn that no chart below names.
_OTHERS = 24

_RULER_POINTS = 400


class _Chart(NamedTuple):
    """A chart of numbers that belong together.

    Attributes:
        key: its name in the page.
        title: what it shows.
        about: how to read it, in a few words.
        names: what each number is called in it, by its name in the file.
        matches: whether another number belongs to it too.
        span: of the vertical axis; None for that of the values.
        ratios: whether values are to be told apart by their ratios, so that the axis may be logarithmic.
    """

    key: str
    title: str
    about: str
    names: dict[str, str]
    matches: Callable[[str], bool] = lambda name: False
    span: tuple[float, float] | None = None
    ratios: bool = True


_LOG = (
    _Chart(
        "balance",
        "Who leads",
        "the share of pairs of a real and a generated sample that D orders rightly: 1 where D leads, 0.5 where G does",
        {"d_accuracy": "D orders rightly"},
        span=(0.4, 1.02),
    ),
    _Chart("control", "Balance control", "how far D is held back", {"balance_control": "control"}, ratios=False),
    _Chart(
        "factors",
        "What the balance moved",
        "the factors of D's penalties and of its learning rate",
        {"penalty_factor": "penalties", "d_lr_factor": "learning rate"},
    ),
    _Chart("losses", "Losses", "what each player minimizes, penalties apart", {"d_loss": "D", "g_loss": "G"}),
    _Chart(
        "logits",
        "Logits of D",
        "its mean verdict on real and on generated samples",
        {"d_real": "real", "d_fake": "generated", "d_fake_g": "generated, at G's move"},
        ratios=False,
    ),
    _Chart("gradients", "Gradient norms", "of each player's weights", {"d_grad_norm": "D", "g_grad_norm": "G"}),
    _Chart(
        "penalties", "Penalties", "each with its weight", {}, lambda name: name.endswith("_loss") and name != "d_loss"
    ),
    _Chart(
        "data-wait",
        "Waiting for data",
        "the share of the time in which training waits for real batches",
        {"data_wait": "waiting"},
        ratios=False,
    ),
    _Chart("speed", "Speed", "real images a second, with all costs", {"img_per_s": "images a second"}, ratios=False),
)

_SCORES = (
    _Chart(
        "prdc",
        "Precision and recall",
        "how many samples look real; how much of the real data they cover",
        {name: name for name in ("precision", "recall", "density", "coverage")},
        ratios=False,
    ),
)

_WATCH = (
    _Chart(
        "telling",
        "What D tells apart",
        "how often D takes a real sample for more real than a generated one: of reals that it trains on, and of others",
        {"d_auc": "training samples", "held_out_auc": "held-out samples"},
        span=(-0.02, 1.02),
    ),
    _Chart(
        "distance",
        "Distance to the data",
        "sliced Wasserstein distance of a few samples; the floor is that of real ones",
        {"swd": "generated", "swd_floor": "floor", "swd_augmented": "to augmented data"},
    ),
    _Chart(
        "diversity",
        "Diversity",
        "how far samples are from each other, over the same of real ones: 1 is the variety of the data",
        {"diversity": "on average", "nearest": "from the nearest"},
        ratios=False,
    ),
    _Chart(
        "by-heart",
        "Learned by heart",
        "overfit is 1 where D takes real samples that it does not train on for generated; copies, how near samples are "
        "to training data, is far below 1 where they are copies",
        {"overfit": "overfit", "copies": "copies"},
        ratios=False,
    ),
)

_WATCH_DETAILS = (
    _Chart("margin", "D's margin", "real over generated, in standard deviations of D's logits", {"d_gap": "margin"}),
    _Chart(
        "checkerboard",
        "Checkerboard",
        "the ripple from pixel to pixel, over that of real samples",
        {"checkerboard": "ripple"},
    ),
    _Chart("moved", "Restlessness", "how far samples of fixed latents moved since the last probe", {"moved": "moved"}),
    _Chart("steps", "Size of a step", "over the size of the weights", {"d_step": "D", "g_step": "G"}),
    _Chart("dead", "Dead units", "the share that no sample excites", {"d_dead": "D", "g_dead": "G"}, ratios=False),
    _Chart(
        "range",
        "Range",
        "the least and the greatest value of samples",
        {"fake_min": "generated, least", "fake_max": "generated, greatest", "real_min": "real, least"}
        | {"real_max": "real, greatest"},
        ratios=False,
    ),
    _Chart(
        "saturation",
        "At the bounds",
        "the share of values at the ends of the range",
        {"at_bound": "generated", "real_at_bound": "real", "at_edge": "generated, nearly"},
        ratios=False,
    ),
)

# Counted or added up of what is drawn already.
_NOT_DRAWN = {"d_updates", "g_updates", "d_loss_total", "g_loss_total"}

_TITLES = {
    "fid": "FID",
    "kid": "KID",
    "swd": "Sliced Wasserstein distance",
    "modes": "Modes",
    "mixture_kl": "Mixture, KL",
    "modes_kl": "Modes, KL",
}


def charts_of(record: Record) -> tuple[list[dict[str, Any]], list[str]]:
    """The charts of a run, as JSON values: who leads, scores, what the watch and the log tell, what else there is.

    Returns:
        The charts, and the names of numbers that are not drawn because there are too many.
    """
    scores = _columns(record.metrics, lambda name: not name.endswith("_std"))
    log = _columns(record.log, lambda name: name not in _NOT_DRAWN)
    probes = {name: column for name, column in _columns(record.probes).items() if column[0][-1] > column[0][0]}
    balance, *rest = _LOG
    grouped = list(_named(_SCORES, scores))
    made = [
        *_named([balance], log),
        *_singles("score", scores),
        *grouped,
        *_named(_WATCH, probes),
        *_named(rest, log),
        *_named(_WATCH_DETAILS, probes),
        *_singles("watch", probes),
        *_singles("log", log),
    ]
    return [chart for chart in made if chart["series"]], [*scores, *probes, *log]


def ruler_of(record: Record) -> dict[str, list[float | int]]:
    """From steps to thousands of images and to hours, as few points between which one may interpolate."""
    rows = sorted([*record.log, *record.metrics], key=lambda row: row["step"])
    marks = _columns(rows, lambda name: True, lambda row: {name: number(row.get(name)) for name in ("nimg", "seconds")})
    ruler: dict[str, list[float | int]] = {}
    for name, unit, scale in (("nimg", "kimg", 1000), ("seconds", "hours", 3600)):
        if name in marks:
            x, y = thin(*marks[name], _RULER_POINTS)
            ruler |= {f"{unit}_at": rounded(x), unit: rounded(y / scale)}
    return ruler


_Columns = dict[str, tuple[Numbers, Numbers]]


def _columns(
    rows: Iterable[Row],
    wanted: Callable[[str], bool] = lambda name: True,
    numbers: Callable[[Row], Row] = measured,
) -> _Columns:
    """Every number by its name: the steps at which it was there, and its values."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        for name, value in numbers(row).items():
            if value is not None:
                steps, values = found.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(value)
    return {
        name: (np.array(steps, float), np.array(values, float))
        for name, (steps, values) in found.items()
        if wanted(name)
    }


def _named(charts: Sequence[_Chart], columns: _Columns) -> Iterator[dict[str, Any]]:
    """The charts with what belongs to them, which is taken out of ``columns``."""
    for chart in charts:
        names = chart.names | {name: name for name in columns if name not in chart.names and chart.matches(name)}
        yield _drawn(chart, {label: columns.pop(name) for name, label in names.items() if name in columns})


def _singles(kind: str, columns: _Columns) -> Iterator[dict[str, Any]]:
    """A chart for each of the first numbers, which are taken out of ``columns``."""
    for name in list(columns)[:_OTHERS]:
        about = f"{BETTER[name]} is better" if name in BETTER else ""
        yield _drawn(_Chart(f"{kind}-{name}", _TITLES.get(name, name), about, {}), {name: columns.pop(name)})


def _drawn(chart: _Chart, curves: _Columns) -> dict[str, Any]:
    drawn = []
    for label, (x, y) in curves.items():
        raw, mean = thin(x, y), smooth(x, y)
        drawn.append(
            {"name": label, "x": rounded(raw[0]), "y": rounded(raw[1])}
            | ({"smooth_x": rounded(mean[0]), "smooth_y": rounded(mean[1])} if len(x) > _RAW_ONLY else {})
        )
    return {
        "key": chart.key,
        "title": chart.title,
        "about": chart.about,
        "span": chart.span,
        "log": chart.span is None and chart.ratios and is_logarithmic([y for _, y in curves.values()]),
        "series": drawn,
    }


# So few points are no curve to be smoothed.
_RAW_ONLY = 20
