"""What came out of a study: tables, JSON, and a page."""

import shlex
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from poise.config import Config
from poise.files import write_atomic
from poise.tuning.ledger import TrialRow
from poise.tuning.page import figure_html, page, table_html, write_page
from poise.tuning.space import Range, shown
from poise.tuning.storage import hidden, quietly
from poise.tuning.study import Study

__all__ = ["Written", "facts", "importances", "study_page", "table_rows", "write_results"]

# Importance is estimated from how trials differ; of fewer it says nothing.
_FEWEST_FOR_IMPORTANCE = 4


def ranked(study: Study, rows: Sequence[TrialRow]) -> list[TrialRow]:
    """The trials, the best first; what has no value, and what was not trained to its end, after these."""
    sign = -1 if study.goal.higher_is_better else 1
    order = ["complete", "pruned", "failed", "running", "waiting"]
    return sorted(
        rows,
        key=lambda row: (order.index(row.state), row.value is None, sign * (row.value or 0.0), row.number),
    )


def table_rows(study: Study, rows: Sequence[TrialRow]) -> list[tuple[str, ...]]:
    """The trials as cells of text, the best first, with a header."""
    lines: list[tuple[str, ...]] = [("trial", "run", study.goal.metric, "state", "settings")]
    for row in ranked(study, rows):
        value = "" if row.value is None else f"{row.value:.4g}"
        state = f"{row.state}: {row.reason}" if row.reason and row.state != "complete" else row.state
        drawn = ", ".join(f"{name}={shown(value)}" for name, value in row.drawn.items())
        lines.append((str(row.number), row.run, value, state, drawn))
    return lines


def facts(study: Study, rows: Sequence[TrialRow]) -> dict[str, Any]:
    """The study as JSON values."""
    best = study.best(rows)
    counts = {state: sum(row.state == state for row in rows) for state in dict.fromkeys(row.state for row in rows)}
    return {
        "study": study.name,
        "path": str(study.directory),
        "storage": hidden(study.ledger.url),
        "metric": study.goal.metric,
        "better": "higher" if study.goal.higher_is_better else "lower",
        "counts": counts,
        "best": None if best is None else _facts(best),
        "importances": importances(study),
        "trials": [_facts(row) for row in rows],
    }


def _facts(row: TrialRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": row.state,
        "value": row.value,
        "reason": row.reason,
        "set": row.assignments,
        "run": row.run,
    }


def importances(study: Study) -> dict[str, float]:
    """How much of the differences between complete trials each setting explains, by name; they add up to 1.

    Settings that are drawn only under a condition are among them. Empty where there are too few trials.

    Raises:
        StorageError: when the storage does not answer.

    Source: Watanabe et al. 2023, "PED-ANOVA", arXiv 2304.10255, and its conditional form, arXiv 2601.20800.
    """
    import optuna
    from optuna.trial import TrialState

    with study.ledger.reaching(), quietly(), warnings.catch_warnings():
        complete = study.ledger.optuna.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if len(complete) < _FEWEST_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
            return {}
        warnings.simplefilter("ignore", UserWarning)  # of settings that all complete trials have alike
        return dict(optuna.importance.get_param_importances(study.ledger.optuna))


class Written(NamedTuple):
    """The files of a study's results.

    Attributes:
        recipe: the best settings, as ``poise train --recipe`` takes them; None where no trial came to its end.
        page: the page; None where there is nothing to draw it with.
    """

    recipe: Path | None
    page: Path | None

    def to_json(self) -> dict[str, str | None]:
        """The paths as JSON values."""
        return {name: None if path is None else str(path) for name, path in self._asdict().items()}


def write_results(study: Study, rows: Sequence[TrialRow], as_recipe: Callable[[Config], str]) -> Written:
    """Write the best settings and the page into the study's directory.

    Args:
        study: the study.
        rows: its trials.
        as_recipe: gives a config as the text of a recipe file.
    """
    best, recipe = study.best(rows), study.directory / "best.yaml"
    if best is not None:
        command = shlex.join(["poise", "train", study.base.data, "--recipe", str(recipe)])
        write_atomic(
            recipe,
            f"# {study.goal.metric} {best.value:.4g}: trial {best.number} of the study {study.name}.\n"
            f"# To train with these settings: {command}\n{as_recipe(study.settings(best.assignments))}",
        )
    page = write_page(study.directory / "study.html", lambda: study_page(study, rows))
    return Written(None if best is None else recipe, page)


def study_page(study: Study, rows: Sequence[TrialRow]) -> str:
    """The study as a page: importance, slices, history, and every trial."""
    return page(f"Study {study.name}", list(_sections(study, rows)))


def _sections(study: Study, rows: Sequence[TrialRow]) -> Iterator[tuple[str, str]]:
    import plotly.graph_objects as go
    from optuna import visualization

    numbers = facts(study, rows)
    best = numbers["best"]
    about = [
        ("data", study.base.data),
        ("recipe", study.base.recipe),
        ("metric", f"{study.goal.metric}, {numbers['better']} is better; the best of each run"),
        ("trials", ", ".join(f"{count} {state}" for state, count in numbers["counts"].items())),
        ("best", "none" if best is None else f"trial {best['number']}: {best['value']:.4g}"),
        ("settings of the best", "" if best is None else ", ".join(best["set"])),
    ]
    yield "About", table_html([("", ""), *about])
    if numbers["importances"]:
        names, shares = list(numbers["importances"]), list(numbers["importances"].values())
        figure = go.Figure(go.Bar(x=shares[::-1], y=names[::-1], orientation="h"))
        figure.update_layout(xaxis_title="share of the differences that it explains")
        yield "Importance", figure_html(figure)
    if best is not None:
        with study.ledger.reaching():
            history = visualization.plot_optimization_history(study.ledger.optuna, target_name=study.goal.metric)
        yield "History", figure_html(history)
        for entry in study.space.entries:
            values = [(row.drawn[entry.name], row.value, row.number) for row in rows if _is_point(row, entry.name)]
            if values:
                yield f"Slice: {entry.name}", figure_html(_slice(values, entry.name, entry.domain, study.goal.metric))
    with study.ledger.reaching():
        curves = visualization.plot_intermediate_values(study.ledger.optuna)
    yield "Curves", figure_html(curves)
    yield "Trials", table_html(table_rows(study, rows))


def _is_point(row: TrialRow, name: str) -> bool:
    return row.state == "complete" and row.value is not None and name in row.drawn


def _slice(values: Sequence[tuple[Any, Any, int]], name: str, domain: Any, metric: str) -> Any:
    """The metric over one setting."""
    import plotly.graph_objects as go

    drawn, scores, numbers = zip(*values, strict=True)
    is_range = isinstance(domain, Range)
    x = list(drawn) if is_range else [str(it) for it in drawn]
    marker = {"color": numbers, "colorscale": "Blues", "colorbar": {"title": "trial"}, "line": {"width": 1}}
    figure = go.Figure(go.Scatter(x=x, y=scores, mode="markers", text=[f"trial {it}" for it in numbers], marker=marker))
    axis = "log" if is_range and domain.log else "-" if is_range else "category"
    figure.update_layout(xaxis={"title": name, "type": axis}, yaxis={"title": metric}, height=350)
    return figure
