"""Children of a spawn helper of our own, below one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi_app.engine.process import Launch, Spawned, Spawner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHELL = "/bin/sh"


class Bed:
    """Starts children below one folder and reads what they wrote."""

    def __init__(self, spawner: Spawner, folder: Path) -> None:
        self.spawner, self.folder = spawner, folder

    def launch(self, argv: Sequence[str], run_id: str = "run", **fields: Any) -> Launch:  # noqa: ANN401
        """What to start; its output goes to `<run id>.out` and `.err`."""
        out, err = f"{self.folder}/{run_id}.out", f"{self.folder}/{run_id}.err"
        chosen = {"path": argv[0], "argv": argv, "stdout": out, "stderr": err, "env": {}} | fields
        return Launch(**chosen)

    async def start(self, argv: Sequence[str], run_id: str = "run", **fields: Any) -> Spawned:  # noqa: ANN401
        return await self.spawner.spawn(run_id, self.launch(argv, run_id, **fields))

    async def run(self, script: str, **fields: Any) -> int | None:  # noqa: ANN401
        """Run shell text to its end and return its exit code."""
        return await (await self.start([SHELL, "-c", script], **fields)).exited

    def read(self, name: str = "run.out") -> str:
        return (self.folder / name).read_text()
