"""Another run of the workspace as a script on another machine has it, its parent say: written to, and not read."""

import os
from typing import Any, Dict, NoReturn

from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.run import Run
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory


class DistantRun(Run):
    """What a script logs, tags and uploads to it arrives where the workspace is, some seconds later."""

    def __init__(self, own: RunDirectory, run_id: str, where: str) -> None:
        super().__init__(RunDirectory(os.path.join(own.relatives, run_id)))
        self._where = where

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise UserErrorException(
            "the run %s is on the machine that submitted this one: a script on %s can log, tag and upload to it, and "
            "what it has cannot be asked for; give the script as arguments what it has to know" % (self.id, self._where)
        )

    def _store_plot(self, name: str, plot: Any) -> str:
        """Under a name that no other child uses: the plots that the run has are not seen here."""
        return super()._store_plot("%s_%s" % (name, RunDirectory(os.environ[RUN_DIRECTORY]).id), plot)

    def add_properties(self, properties: Dict[str, Any]) -> None:
        for key, value in properties.items():
            self._spool.record("property", name=str(key), value="" if value is None else str(value))

    # Everything else that asks goes by one of these.
    _definition = _records = _metrics = get_children = get_file_names = download_file = _refuse
    get_status = get_detailed_status = wait_for_completion = complete = fail = cancel = _refuse
