"""``poise doctor``: what is wrong with a run. It loads no torch."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import typer

from poise.diagnosis import Finding, Severity
from poise.report import Record, events_of, picture_of, title_of, verdict_of
from poise.runs import find, finite

__all__ = ["doctor", "record_of"]

_WIDTH = 100

# So many are told, the last ones.
_EVENTS = 10


def record_of(run: str | None) -> Record:
    """The record of what a person names: a run, or one file of rows."""
    path = None if run is None else Path(run)
    return Record.of_file(path) if path is not None and path.is_file() else Record.read(find(run))


def doctor(
    run: str | None = typer.Argument(
        None, help="A run's name or path, or a file of JSON lines; the newest run if left out.", show_default=False
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the findings as JSON."),
    strict: bool = typer.Option(False, "--strict", help="Exit 1 on a severe finding that has not ended."),
) -> None:
    """Say what is wrong with a run, why, and what to do; of any run, whatever is left of its files."""
    record = record_of(run)
    if as_json:
        typer.echo(json.dumps(finite([_as_json(record, finding) for finding in record.findings]), indent=2))
    else:
        for line in _lines(record):
            typer.echo(line)
    if strict and any(it.severity is Severity.SEVERE and not it.ended for it in record.findings):
        raise typer.Exit(1)


def _as_json(record: Record, finding: Finding) -> dict[str, Any]:
    picture = picture_of(record, finding)
    return finding.to_json() | {"evidence": {**finding.evidence, **({"picture": str(picture)} if picture else {})}}


def _lines(record: Record) -> Iterator[str]:
    verdict = verdict_of(record)
    state = f"{record.state}, " if record.state else ""
    yield f"{record.name} ({state}{record.unit} {record.last_step:,})"
    yield verdict.headline
    for finding in record.findings:
        yield ""
        yield from _told(record, finding)
    yield ""
    for event in events_of(record)[-_EVENTS:]:
        about = f" ({event['about']})" if event["about"] else ""
        yield from _wrapped(f"{record.unit} {event['step']:,}: {event['kind']}{about}; {event['action']}")
    if verdict.looked_at:
        yield from _wrapped(f"Looked at: {'; '.join(verdict.looked_at)}.")
    for reason in verdict.not_judged:
        yield from _wrapped(f"Not judged: {reason}.")


def _told(record: Record, finding: Finding) -> Iterator[str]:
    since, last = f"{finding.since_step:,}", f"{finding.last_step:,}"
    when = f"{record.unit} {since} to {last}, ended" if finding.ended else f"since {record.unit} {since}"
    yield f"{finding.severity}: {title_of(finding.kind)}, {when}"
    if finding.evidence:
        yield from _wrapped(f"evidence: {_numbers(finding.evidence)}", 2)
    if picture := picture_of(record, finding):
        yield f"  picture:  {picture}"
    yield from _wrapped(f"cause:    {finding.cause}", 2)
    yield from _wrapped(f"advice:   {finding.advice}", 2)


def _numbers(evidence: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {f'{value:.4g}' if isinstance(value, float) else value}" for name, value in evidence.items()
    )


def _wrapped(text: str, indent: int = 0) -> Iterator[str]:
    before = " " * indent
    yield from wrap(
        text, _WIDTH, initial_indent=before, subsequent_indent=f"{before}          ", break_on_hyphens=False
    )
