"""What a page shows of runs, as JSON values."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from poise.report.charts import charts_of, ruler_of
from poise.report.facts import facts_of
from poise.report.happened import events_of
from poise.report.pictures import embedded, step_that_shows
from poise.report.record import Record, Row, config_text, measured, version_of
from poise.report.scores import how_measured, scores_of
from poise.report.spread import spread
from poise.report.verdict import title_of, verdict_of
from poise.runs import number

__all__ = ["page_of"]

# Of one run; several share them.
_FRAMES = 40
_PICTURE_BYTES = 6_000_000

_EVENTS = 200

# Settings that say what a run is called, not what it is.
_NOT_COMPARED = ("format", "fingerprint")


def page_of(records: Sequence[Record], picture: Callable[[Path], str | None] = embedded) -> dict[str, Any]:
    """What a page shows of one run, or of several beside each other.

    Args:
        records: the runs.
        picture: the address of a picture, or None where the file is no picture.
    """
    frames = max(_FRAMES // len(records), 8)
    names = _distinct([record.name for record in records])
    return {
        "runs": [_run(record, name, frames, picture) for record, name in zip(records, names, strict=True)],
        "differences": _differences(records) if len(records) > 1 else [],
    }


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that tell runs apart."""
    return [
        f"{name} ({names[:place].count(name) + 1})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _run(record: Record, name: str, frames: int, picture: Callable[[Path], str | None]) -> dict[str, Any]:
    facts = facts_of(record.run) if record.run else {"state": None, "step": record.last_step, "best": None}
    text = config_text(record.run) if record.run else ""
    charts, not_drawn = charts_of(record)
    pictures = _pictures(record, frames, picture)
    steps = [frame["step"] for frame in pictures["frames"]]
    return {
        "name": name,
        "path": str(record.path),
        "unit": record.unit,
        "data": record.config.get("fingerprint"),
        "facts": facts,
        "verdict": verdict_of(record).to_json(),
        "findings": [
            finding.to_json() | {"title": title_of(finding.kind), "picture": step_that_shows(finding, steps)}
            for finding in record.findings
        ],
        "events": events_of(record)[-_EVENTS:],
        "lead": _lead(record),
        "ruler": ruler_of(record),
        "charts": charts,
        "not_drawn": not_drawn,
        "pictures": pictures,
        "scores": scores_of(record),
        "evaluated": _evaluated(record),
        "machine": record.run.machine() if record.run else {},
        "settings": text,
        "reproduce": _reproduce(record, text),
    }


def _lead(record: Record) -> float | None:
    """The newest share of pairs that D orders rightly."""
    return next((row["d_accuracy"] for row in reversed(record.log) if number(row.get("d_accuracy")) is not None), None)


def _pictures(record: Record, frames: int, picture: Callable[[Path], str | None]) -> dict[str, Any]:
    """Pictures of samples by step, thinned to what a page can hold."""
    if record.run is None:
        return {"real": None, "frames": [], "left_out": 0}
    paths = record.run.pictures()
    made: list[dict[str, Any]] = [
        {"step": step, "src": src} for step in spread(list(paths), frames) if (src := picture(paths[step])) is not None
    ]
    while len(made) > 1 and sum(len(frame["src"]) for frame in made) > _PICTURE_BYTES:
        made = [made[index] for index in spread(range(len(made)), (len(made) + 1) // 2)]
    real = picture(record.run.real_picture) if record.run.real_picture.exists() else None
    return {"real": real, "frames": made, "left_out": len(paths) - len(made)}


def _evaluated(record: Record) -> dict[str, Any] | None:
    """The newest row of ``poise evaluate``, by the checkpoint that it is of."""
    if not record.evaluations:
        return None
    row = record.evaluations[-1]
    return {
        "checkpoint": str(row.get("checkpoint", "")),
        "step": row.get("step"),
        "numbers": [
            {"name": name, "value": value, "how": how_measured(row, name)} for name, value in measured(row).items()
        ],
    }


def _reproduce(record: Record, text: str) -> list[str]:
    """Commands that train this run again; the settings are saved as ``config.yaml`` first."""
    data = record.config.get("data")
    if not text or not isinstance(data, str):
        return []
    version = version_of(text)
    return [
        *([f"# made by poise {version}"] if version else []),
        f"poise train {shlex.quote(data)} --recipe config.yaml --run {shlex.quote(record.name)}-again",
    ]


def _differences(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The settings in which runs differ, each with its value in every run."""
    flat = [dict(_flat(record.config)) for record in records]
    paths = dict.fromkeys(path for settings in flat for path in settings)
    rows = [{"path": path, "values": [settings.get(path, "") for settings in flat]} for path in paths]
    return [row for row in rows if len(set(row["values"])) > 1 and row["path"] not in _NOT_COMPARED]


def _flat(config: Row, above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}.")
        else:
            yield path, value if isinstance(value, str) else json.dumps(value, default=str)
