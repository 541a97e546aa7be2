"""A run in brief."""

from typing import Any

from poise.runs import Run, State, number

__all__ = ["facts_of"]


def facts_of(run: Run) -> dict[str, Any]:
    """What a run's files tell, for people and for programs; what is missing or damaged in them is None or 0."""
    status, state, row = run.status(), run.state(), run.last_row()
    best = run.checkpoints.best()
    saved = run.checkpoints.last()
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
        "steps_to_redo": 0 if state in (State.RUNNING, State.FINISHED) else run.steps_at_risk(),
        "best": dict(best.best) if best and best.best else None,
        "reason": status.reason if status else "",
    }
