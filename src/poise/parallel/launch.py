"""How many processes a training has, and starting them."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from poise.errors import DeviceError

__all__ = ["Launched", "Place", "launch", "place"]

# Set in the processes that launch() starts, and in the one that starts them.
_LAUNCHED = "POISE_LAUNCHED"

_GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Place:
    """Where this process stands among those of its training.

    Attributes:
        devices: processes on each machine, one for each device.
        nodes: machines.
        rank: the number of this process.
        by: who started the processes: ``torchrun``, ``srun``, ``poise``, or nobody yet.
    """

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    by: Literal["torchrun", "srun", "poise", ""] = ""

    @property
    def size(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes


def place(
    devices: int | None = None, nodes: int | None = None, environment: Mapping[str, str] | None = None
) -> Place:
    """Where this process stands: as ``torchrun``, ``fabric run`` or ``srun`` started it, else as it is asked for.

    Args:
        devices: processes on each machine; None for what there is.
        nodes: machines; None for what there is.
        environment: the process's.

    Raises:
        DeviceError: when other processes were started than are asked for, or machines do not know of each other.
    """
    env = os.environ if environment is None else environment
    if "TORCHELASTIC_RUN_ID" in env:
        local, size = int(env["LOCAL_WORLD_SIZE"]), int(env["WORLD_SIZE"])
        found = Place(local, size // local, int(env["RANK"]), "torchrun")
    elif int(env.get("SLURM_NTASKS", "1")) > 1 and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        size, machines = int(env["SLURM_NTASKS"]), int(env.get("SLURM_NNODES", "1"))
        found = Place(size // machines, machines, int(env["SLURM_PROCID"]), "srun")
        if size % machines or "SLURM_NTASKS_PER_NODE" not in env:
            raise DeviceError(
                f"srun started {size} processes on {machines} machines without saying how many on each: give "
                f"--ntasks-per-node={max(size // machines, 1)} in place of --ntasks"
            )
    else:
        found = _asked(devices or 1, nodes or 1, env)
    for name, asked, there in (("devices", devices, found.devices), ("nodes", nodes, found.nodes)):
        if asked not in (None, there):
            raise DeviceError(
                f"--{name} is {asked}, and {found.by} started this with {there}: leave --{name} out, or start it with "
                f"{asked}"
            )
    return found


def _asked(devices: int, nodes: int, env: Mapping[str, str]) -> Place:
    if nodes > 1:
        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in env]
        if missing:
            raise DeviceError(
                f"--nodes is {nodes}, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: on each "
                "machine, set MASTER_ADDR and MASTER_PORT to the address and a free port of the first one, and "
                "NODE_RANK to its own number from 0; or start it with torchrun or srun, which do so"
            )
    node = int(env.get("NODE_RANK", "0")) if nodes > 1 else 0
    if not 0 <= node < nodes:
        raise DeviceError(f"NODE_RANK is {node}, and there are {nodes} machines: number them from 0")
    local = int(env.get("LOCAL_RANK", "0")) if _LAUNCHED in env else 0
    return Place(devices, nodes, node * devices + local, "poise" if _LAUNCHED in env else "")


class Launched:
    """The processes that were started beside this one.

    Args:
        processes: these.
    """

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]] = ()) -> None:
        self._processes = processes
        self._over = threading.Event()
        if processes:
            threading.Thread(target=self._watch, name="poise-launched", daemon=True).start()

    def close(self) -> None:
        """Wait until they have ended, as they do by themselves; end those that do not."""
        self._over.set()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _watch(self) -> None:
        """End all when one has failed and this process does not notice: it may be waiting for it to join."""
        while not self._over.wait(0.5):
            failed = [it for it in self._processes if it.poll()]
            if failed and not self._over.wait(_GRACE_SECONDS):
                print(
                    f"error: a process of this training ended with code {failed[0].returncode}; what it said is above",
                    file=sys.stderr,
                    flush=True,
                )
                for process in self._processes:
                    process.kill()
                os._exit(1)


def launch(where: Place, command: Sequence[str]) -> Launched:
    """Start the other processes of this machine, unless somebody did; afterwards a fabric of so many can be launched.

    Args:
        where: where this process stands.
        command: runs the program as it was run, as a process of its own.
    """
    if where.by or where.size == 1:
        return Launched()
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    if where.nodes == 1:
        os.environ["MASTER_PORT"] = str(_free_port())
    os.environ |= {_LAUNCHED: "1", "LOCAL_RANK": "0", "NODE_RANK": str(where.rank // where.devices)}
    return Launched(
        [
            subprocess.Popen(command, env={**os.environ, "LOCAL_RANK": str(local)}, stdin=subprocess.DEVNULL)
            for local in range(1, where.devices)
        ]
    )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
