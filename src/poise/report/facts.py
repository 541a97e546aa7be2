"""A run in brief."""

from typing import Any

from poise.runs import Run, State, number

__all__ = ["facts_of"]


def facts_of(run: Run) -> dict[str, Any]:
    """What a run's files tell, for people and for programs; what is missing or damaged in them is None or 0.

    Where a file may not be read, that is the ``reason``.
    """
    status, state = run.status(), run.state()
    reason = status.reason if status else ""
    try:
        row, best, saved = run.last_row(), run.checkpoints.best(), run.checkpoints.last()
        to_redo = 0 if state in (State.RUNNING, State.FINISHED) else run.steps_at_risk()
    except OSError as error:
        row, best, saved, to_redo, reason = {}, None, None, 0, str(error)
    return {
        "name": run.name,
        "path": str(run.path),
        "state": str(state) if state else None,
        "step": number(row.get("step"), status.step if status else 0),
        "target_steps": status.target_steps if status else None,
        "nimg": number(row.get("nimg"), status.nimg if status else 0),
        "target_kimg": status.target_kimg if status else None,
        "seconds": number(row.get("seconds"), status.seconds if status else 0.0),
        "img_per_s": number(row.get("img_per_s")),
        "d_loss": number(row.get("d_loss")),
        "g_loss": number(row.get("g_loss")),
        "checkpoint_step": saved.step if saved else None,
        "steps_to_redo": to_redo,
        "best": dict(best.best) if best and best.best else None,
        "reason": reason,
    }
