"""Writing data frames to datastores, as data sets."""

import os
import shutil
import tempfile
import uuid
from typing import Any, Callable, List, Optional, Tuple
from urllib.parse import quote

from toolkit.data.datastore import Datastore
from toolkit.data.factory import FileDatasetFactory, TabularDatasetFactory
from toolkit.data.sources import located, sources_of
from toolkit.data.transfers import speaker
from toolkit.inscript.errors import UserErrorException

Write = Callable[[Any, str], None]
_STREAM = "AmlDatastore://"


def target_of(target: Any) -> Tuple[Datastore, str]:
    """The datastore and folder that `target` names: a `DataPath`, `(datastore, 'path')` or a datastore."""
    (source,), workspace = sources_of(target)
    if "datastore" not in source:
        raise UserErrorException("target must be a DataPath or (datastore, 'path'), not %r" % (target,))
    return Datastore(workspace, source["datastore"]), source["path"]


def put_frame(frame: Any, store: Datastore, path: str, write: Write) -> None:
    """Write a data frame to a file of a datastore."""
    folder = tempfile.mkdtemp(prefix="frame-")
    try:
        local = os.path.join(folder, os.path.basename(path))
        write(frame, local)
        store.location.put(local, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_dataset(frame: Any, store: Datastore, folder: str, extension: str, write: Write) -> Any:
    """The data frame as one file in `folder`, and a file data set of it."""
    put_frame(frame, store, "%s/part-00000.%s" % (folder, extension), write)
    return FileDatasetFactory.from_files((store, folder))


def register_frame(
    frame: Any, target: Any, name: str, description: Any, tags: Any, show_progress: bool, group: Any, unique: bool
) -> Any:
    """See `TabularDatasetFactory.register_pandas_dataframe`."""
    say = speaker(show_progress)
    say("Validating arguments.")
    if not hasattr(frame, "to_parquet"):
        raise UserErrorException("register_pandas_dataframe takes a pandas.DataFrame, not a %s" % type(frame).__name__)
    store, path = target_of(target)
    say("Arguments validated.")
    say("Successfully obtained datastore reference and path.")
    folder = "/".join(part for part in (path, str(uuid.uuid4()) if unique else "") if part)
    say("Uploading file to %s/" % folder)
    options = {"row_group_size": group} if group else {}
    file = "%s/%s.parquet" % (folder, quote(name, safe=" ")) if folder else quote(name, safe=" ") + ".parquet"
    put_frame(frame, store, file, lambda one, local: one.to_parquet(local, index=False, **options))
    say("Successfully uploaded file to datastore.")
    say("Creating and registering a new dataset.")
    made = TabularDatasetFactory.from_parquet_files((store, file))
    registered = made.register(store.workspace, name, description, tags, create_new_version=True)
    say("Successfully created and registered a new dataset.")
    return registered


def partitioned(
    dataset: Any, keys: List[str], target: Any, name: Optional[str], show_progress: bool, as_files: bool
) -> Any:
    """See `TabularDataset.partition_by`."""
    store, path = target_of(target)
    frame = dataset.to_pandas_dataframe()
    missing = [key for key in keys if key not in frame.columns]
    if missing or not keys:
        raise UserErrorException("there is no column %s to partition by" % (", ".join(missing) or "given"))
    folder = "/".join(part for part in (path, str(uuid.uuid4())) if part)
    say = speaker(show_progress)
    for values, rows in frame.groupby(keys, sort=True):
        values = values if isinstance(values, tuple) else (values,)
        place = "/".join([folder, *[quote(str(value), safe=" ") for value in values], "part-00000.parquet"])
        put_frame(rows.drop(columns=keys), store, place, lambda one, local: one.to_parquet(local, index=False))
        say("Wrote %s" % place)
    form = "/%s/part-00000.parquet" % "/".join("{%s}" % key for key in keys)
    factory: Any = FileDatasetFactory.from_files if as_files else TabularDatasetFactory.from_parquet_files
    made = factory((store, folder + "/**/*.parquet"), partition_format=form)
    return made.register(store.workspace, name, create_new_version=True) if name else made


def download_streams(
    workspace: Any, values: List[str], target_path: Optional[str], overwrite: bool, ignore_not_found: bool
) -> List[str]:
    """Copy files that are named by path, URL or `AmlDatastore://store/path` into a folder."""
    folder = os.path.abspath(target_path or tempfile.mkdtemp(prefix="dataset-"))
    copies = []
    for value in values:
        source = {"url": value} if "://" in value else {"path": os.path.abspath(value)}
        if value.startswith(_STREAM):
            store, _, path = value[len(_STREAM) :].partition("/")
            source = {"datastore": store, "path": path}
        location, path = located(source, workspace.shared if workspace is not None else None)
        if location.file(path) is None:
            if ignore_not_found:
                continue
            raise UserErrorException("there is no file '%s'" % value)
        target = os.path.join(folder, os.path.basename(path))
        if os.path.exists(target) and not overwrite:
            raise UserErrorException("'%s' exists already: use another target_path, or overwrite=True" % target)
        location.get(path, target)
        copies.append(target)
    return copies
