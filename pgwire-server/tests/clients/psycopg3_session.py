"""What psycopg 3 does around a query: connects, reads types, binds parameters, uses a server cursor, COPY.

usage: psycopg3_session.py DSN SCHEMA
"""
import json
import sys

import psycopg
from psycopg.types import TypeInfo

dsn, schema = sys.argv[1:3]


def show(kind, *facts):
    print(json.dumps([kind, *facts], default=str))


with psycopg.connect(dsn) as conn:
    show("status", conn.info.status.name, conn.info.encoding)
    for name in ("int4", "text", "uuid", "jsonb", "numeric"):
        info = TypeInfo.fetch(conn, name)
        show("type", name, info and info.oid, info and info.array_oid)
    show("missing type", TypeInfo.fetch(conn, "nothere"))
    cur = conn.execute(f"SELECT id, email, score, born, created, tags, uid, doc FROM {schema}.users ORDER BY id")
    show("columns", [(d.name, d.type_code) for d in cur.description])
    for row in cur:
        show("row", *row)
    show("param", conn.execute(f"SELECT email FROM {schema}.users WHERE id = %s", (2,)).fetchall())
    show("param text", conn.execute(f"SELECT id FROM {schema}.users WHERE email = %s", ("a@x",)).fetchall())
    show("any", conn.execute(f"SELECT id FROM {schema}.users WHERE id = ANY(%s) ORDER BY id", ([1, 2],)).fetchall())
    with psycopg.ClientCursor(conn) as plain:
        show("client side", plain.execute(f"SELECT id FROM {schema}.users WHERE email = %s", ("b@x",)).fetchall())
    with conn.cursor("server_side") as scroll:
        scroll.execute(f"SELECT id FROM {schema}.orders ORDER BY id")
        show("server cursor", scroll.fetchone(), scroll.fetchall())
    with conn.cursor(binary=True) as binary:
        show("binary", binary.execute(f"SELECT id, score, created FROM {schema}.users ORDER BY id").fetchall())
    with conn.cursor().copy(f"COPY (SELECT id, email FROM {schema}.users ORDER BY id) TO STDOUT") as copy:
        show("copy", [list(r) for r in copy.rows()])
    conn.commit()
    try:
        conn.execute("SELECT * FROM nothere")
    except psycopg.Error as e:
        show("error", e.sqlstate)
    conn.rollback()
    show("after", conn.execute("SELECT 1").fetchone())
