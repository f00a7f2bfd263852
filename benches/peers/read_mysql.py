"""Times other ways of reading MySQL or MariaDB into Arrow: read_mysql.py PORT RUNS TABLE KEY prints `name<TAB>best seconds<TAB>rows` a line."""

import sys
import time

port, runs, table, key = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
query = f"SELECT * FROM {table}"


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

    duckdb_extensions.extension_importer.import_extension("mysql_scanner")
    db = duckdb.connect()
    db.execute("LOAD mysql_scanner")
    db.execute(f"ATTACH 'host=127.0.0.1 port={port} user=root database=bench' AS my (TYPE mysql, READ_ONLY)")
    local = query.replace("FROM ", "FROM my.bench.")
    return lambda: db.execute(local).to_arrow_table().num_rows


def connectorx(partitions):
    import connectorx

    url = f"mysql://root@127.0.0.1:{port}/bench"
    # Each partition reads on a connection of its own, in a snapshot of its own.
    split = {"partition_on": key, "partition_num": partitions} if partitions > 1 else {}
    return lambda: connectorx.read_sql(url, query, return_type="arrow", **split).num_rows


def chdb():
    import chdb

    local = f"SELECT * FROM mysql('127.0.0.1:{port}', 'bench', '{table}', 'root', '')"
    return lambda: chdb.query(local, "ArrowTable").num_rows


PEERS = [
    ("DuckDB 1.5.5 mysql scanner", duckdb),
    ("connectorx 0.4.6", lambda: connectorx(1)),
    ("connectorx 0.4.6, two connections", lambda: connectorx(2)),
    ("chDB 4.4", chdb),
]
for name, make in PEERS:
    try:
        best(name, make())
    except Exception as e:
        print(f"{name}\tfailed\t{str(e).splitlines()[0]}", flush=True)
