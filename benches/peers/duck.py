"""Times statements in DuckDB: duck.py URL RUNS SETUP FILE prints `name<TAB>best seconds<TAB>rows` for each query of the file.

The file holds name 0x1f query 0x1e, again and again. The Postgres server is attached as `pg`, read-only unless the set-up begins with `-- writable`.
"""

import sys
import time

import duckdb
import duckdb_extensions

url, runs, setup, path = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
duckdb_extensions.extension_importer.import_extension("postgres_scanner")
db = duckdb.connect()
db.execute("LOAD postgres_scanner")
db.execute(f"ATTACH '{url}' AS pg (TYPE postgres{'' if setup.startswith('-- writable') else ', READ_ONLY'})")
if setup:
    db.execute(setup)
for part in open(path, encoding="utf-8").read().split("\x1e"):
    if not part:
        continue
    name, query = part.split("\x1f")
    try:
        times = []
        rows = len(db.execute(query).fetchall())  # a warm-up
        for _ in range(runs):
            since = time.perf_counter()
            db.execute(query).fetchall()
            times.append(time.perf_counter() - since)
        print(f"{name}\t{min(times):.4f}\t{rows}", flush=True)
    except Exception as e:  # a query that fails is a line of the report, not its end
        print(f"{name}\tfailed\t{str(e).splitlines()[0]}", flush=True)
