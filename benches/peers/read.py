"""Times other ways of reading Postgres into Arrow: read.py URL RUNS QUERY prints `name<TAB>best seconds` a line."""

import sys
import time

url, runs, query = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def best(name, read):
    try:
        read()  # once for the imports and the caches of the server
        times = []
        for _ in range(runs):
            since = time.perf_counter()
            rows = read()
            times.append(time.perf_counter() - since)
        print(f"{name}\t{min(times):.3f}\t{rows}", flush=True)
    except Exception as e:  # a peer that fails is a line of the report, not its end
        print(f"{name}\tfailed\t{str(e).splitlines()[0]}", flush=True)


def duckdb():
    import duckdb
    import duckdb_extensions

    duckdb_extensions.extension_importer.import_extension("postgres_scanner")
    db = duckdb.connect()
    db.execute("LOAD postgres_scanner")
    db.execute(f"ATTACH '{url}' AS pg (TYPE postgres, READ_ONLY)")
    local = query.replace("FROM ", "FROM pg.public.")
    return lambda: db.execute(local).to_arrow_table().num_rows


def adbc():
    from adbc_driver_postgresql import dbapi

    connection = dbapi.connect(url)

    def read():
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetch_arrow_table().num_rows

    return read


def connectorx():
    import connectorx

    return lambda: connectorx.read_sql(url, query, return_type="arrow").num_rows


def chdb():
    import chdb
    from urllib.parse import urlparse

    parts = urlparse(url)
    table = query.split("FROM ")[1]
    local = f"SELECT * FROM postgresql('{parts.hostname}:{parts.port}', 'postgres', '{table}', 'postgres', '')"
    return lambda: chdb.query(local, "ArrowTable").num_rows


for name, make in [("DuckDB 1.5.5 postgres scanner", duckdb), ("ADBC 1.13 (numeric as text)", adbc), ("connectorx 0.4.6", connectorx), ("chDB 4.4", chdb)]:
    try:
        best(name, make())
    except Exception as e:
        print(f"{name}\tfailed\t{str(e).splitlines()[0]}", flush=True)
