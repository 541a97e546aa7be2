"""What came out of a plan: tables, JSON, and a page with curves and samples."""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any

from poise.files import write_atomic
from poise.runs import read_rows
from poise.tuning.comparison import METHOD, Difference, Summary, differences_of, summary
from poise.tuning.page import figure_html, page, table_html, write_page
from poise.tuning.plan_runs import PlannedRun, Table
from poise.tuning.verdict import value_in

__all__ = ["difference_rows", "plan_facts", "plan_page", "trial_rows", "write_comparison"]

_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#bab0ac")


def trial_rows(table: Table) -> list[tuple[str, ...]]:
    """The trials as cells of text, with a header."""
    rows: list[tuple[str, ...]] = [("trial", "seeds", f"mean {table.goal.metric}", "± sd", "best", "worst")]
    for name, values in table.values().items():
        found = summary(values)
        seeds = f"{len(values)} of {len(table.plan.seeds)}"
        rows.append((name, seeds, *(("", "", "", "") if found is None else _cells(found, table.goal.higher_is_better))))
    return rows


def _cells(found: Summary, higher_is_better: bool) -> tuple[str, ...]:
    spread = "" if found.spread is None else f"{found.spread:.2g}"
    ends = (found.high, found.low) if higher_is_better else (found.low, found.high)
    return (f"{found.mean:.4g}", spread, *(f"{end:.4g}" for end in ends))


def difference_rows(differences: Sequence[Difference], higher_is_better: bool) -> list[tuple[str, ...]]:
    """Differences as cells of text, with a header."""
    rows: list[tuple[str, ...]] = [("difference", "of means", "95 % interval", "p (Holm)", "beyond seed noise")]
    for it in differences:
        better = it.second if (it.difference > 0) is higher_is_better else it.first
        verdict = f"yes: {better} is better" if it.is_beyond_noise else "no"
        interval = f"{it.low:.3g} to {it.high:.3g}"
        rows.append((f"{it.second} - {it.first}", f"{it.difference:.3g}", interval, f"{it.p:.2g}", verdict))
    return rows


def plan_facts(table: Table) -> dict[str, Any]:
    """The comparison as JSON values."""
    trials = []
    for trial in table.plan.trials:
        values = table.values()[trial.name]
        found = summary(values)
        runs = [_run_facts(table, run) for run in table.runs if run.trial is trial]
        about: dict[str, Any] = {"name": trial.name, "set": list(trial.assignments), "runs": runs}
        if found is not None:
            about |= {"mean": found.mean, "sd": found.spread, "min": found.low, "max": found.high}
        trials.append(about)
    differences = [
        {
            "first": it.first,
            "second": it.second,
            "difference": it.difference,
            "interval": [it.low, it.high],
            "p": it.p,
            "beyond_noise": it.is_beyond_noise,
        }
        for it in differences_of(table.values())
    ]
    return {
        "plan": table.plan.name,
        "data": table.plan.data,
        "metric": table.goal.metric,
        "better": "higher" if table.goal.higher_is_better else "lower",
        "trials": trials,
        "differences": differences,
        "method": METHOD,
    }


def _run_facts(table: Table, run: PlannedRun) -> dict[str, Any]:
    verdict = table.verdicts.get((run.trial.name, run.seed))
    return {
        "seed": run.seed,
        "path": str(run.run.path),
        "state": None if verdict is None else str(verdict.state),
        "value": None if verdict is None else verdict.value,
        "reason": "" if verdict is None else verdict.reason,
    }


def write_comparison(table: Table, directory: Path) -> Path | None:
    """Write the comparison as ``plan.json``, and as a page where there is what draws it; return the page."""
    write_atomic(directory / "plan.json", json.dumps(plan_facts(table), indent=2) + "\n")
    return write_page(directory / "plan.html", lambda: plan_page(table))


def plan_page(table: Table) -> str:
    """The comparison as a page."""
    return page(f"Plan {table.plan.name}", list(_sections(table)))


def _sections(table: Table) -> Iterator[tuple[str, str]]:
    better = "higher" if table.goal.higher_is_better else "lower"
    head = f"<p>{escape(table.goal.metric)} on {escape(table.plan.data)}, {better} is better; the best of each run.</p>"
    lost = "".join(f"<li>{escape(line)}</li>" for line in table.lost())
    yield "Trials", head + table_html(trial_rows(table)) + (f"<p>Left out:</p><ul>{lost}</ul>" if lost else "")
    differences = differences_of(table.values())
    if differences:
        rows = difference_rows(differences, table.goal.higher_is_better)
        yield "Differences", f"{table_html(rows)}<p>{escape(METHOD)}</p>"
    yield "Curves", figure_html(_curves(table))
    yield "Samples", "\n".join(_pictures(table, index) for index in range(len(table.plan.trials)))
    shared = ("all", table.plan.recipe or "", " ".join(table.plan.assignments))
    own = ((trial.name, trial.recipe or "", " ".join(trial.assignments)) for trial in table.plan.trials)
    yield "Settings", table_html([("trial", "recipe", "settings"), shared, *own])


def _curves(table: Table) -> Any:
    """The metric of each run over images, thin; and the mean of each trial."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for index, trial in enumerate(table.plan.trials):
        colour = _COLOURS[index % len(_COLOURS)]
        curves = [_curve(table, run) for run in table.runs if run.trial is trial]
        for curve in curves:
            line = {"color": colour, "width": 1}
            x, y = [kimg for kimg, _ in curve.values()], [value for _, value in curve.values()]
            figure.add_scatter(x=x, y=y, mode="lines", line=line, opacity=0.35, showlegend=False, hoverinfo="skip")
        common = sorted(set.intersection(*map(set, curves))) if curves else []
        x = [fmean(curve[count][0] for curve in curves) for count in common]
        y = [fmean(curve[count][1] for curve in curves) for count in common]
        figure.add_scatter(x=x, y=y, mode="lines", line={"color": colour, "width": 3}, name=trial.name)
    is_positive = all(value > 0 for trace in figure.data for value in trace.y)
    figure.update_layout(xaxis_title="kimg", yaxis={"title": table.goal.metric, "type": "log" if is_positive else "-"})
    return figure


def _curve(table: Table, run: PlannedRun) -> dict[int, tuple[float, float]]:
    """By the number of the evaluation: kimg and the metric. Batches have little to do with when it comes."""
    every = 1000 * run.config.evaluate.every_kimg
    found = {}
    for row in read_rows(run.run.metrics.path):
        value = value_in(row, table.goal.metric)
        if value is not None:
            found[round(row["nimg"] / every)] = (row["nimg"] / 1000, value)
    return found


def _pictures(table: Table, index: int) -> str:
    """The last picture of each run of a trial, side by side."""
    trial = table.plan.trials[index]
    cells = []
    for run in (run for run in table.runs if run.trial is trial):
        pictures = sorted(run.run.samples.glob("*.png"))
        if pictures:
            content = b64encode(pictures[-1].read_bytes()).decode()
            alt = escape(f"samples of {run.title}")
            cells.append(f'<img width="240" alt="{alt}" title="{alt}" src="data:image/png;base64,{content}">')
    return f"<h3>{escape(trial.name)}</h3><p>{' '.join(cells)}</p>"
