"""How the answers of a run are written: as what, where, and with what around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpv_cli import terminal

if TYPE_CHECKING:
    from sharpv_cli.report.document import Asked
    from sharpv_cli.report.exports import Exports
    from sharpv_cli.types import Form


@dataclass(frozen=True, slots=True)
class Manner:
    """How answers are written. `stats` is None where nobody said; in a `loop` questions are typed one by one.

    Several questions share a look at a video; several videos put their names, as labels, before what is answered.
    """

    as_json: bool
    form: Form
    stream: bool
    quiet: bool
    stats: bool | None
    exports: Exports[Sequence[Asked]] | None
    shares: bool
    loop: bool
    labels: bool = False

    @property
    def several(self) -> bool:
        """Whether there are several answers."""
        return self.shares or self.labels

    @property
    def shows(self) -> bool:
        """Whether there is a chart above the answers, and a line of figures below each."""
        wanted = self._on_terminal if self.stats is None else self.stats
        return wanted and not self.quiet

    def names(self, *, below_chart: bool) -> bool:
        """Whether a question stands above its answer: where there are others, or a chart came between them."""
        others = self.several and not self.loop
        return (others or below_chart) and not self.quiet and self._on_terminal

    @property
    def tells_shared(self) -> bool:
        return self.shares and not (self.loop or self.labels) and self.shows and self._on_terminal

    @property
    def _on_terminal(self) -> bool:
        return terminal.stderr().is_terminal
