"""Export a pipeline to other programs: a DAG file of Airflow (`airflow`), and a Python script without nbdag (`script`).

Both write text from a `Dag` and touch no file. For a feature without an equivalent, they raise `ExportError` or write a
comment.
"""

from __future__ import annotations

from ..core.model.text import plural
from ..errors import NbdagError, error


@error
class ExportError(NbdagError):
    """A pipeline uses something that the other program cannot do."""

    dag: str
    target: str  # the other program, such as "Airflow"
    reasons: tuple[str, ...]  # one sentence each, which names the place and the next step
    template = "{dag} cannot be exported to {target}{listed}"

    @property
    def listed(self) -> str:
        """The reasons, as the end of the message."""
        if len(self.reasons) == 1:
            return f": {self.reasons[0]}"
        return f", for {plural(len(self.reasons), 'reason')}:" + "".join(f"\n  {each}" for each in self.reasons)
