"""Writes CSV from standard input as Parquet files: events.py FOLDER FILES"""

import pathlib
import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

folder, files = pathlib.Path(sys.argv[1]), int(sys.argv[2])
types = {
    "event_id": pa.int64(),
    "customer_id": pa.int32(),
    "kind": pa.string(),
    "page": pa.string(),
    "milliseconds": pa.int32(),
    "at": pa.timestamp("us"),
}
table = pa.csv.read_csv(sys.stdin.buffer, convert_options=pa.csv.ConvertOptions(column_types=types))
folder.mkdir(parents=True, exist_ok=True)
rows = -(-table.num_rows // files)
for i in range(files):
    pa.parquet.write_table(table.slice(i * rows, rows), folder / f"part-{i + 1}.parquet")
