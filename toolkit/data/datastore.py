"""`Datastore`: a named place for files in a workspace. Two are there; a folder or any URL of fsspec can be one more."""

import os
from typing import Any, Dict, Iterable, List, Optional

from toolkit.data import stores, transfers
from toolkit.data.data_reference import DataReference
from toolkit.data.locations import Location
from toolkit.data.patterns import checked, relative
from toolkit.inscript.errors import UserErrorException


class Datastore:
    """A datastore of a workspace; `Datastore(workspace)` is the default one.

    Attributes:
        name: its name.
        datastore_type: what Azure ML SDK v1 would call it, as in "AzureBlob"; "Folder" and "Fsspec" are ours.
        url: the folder or URL that holds the files.
        container_name, account_name, protocol, endpoint: what a store of Azure was registered with.

    Raises:
        UserErrorException: the workspace has no datastore of this name.
    """

    def __new__(cls, workspace: Any = None, name: Optional[str] = None, *args: Any, **kwargs: Any) -> "Datastore":
        if workspace is None:
            raise UserErrorException("Datastore needs the workspace: Datastore(workspace, 'name')")
        record = stores.read(workspace.shared, name or stores.default_name(workspace.shared))
        made: Datastore = object.__new__(_class_of(record["type"]))
        made._record = record
        made.workspace = workspace
        return made

    def __init__(self, workspace: Any, name: Optional[str] = None) -> None:
        self._record: Dict[str, Any]
        self.workspace: Any

    def __repr__(self) -> str:
        return "%s(name=%r, url=%r)" % (type(self).__name__, self.name, self.url)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Datastore) and self.name == other.name and self._record == other._record

    def __hash__(self) -> int:
        return hash((self.name, self.url))

    # -- which there are ----------------------------------------------------------------------------------------------

    @staticmethod
    def get(workspace: Any, datastore_name: str) -> "Datastore":
        """The datastore of this name."""
        return Datastore(workspace, datastore_name)

    @staticmethod
    def get_default(workspace: Any) -> "Datastore":
        """The default datastore: `workspaceblobstore`, a folder of the workspace, until another is set."""
        return Datastore(workspace)

    @staticmethod
    def get_all(workspace: Any) -> Dict[str, "Datastore"]:
        """All datastores of the workspace by name."""
        return {name: Datastore(workspace, name) for name in stores.names(workspace.shared)}

    def set_as_default(self) -> None:
        stores.set_default(self.workspace.shared, self.name)

    def unregister(self) -> None:
        """Forget the datastore. Its files stay where they are."""
        if self.name in stores.OWN:
            raise UserErrorException("every workspace has the datastore '%s': it cannot be unregistered" % self.name)
        stores.remove(self.workspace.shared, self.name)

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return str(self._record["name"])

    @property
    def datastore_type(self) -> str:
        return str(self._record["type"])

    @property
    def url(self) -> str:
        return str(self._record["url"])

    @property
    def container_name(self) -> Optional[str]:
        return self._account("container_name")

    @property
    def account_name(self) -> Optional[str]:
        return self._account("account_name")

    @property
    def protocol(self) -> Optional[str]:
        return self._account("protocol")

    @property
    def endpoint(self) -> Optional[str]:
        return self._account("endpoint")

    @property
    def account_key(self) -> Optional[str]:
        return stores.secrets_of(self.workspace.shared, self.name).get("account_key")

    @property
    def sas_token(self) -> Optional[str]:
        return stores.secrets_of(self.workspace.shared, self.name).get("sas_token")

    def _account(self, key: str) -> Optional[str]:
        value = self._record.get("account", {}).get(key)
        return None if value is None else str(value)

    @property
    def location(self) -> Location:
        """Where the files are, ready to be listed, read and written."""
        return stores.location(self.workspace.shared, self.name)

    # -- files --------------------------------------------------------------------------------------------------------

    def upload(
        self, src_dir: str, target_path: Optional[str] = None, overwrite: bool = False, show_progress: bool = True
    ) -> DataReference:
        """Copy all files below the folder `src_dir` to `target_path` of the datastore.

        A file that is there already stays as it is unless `overwrite`.

        Returns:
            A reference of the target.
        """
        return self._upload(transfers.files_below(os.path.expanduser(src_dir)), target_path, overwrite, show_progress)

    def upload_files(
        self,
        files: Iterable[str],
        relative_root: Optional[str] = None,
        target_path: Optional[str] = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> DataReference:
        """Copy files to `target_path`, each under its path relative to `relative_root` (the folder that all lie in)."""
        return self._upload(transfers.files_named(files, relative_root), target_path, overwrite, show_progress)

    def _upload(self, pairs: Any, target_path: Optional[str], overwrite: bool, show_progress: bool) -> DataReference:
        target = checked(target_path)
        transfers.upload(self.location, pairs, target, overwrite, transfers.speaker(show_progress))
        return self.path(target or None)

    def download(
        self, target_path: str, prefix: Optional[str] = None, overwrite: bool = False, show_progress: bool = True
    ) -> int:
        """Copy the files whose path starts with `prefix` into the folder `target_path`, under their whole paths.

        Returns:
            How many files were copied; those that are there already are left as they are unless `overwrite`.
        """
        location, start = self.location, checked(prefix)
        # A prefix may end in the middle of a name, as in 'runs/2020-'.
        folder = start if start and not location.file(start) else os.path.dirname(start)
        entries = list(location.walk(folder)) or list(location.walk(os.path.dirname(start)))
        chosen = [entry for entry in entries if entry.path.startswith(start)]
        return transfers.download(location, chosen, target_path, overwrite, transfers.speaker(show_progress))

    def list_files(self, prefix: Optional[str] = None) -> List[str]:
        """The paths of the files below the folder `prefix`, relative to the datastore."""
        return [relative(entry.path, "") for entry in self.location.walk(checked(prefix))]

    # -- for runs -----------------------------------------------------------------------------------------------------

    def path(self, path: Optional[str] = None, data_reference_name: Optional[str] = None) -> DataReference:
        """A reference of a file or folder in the datastore."""
        return DataReference(self, data_reference_name, checked(path) or None)

    def as_mount(self) -> DataReference:
        return self.path().as_mount()

    def as_download(self, path_on_compute: Optional[str] = None) -> DataReference:
        return self.path().as_download(path_on_compute)

    def as_upload(self, path_on_compute: Optional[str] = None) -> DataReference:
        return self.path().as_upload(path_on_compute)

    # -- registering --------------------------------------------------------------------------------------------------

    @staticmethod
    def register_fsspec(
        workspace: Any, datastore_name: str, url: str, overwrite: bool = False, **options: Any
    ) -> "Datastore":
        """Register a folder of this machine, or any URL that fsspec knows, as in "s3://bucket/folder".

        Args:
            options: what fsspec takes for the URL, plain values; those that are secrets (keys, tokens, passwords) are
                kept in a file that only the owner of the workspace may read.
        """
        from toolkit.data.registering import register_fsspec

        return register_fsspec(workspace, datastore_name, url, overwrite, options)

    @staticmethod
    def register_azure_blob_container(
        workspace: Any,
        datastore_name: str,
        container_name: str,
        account_name: str,
        sas_token: Optional[str] = None,
        account_key: Optional[str] = None,
        protocol: Optional[str] = None,
        endpoint: Optional[str] = None,
        overwrite: bool = False,
        create_if_not_exists: bool = False,
        skip_validation: bool = False,
        blob_cache_timeout: Optional[int] = None,
        grant_workspace_access: bool = False,
        subscription_id: Optional[str] = None,
        resource_group: Optional[str] = None,
    ) -> "Datastore":
        """Register a container of Azure Blob Storage. Its files are read and written with the package `adlfs`."""
        from toolkit.data.registering import register_azure

        secrets = {"account_key": account_key, "sas_token": sas_token}
        account = {"container_name": container_name, "protocol": protocol, "endpoint": endpoint}
        return register_azure(
            workspace, datastore_name, "AzureBlob", container_name, account_name, account, secrets, overwrite
        )

    @staticmethod
    def register_azure_data_lake_gen2(
        workspace: Any,
        datastore_name: str,
        filesystem: str,
        account_name: str,
        tenant_id: Optional[str] = None,
        client_id: Optional[str] = None,
        client_secret: Optional[str] = None,
        resource_url: Optional[str] = None,
        authority_url: Optional[str] = None,
        protocol: Optional[str] = None,
        endpoint: Optional[str] = None,
        overwrite: bool = False,
        subscription_id: Optional[str] = None,
        resource_group: Optional[str] = None,
        grant_workspace_access: bool = False,
    ) -> "Datastore":
        """Register a file system of Azure Data Lake Gen2. Its files are read and written with the package `adlfs`."""
        from toolkit.data.registering import register_azure

        secrets = {"tenant_id": tenant_id, "client_id": client_id, "client_secret": client_secret}
        account = {"container_name": filesystem, "protocol": protocol, "endpoint": endpoint}
        return register_azure(
            workspace, datastore_name, "AzureDataLakeGen2", filesystem, account_name, account, secrets, overwrite
        )

    @staticmethod
    def register_azure_file_share(workspace: Any, datastore_name: str, *args: Any, **kwargs: Any) -> "Datastore":
        """Not offered: see the error."""
        raise _not_offered("Azure file shares", "mount the share on this machine and register the folder")

    @staticmethod
    def register_azure_data_lake(workspace: Any, datastore_name: str, *args: Any, **kwargs: Any) -> "Datastore":
        """Not offered: see the error."""
        raise _not_offered("Data Lake Gen1 (which Azure has retired)", "copy the files to a folder or bucket")

    @staticmethod
    def register_azure_sql_database(workspace: Any, datastore_name: str, *args: Any, **kwargs: Any) -> "Datastore":
        """Not offered: see the error."""
        raise _not_offered("Azure SQL databases", _QUERY)

    @staticmethod
    def register_azure_postgre_sql(workspace: Any, datastore_name: str, *args: Any, **kwargs: Any) -> "Datastore":
        """Not offered: see the error."""
        raise _not_offered("PostgreSQL databases", _QUERY)

    @staticmethod
    def register_azure_my_sql(workspace: Any, datastore_name: str, *args: Any, **kwargs: Any) -> "Datastore":
        """Not offered: see the error."""
        raise _not_offered("MySQL databases", _QUERY)

    @staticmethod
    def register_dbfs(workspace: Any, datastore_name: str) -> "Datastore":
        """Not offered: see the error."""
        raise _not_offered("Databricks file systems", "register_fsspec(workspace, name, 'dbfs://…') if you have one")

    @staticmethod
    def register_hdfs(workspace: Any, datastore_name: str, *args: Any, **kwargs: Any) -> "Datastore":
        """Not offered: see the error."""
        raise _not_offered("HDFS with Kerberos", "register_fsspec(workspace, name, 'hdfs://…')")


_QUERY = "query the database in the script, with pandas.read_sql for instance"


def _not_offered(what: str, instead: str) -> UserErrorException:
    return UserErrorException("datastores on %s are not offered: %s" % (what, instead))


class AbstractAzureStorageDatastore(Datastore):
    """What the datastores on Azure's storage accounts have in common."""


class AzureBlobDatastore(AbstractAzureStorageDatastore):
    """A container of Azure Blob Storage, or the folder that is a workspace's default datastore."""

    @property
    def blob_service(self) -> Any:
        raise UserErrorException(
            "blob_service is the client of Azure's storage, which is not used here: read and write with "
            "datastore.upload, download, or datastore.location"
        )


class AzureFileDatastore(AbstractAzureStorageDatastore):
    """A file share: the folder `workspacefilestore` of a workspace."""


class AzureDataLakeGen2Datastore(Datastore):
    """A file system of Azure Data Lake Gen2."""


class FolderDatastore(Datastore):
    """A folder of this machine."""


class FsspecDatastore(Datastore):
    """A URL that fsspec knows."""


_CLASSES = {
    "AzureBlob": AzureBlobDatastore,
    "AzureFile": AzureFileDatastore,
    "AzureDataLakeGen2": AzureDataLakeGen2Datastore,
    "Folder": FolderDatastore,
}


def _class_of(kind: str) -> Any:
    return _CLASSES.get(kind, FsspecDatastore)


__all__ = [
    "AbstractAzureStorageDatastore",
    "AzureBlobDatastore",
    "AzureDataLakeGen2Datastore",
    "AzureFileDatastore",
    "Datastore",
    "FolderDatastore",
    "FsspecDatastore",
]
