"""DataFrameDirectory: a table, as the designer keeps one.

_meta.yaml              type: DataFrameDirectory, format: Parquet
_data.parquet           the rows
schema/_schema.json     the columns, and which of them are scores and labels
_samples.json           the first three rows
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from toolkit.vision.directory import DATA_FRAME, describe, read_meta, write_meta
from toolkit.vision.errors import InvalidDatasetError

_DATA, _SCHEMA, _SAMPLES = "_data.parquet", "schema/_schema.json", "_samples.json"
LABELS_KEY = "Multi Class Assigned Labels"  # of the predicted classes, among the score columns


@dataclass(frozen=True)
class Frame:
    """A table and what its columns are.

    Attributes:
        table: the rows.
        score_columns: the names of the columns of scores by their role.
        label_column: the name of the column of true labels, if there is one.
        feature_columns: the names of the columns that are features.
    """

    table: pa.Table
    score_columns: dict[str, str] = field(default_factory=dict)
    label_column: str | None = None
    feature_columns: tuple[str, ...] = ()

    def save(self, root: Path) -> None:
        """Write the directory's files into `root`."""
        parquet.write_table(self.table, root / _DATA)
        (root / _SCHEMA).parent.mkdir()
        (root / _SCHEMA).write_text(json.dumps(self._schema(), ensure_ascii=False), encoding="utf-8")
        samples = json.dumps(self.table.slice(0, 3).to_pylist(), ensure_ascii=False, default=str)
        (root / _SAMPLES).write_text(samples, encoding="utf-8")
        write_meta(root, DATA_FRAME, format="Parquet", data=_DATA, schema=_SCHEMA, samples=_SAMPLES)

    def _schema(self) -> dict[str, Any]:
        columns = []
        for column in self.table.schema:
            numeric = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
            properties = {"data_type": _NUMPY_NAMES.get(str(column.type), str(column.type))} if numeric else {}
            columns.append(
                {
                    "name": column.name,
                    "type": "Numeric" if numeric else "String",
                    "isFeature": column.name in self.feature_columns,
                    "properties": properties,
                }
            )
        schema: dict[str, Any] = {"columnAttributes": columns, "score_column_names": self.score_columns}
        if self.label_column:
            schema["label_column_name"] = self.label_column
        return schema

    @classmethod
    def load(cls, path: str | os.PathLike[str], dataset: str) -> Frame:
        """Read a directory.

        Args:
            dataset: what it is called in messages, as in "Scored dataset".

        Raises:
            InvalidDatasetError: no DataFrameDirectory is there, or it is broken.
        """
        root = Path(os.path.abspath(path))
        meta = read_meta(root)
        if meta.get("type") != DATA_FRAME:
            raise InvalidDatasetError(dataset, f"{describe(root)}, and it must be a {DATA_FRAME}")
        try:
            table = parquet.read_table(root / str(meta.get("data", _DATA)))
            schema = json.loads((root / str(meta.get("schema", _SCHEMA))).read_text(encoding="utf-8"))
            scores = {str(key): str(name) for key, name in (schema.get("score_column_names") or {}).items()}
            label = schema.get("label_column_name")
            features = tuple(one["name"] for one in schema["columnAttributes"] if one.get("isFeature"))
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidDatasetError(dataset, f"{root} cannot be read ({error or type(error).__name__})") from error
        absent = [name for name in (*scores.values(), *([label] if label else [])) if name not in table.column_names]
        if absent:
            raise InvalidDatasetError(dataset, f"{root} has no column {', '.join(absent[:5])}, which its schema names")
        return cls(table, scores, label, features)


_NUMPY_NAMES = {"float": "float32", "double": "float64", "halffloat": "float16"}
