"""`sharpv index`: a fleet that looks at videos without asking about them, so that the store knows them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from sharpv_cli.batch.planning import Job
from sharpv_cli.batch.processes import Model
from sharpv_cli.batch.results import Document, Told, told_of_failure
from sharpv_cli.batch.working import Read, Worker
from sharpv_cli.errors import ResourceError, SharpvError
from sharpv_cli.metrics import StageClock
from sharpv_cli.pipeline.conveyor import waited
from sharpv_cli.shortage import Attempt
from sharpv_cli.text import shown
from sharpv_cli.types import Waiting
from sharpv_cli.video.local import name_of

SCHEMA = "sharpv.index/1"
QUESTION = "What is shown?"  # any: what is kept does not depend on it


@dataclass(frozen=True, slots=True)
class LookingModel(Model):
    """Loads a worker that looks and does not answer."""

    def load(self, device: str | None = None) -> Worker:
        return Looker(self.opened(device), self.resolved)


@dataclass(frozen=True, slots=True)
class Looker(Worker):
    def documents(self, job: Job, read: Read | SharpvError) -> Generator[Told | Waiting]:
        """One, of the video: whether it was known already."""
        asked = job.questions[0]
        with Attempt(f"looking at {shown(name_of(job.video))}") as attempt:
            if isinstance(read, SharpvError):
                raise read
            yield (yield from self._looked(job, read))
        if attempt.error is not None:
            yield told_of_failure(asked, attempt.error)

    def _looked(self, job: Job, read: Read) -> Generator[Waiting, None, Document]:
        from sharpv_cli.pipeline.fitting import memory_told
        from sharpv_cli.pipeline.prompts import Prompts
        from sharpv_cli.pipeline.recalling import keep_seen

        with self.opened(job, read) as (clip, _, recall), memory_told(clip):
            if not clip.seen:
                prompts = Prompts(clip)
                encoded = yield from waited(prompts.build(QUESTION, StageClock(), last=True))
                assert recall is not None, "a store was asked for"
                yield from keep_seen(recall, encoded)
                if recall.notes:
                    raise ResourceError(
                        recall.notes[-1], hint="`sharpv seen list` shows what is kept, and where"
                    )
            return {"schema": SCHEMA, "video": job.video, "seen": clip.seen}
