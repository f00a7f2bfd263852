"""Makes TPC-H data and queries: tpch.py SCALE FOLDER writes a Parquet file a table and q01.sql .. q22.sql, by DuckDB's generator."""

import sys

import duckdb
import duckdb_extensions

scale, folder = sys.argv[1], sys.argv[2]
duckdb_extensions.extension_importer.import_extension("tpch")
db = duckdb.connect()
db.execute("LOAD tpch")
db.execute(f"CALL dbgen(sf = {scale})")
for (table,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall():
    db.execute(f"COPY {table} TO '{folder}/{table}.parquet' (FORMAT parquet)")
for number, query in db.execute("SELECT query_nr, query FROM tpch_queries()").fetchall():
    with open(f"{folder}/q{number:02}.sql", "w", encoding="utf-8") as f:
        f.write(query)
