"""Makes the sample files of files/: run once with pyarrow and a folder, committed because Parquet is not written byte for byte the same by each version."""

import datetime as dt
import pathlib
import sys

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

folder = pathlib.Path(sys.argv[1])
(folder / "events").mkdir(parents=True, exist_ok=True)


def events(first, after):
    ids = range(first, after)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "customer_id": pa.array([[1, 3, 2][(i - 1) % 3] for i in ids], pa.int32()),
            "kind": ["cart" if i % 3 == 0 else "view" for i in ids],
            "at": pa.array([dt.datetime(2025, 1, 1, 0, 0, i) for i in ids], pa.timestamp("us")),
        }
    )


pq.write_table(events(1, 4), folder / "events/part-1.parquet")
pq.write_table(events(4, 7), folder / "events/part-2.parquet")

for year, month, amount in [(2024, 1, 10.0), (2024, 2, 20.0), (2025, 1, 30.0)]:
    part = folder / f"sales/year={year}/month={month}"
    part.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"amount": pa.array([amount], pa.float64())}), part / "a.parquet")

people = pa.table(
    {"id": pa.array([1, 2, 3], pa.int64()), "name": ["Ada", "Björn", "with, comma"], "score": pa.array([1.5, None, -3.0], pa.float64())}
)
with ipc.new_file(folder / "people.arrow", people.schema) as writer:
    writer.write_table(people)
(folder / "people.csv").write_text('id,name,score\n1,Ada,1.5\n2,Björn,\n3,"with, comma",-3\n')
(folder / "people.jsonl").write_text(
    '{"id": 1, "name": "Ada", "score": 1.5}\n{"id": 2, "name": "Björn"}\n{"id": 3, "name": "with, comma", "score": -3}\n'
)
