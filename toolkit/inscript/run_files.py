"""The files that a run keeps as artifacts."""

import os
import shutil
from typing import Any, List, Optional

from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.spool import Spool
from toolkit.inscript.values import warn_once


class RunFiles:
    """The part of a run that uploads files."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._spool = Spool(directory.spool)

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: Optional[str] = None) -> None:
        """Keep a file, or an open binary stream, as the artifact `name` of the run. It may be replaced later.

        Raises:
            UserErrorException: no such file, or a name that leads outside the run's artifacts.
        """
        self._upload(name, path_or_stream)

    def upload_files(
        self,
        names: List[str],
        paths: List[str],
        return_artifacts: bool = False,
        timeout_seconds: Optional[int] = None,
        datastore_name: Optional[str] = None,
    ) -> None:
        """Keep each of the files `paths` as the artifact of the same place in `names`."""
        for name, path in zip(names, paths):
            self._upload(name, path)

    def upload_folder(self, name: str, path: str, datastore_name: Optional[str] = None) -> None:
        """Keep every file below the folder `path` as an artifact `name/<relative path>`."""
        if not os.path.isdir(path):
            raise UserErrorException(
                "upload_folder('%s', '%s'): there is no such folder in %s" % (name, path, os.getcwd())
            )
        for folder, _, files in os.walk(path):
            relative = os.path.relpath(folder, path)
            for file in files:
                artifact = "/".join([name] + ([] if relative == "." else relative.split(os.sep)) + [file])
                self._upload(artifact, os.path.join(folder, file))

    def _upload(self, name: str, path_or_stream: Any) -> None:
        if not hasattr(path_or_stream, "read") and not os.path.isfile(str(path_or_stream)):
            raise UserErrorException(
                "upload_file('%s', '%s'): there is no such file in %s" % (name, path_or_stream, os.getcwd())
            )
        self._artifact_name(name)
        try:
            self._store(name, path_or_stream)
        except OSError as error:
            warn_once("upload", "'%s' could not be kept: %s. The script goes on" % (name, error.strerror or error))

    def _artifact_name(self, name: str) -> str:
        parts = str(name).split("/")
        if not name or str(name).startswith("/") or ".." in parts or "\0" in str(name):
            raise UserErrorException(
                "'%s' cannot be the name of an artifact: use a relative path without '..', as in 'outputs/model.pt'"
                % name
            )
        return os.path.join(self._directory.artifacts, *[part for part in parts if part not in ("", ".")])

    def _artifact_path(self, name: str) -> str:
        path = self._artifact_name(name)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return path

    def _store(self, name: str, source: Any) -> None:
        target = self._artifact_path(name)
        staging = "%s.%d.tmp" % (target, os.getpid())
        try:
            if hasattr(source, "read"):
                with open(staging, "wb") as file:
                    shutil.copyfileobj(source, file)
            else:
                shutil.copyfile(str(source), staging)
            os.replace(staging, target)
        except BaseException:
            if os.path.exists(staging):
                os.unlink(staging)
            raise
        self._spool.record("file", name=name)
