"""The files of a run: uploaded, listed, downloaded."""

import os
import shutil
from typing import Any, Dict, List, Optional

from toolkit.inscript import details
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.files import is_within, read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.spool import Spool
from toolkit.inscript.values import warn_once


class RunFiles:
    """A run as its folder and what it was submitted as, and the files that it keeps."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._spool = Spool(directory.spool)

    @property
    def id(self) -> str:
        """The run id: `<experiment>_<unix seconds>_<8 hex>`."""
        return self._directory.id

    def _definition(self) -> Dict[str, Any]:
        definition: Dict[str, Any] = read_json(self._directory.definition, {})
        return definition

    def flush(self, timeout_seconds: float = 300) -> None:
        """Nothing to wait for: what was logged is in the kernel's hands. Retries what a full disk refused."""
        self._spool.flush()

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
        """Keep each of the files `paths` as the artifact of the same place in `names`.

        Raises:
            UserErrorException: not as many names as paths, or one of them cannot be kept: see `upload_file`.
        """
        if len(names) != len(paths):
            raise UserErrorException("upload_files has %d names for %d paths" % (len(names), len(paths)))
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
                if not os.path.isfile(os.path.join(folder, file)):
                    warn_once("upload_folder", "%s is no file: it is left out" % os.path.join(folder, file))
                    continue
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

    def get_file_names(self) -> List[str]:
        """The files of the run: `azureml-logs/…`, `logs/…`, `outputs/…` and what was uploaded."""
        return [name for name, _ in details.files(self._directory)]

    def download_file(
        self, name: str, output_file_path: Optional[str] = None, _validate_checksum: bool = False
    ) -> None:
        """Copy a file of the run to `output_file_path` (a file or an existing folder; default the current folder).

        Raises:
            UserErrorException: the run has no such file; the message says which it has.
        """
        files = dict(details.files(self._directory))
        if name not in files:
            shown = ", ".join(list(files)[:50]) + (" and %d more" % (len(files) - 50) if len(files) > 50 else "")
            raise UserErrorException(
                "Cannot find the artifact '%s' in container 'dcid.%s'; it has: %s" % (name, self.id, shown or "none")
            )
        target = output_file_path or os.path.basename(name)
        if os.path.isdir(target) or target.endswith(("/", os.sep)):
            target = os.path.join(target, os.path.basename(name))
        os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
        shutil.copyfile(files[name], target)

    def download_files(
        self,
        prefix: Optional[str] = None,
        output_directory: Optional[str] = None,
        output_paths: Optional[List[str]] = None,
        batch_size: int = 100,
        append_prefix: bool = True,
        timeout_seconds: Optional[float] = None,
    ) -> None:
        """Copy the files whose names start with `prefix` below `output_directory`."""
        root = output_directory or "."
        names = [name for name in self.get_file_names() if name.startswith(prefix or "")]
        for index, name in enumerate(names):
            kept = name if append_prefix else name[len(prefix or "") :].lstrip("/") or os.path.basename(name)
            target = os.path.join(root, output_paths[index] if output_paths else kept)
            if is_within(root, target) or output_paths:
                self.download_file(name, target)

    def get_all_logs(self, destination: Optional[str] = None) -> List[str]:
        """Copy the run's logs to a folder (default: a folder named like the run). Returns their paths."""
        root = destination or os.path.join(".", self._directory.id)
        names = [name for name in self.get_file_names() if name.startswith(("azureml-logs/", "logs/"))]
        for name in names:
            self.download_file(name, os.path.join(root, name))
        return [os.path.join(root, name) for name in names]
