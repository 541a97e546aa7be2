"""What a record says of a run in one sentence, and what that rests on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from poise.diagnosis import Finding, Severity, is_score
from poise.report.record import Record, measured
from poise.runs import State

__all__ = ["Verdict", "verdict_of"]

# So few evaluations do not tell a turn for the worse from noise.
_EVALUATIONS = 4


@dataclass(frozen=True)
class Verdict:
    """A judgement.

    Attributes:
        level: ``severe`` where the training failed, else the severity of the worst finding that has not ended; ``good``
            where there is none, and ``unknown`` where there was nothing to judge.
        headline: in one sentence.
        looked_at: what was judged, each in a few words.
        not_judged: what could not be judged, each with the reason.
    """

    level: str
    headline: str
    looked_at: Sequence[str]
    not_judged: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "level": self.level,
            "headline": self.headline,
            "looked_at": list(self.looked_at),
            "not_judged": list(self.not_judged),
        }


def verdict_of(record: Record) -> Verdict:
    """The verdict on a run."""
    open_ = [finding for finding in record.findings if not finding.ended]
    if record.state is State.FAILED:
        level = str(Severity.SEVERE)
    elif open_:
        level = str(open_[0].severity)
    else:
        level = "good" if record.log or record.metrics or record.probes else "unknown"
    return Verdict(level, _headline(record, level, open_), list(_looked_at(record)), list(_not_judged(record)))


def _headline(record: Record, level: str, open_: Sequence[Finding]) -> str:
    if record.state is State.FAILED:
        beside = f" Found: {_kinds(open_)}." if open_ else ""
        return f"The training failed{f': {reason}' if (reason := _reason(record)) else ''}.{beside}"
    if level == "unknown":
        return "There is nothing to judge yet: no row of numbers is written."
    if level == "good":
        ended = [finding for finding in record.findings if finding.ended and finding.severity is not Severity.INFO]
        over = f" {_kinds(ended).capitalize()} came and passed." if ended else ""
        return f"Nothing is wrong, as far as the files tell.{over}"
    says = {"severe": "This run is in trouble", "warning": "Something needs attention", "info": "Good to know"}
    return f"{says[level]}: {_kinds(open_)}."


def _reason(record: Record) -> str:
    reason = record.status.reason if record.status else ""
    return next(iter(reason.splitlines()), "").rstrip(".")


def _kinds(findings: Sequence[Finding]) -> str:
    kinds = list(dict.fromkeys(title_of(finding.kind) for finding in findings))
    told = kinds if len(kinds) <= 3 else [*kinds[:2], f"{len(kinds) - 2} more"]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def title_of(kind: str) -> str:
    """A kind of finding in plain words.

    >>> title_of("mode_collapse")
    'mode collapse'
    """
    return kind.replace("_", " ")


def _looked_at(record: Record) -> Iterator[str]:
    for rows, one, many in (
        (record.log, "row of the log", "rows of the log"),
        (record.metrics, "evaluation", "evaluations"),
        (record.probes, "probe of the watch", "probes of the watch"),
    ):
        if rows:
            where = " to ".join(dict.fromkeys(f"{row['step']:,}" for row in (rows[0], rows[-1])))
            yield f"{len(rows):,} {one if len(rows) == 1 else many} ({record.unit} {where})"
    if record.events:
        yield f"{len(record.events):,} event{'s' if len(record.events) > 1 else ''}"


def _not_judged(record: Record) -> Iterator[str]:
    """What findings need that is not there."""
    if not record.log:
        yield "losses, gradients and who leads: there is no row of log.jsonl"
    if not record.metrics:
        yield "whether samples get better or worse: there is no row of metrics.jsonl yet"
    elif len(record.metrics) < _EVALUATIONS:
        yield f"whether it is past its best: that needs {_EVALUATIONS} evaluations, and there are {len(record.metrics)}"
    elif not any(is_score(name) for row in record.metrics for name in measured(row)):
        yield "whether samples get better or worse: of no number of the evaluations is it known which way it is better"
    if not record.probes:
        yield "how diverse samples are and whether D over-fits: there is no row of watch.jsonl"
    if not record.config:
        yield "what D's loss and the sizes of gradients mean: no readable config.yaml says which loss it is"
    for kind, error in record.failures.items():
        yield f"{title_of(kind)}: its detector failed ({type(error).__name__}: {error})"
    if record.state is State.RUNNING:
        yield "what comes: the run is going on"
