"""Jobs of which one kills every worker that it is given to: `python deadly_jobs.py` does them on a Ray of its own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sharpv_cli.batch.planning import Asked, Job
from sharpv_cli.settings import Resolved, resolve

JOBS = 6
DEADLY = 1


@dataclass(frozen=True)
class Model:
    """Stands for one that is loaded; each job's question is what it does."""

    resolved: Resolved
    batch_size: int | None = None
    session = SimpleNamespace(several=None)

    def load(self) -> Model:
        return self

    def documents(self, job: Job, _read: Any) -> Iterator[dict[str, object]]:
        for asked in job.questions:
            if asked.question == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            yield {"id": asked.id, "answer": asked.question}


def main() -> None:
    import deadly_jobs  # as the workers will know it

    from sharpv_cli.batch.ray_runner import Cluster, on_cluster

    resolved = resolve({}, {})
    jobs = [
        Job(f"{n}.mp4", resolved.settings, (Asked(str(n), n + 1, "die" if n == DEADLY else "what?", "d"),))
        for n in range(JOBS)
    ]
    told = on_cluster(jobs, deadly_jobs.Model(resolved), Cluster(num_cpus=1))  # type: ignore[arg-type]
    print(json.dumps(list(told)))


if __name__ == "__main__":
    main()
