"""Reflects a schema with SQLAlchemy 2 and prints what it saw, one JSON line a fact.

usage: sqlalchemy_reflect.py DSN SCHEMA   (the SQLAlchemy driver is in the DSN: postgresql+psycopg://...)
"""
import json
import sys

from sqlalchemy import MetaData, Table, create_engine, inspect, select, text

engine = create_engine(sys.argv[1])
schema = sys.argv[2]


def show(kind, *facts):
    print(json.dumps([kind, *facts], default=str, sort_keys=True))


with engine.connect() as connection:
    show("version", engine.dialect.server_version_info[0])
    insp = inspect(connection)
    show("has schema", schema in insp.get_schema_names())
    tables = sorted(insp.get_table_names(schema=schema))
    show("tables", tables)
    show("views", sorted(v for v in insp.get_view_names(schema=schema) if not v.startswith("pg_")))
    show("has_table", insp.has_table("users", schema=schema), insp.has_table("nothere", schema=schema))
    for t in tables:
        for c in insp.get_columns(t, schema=schema):
            show("column", t, c["name"], repr(c["type"]), c["nullable"], c["default"], c.get("comment"))
        show("pk", t, insp.get_pk_constraint(t, schema=schema)["constrained_columns"])
        for fk in insp.get_foreign_keys(t, schema=schema):
            show("fk", t, fk["constrained_columns"], fk["referred_schema"] == schema, fk["referred_table"], fk["referred_columns"])
        for u in sorted(insp.get_unique_constraints(t, schema=schema), key=lambda u: u["name"]):
            show("unique", t, u["name"], u["column_names"])
        for i in sorted(insp.get_indexes(t, schema=schema), key=lambda i: i["name"]):
            show("index", t, i["name"], i["column_names"], i["unique"])
        show("checks", t, insp.get_check_constraints(t, schema=schema))
        show("comment", t, insp.get_table_comment(t, schema=schema)["text"])
    meta = MetaData()
    users = Table("users", meta, schema=schema, autoload_with=connection)
    for row in connection.execute(select(users.c.id, users.c.email, users.c.score).order_by(users.c.id)):
        show("row", *row)
    for row in connection.execute(select(users.c.id).where(users.c.email == "a@x")):
        show("param", *row)
    meta = MetaData()
    meta.reflect(connection, schema=schema)
    show("reflected", sorted(meta.tables, key=str) and sorted(t.name for t in meta.tables.values()))
    show("scalar", connection.execute(text("select 1")).scalar())
