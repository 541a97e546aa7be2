"""The scores of a run, and how they were measured."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from poise.report.record import Record, Row, measured
from poise.runs import number

__all__ = ["BETTER", "how_measured", "scores_of"]

BETTER: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("fid", "kid", "swd", "mixture_kl", "modes_kl", "classes_kl"), "lower")
    | dict.fromkeys(
        ("precision", "recall", "density", "coverage", "modes", "high_quality", "classes"),
        "higher",
    )
)
"""Which way each score is better, as :data:`poise.metrics.BETTER` says; that one loads torch."""


def scores_of(record: Record) -> list[dict[str, Any]]:
    """A row for each score: its best, its last, and how it was measured; the one that chooses checkpoints first."""
    best = record.run.checkpoints.best() if record.run else None
    chosen = best.best["metric"] if best and best.best and "metric" in best.best else None
    names = dict.fromkeys(name for row in record.metrics for name in measured(row) if not name.endswith("_std"))
    return [_score(record, name, name == chosen) for name in sorted(names, key=lambda name: name != chosen)]


def _score(record: Record, name: str, is_chosen: bool) -> dict[str, Any]:
    rows = [row for row in record.metrics if number(row.get(name)) is not None]
    last = rows[-1]
    # Numbers that were measured in different ways are never compared.
    alike = [row for row in rows if how_measured(row, name) == how_measured(last, name)]
    way = BETTER.get(name)
    best = min(alike, key=lambda row: row[name] * (-1 if way == "higher" else 1)) if way else None
    return {
        "name": name,
        "better": way,
        "chosen": is_chosen,
        "last": last[name],
        "last_step": last["step"],
        "spread": number(last.get(f"{name}_std")),
        "best": best[name] if best else None,
        "best_step": best["step"] if best else None,
        "how": how_measured(last, name),
    }


def how_measured(row: Row, name: str) -> str:
    """On which features and on how many samples a number was measured, in words."""
    others = row.get("other_features")
    features = (others.get(name) if isinstance(others, Mapping) else None) or row.get("features")
    words = [f"{features} features"] if isinstance(features, str) else []
    for key, what in (("fake_samples", "samples"), ("real_samples", "real ones")):
        if number(row.get(key)) is not None:
            words.append(f"{row[key]:,} {what}")
    if number(row.get("seed")) is not None:
        words.append(f"seed {row['seed']}")
    return ", ".join(words)
