"""What psycopg2 does around a query.

usage: psycopg2_session.py DSN SCHEMA
"""
import json
import sys

import psycopg2
import psycopg2.extras

dsn, schema = sys.argv[1:3]


def show(kind, *facts):
    print(json.dumps([kind, *facts], default=str))


conn = psycopg2.connect(dsn)
show("version", conn.server_version // 10000, conn.encoding)
cur = conn.cursor()
cur.execute(f"SELECT id, email, score, born, created, tags, uid, doc FROM {schema}.users ORDER BY id")
show("columns", [(d.name, d.type_code) for d in cur.description])
for row in cur:
    show("row", *row)
cur.execute(f"SELECT id FROM {schema}.users WHERE email = %s AND id IN %s", ("a@x", (1, 2)))
show("param", cur.fetchall())
cur.execute(f"SELECT id FROM {schema}.users WHERE id = ANY(%s) ORDER BY id", ([1, 2],))
show("any", cur.fetchall())
show("hstore", psycopg2.extras.HstoreAdapter.get_oids(conn))
named = conn.cursor("c1")
named.itersize = 1
named.execute(f"SELECT id FROM {schema}.orders ORDER BY id")
show("named cursor", [r for r in named])
named.close()
try:
    cur.execute("SELECT * FROM nothere")
except psycopg2.Error as e:
    show("error", e.pgcode)
conn.rollback()
conn.autocommit = True
cur.execute("SELECT current_schema(), current_database() IS NOT NULL")
show("after", cur.fetchone())
conn.set_session(isolation_level="SERIALIZABLE", readonly=True)
cur.execute("SELECT 1")
show("session", cur.fetchone())
