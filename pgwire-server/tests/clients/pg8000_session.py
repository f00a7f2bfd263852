"""What pg8000 (pure Python, all text through the extended protocol) does around a query.

usage: pg8000_session.py HOST PORT USER DATABASE SCHEMA
"""
import json
import sys

import pg8000.native

host, port, user, database, schema = sys.argv[1:6]


def show(kind, *facts):
    print(json.dumps([kind, *facts], default=str))


con = pg8000.native.Connection(user, host=host, port=int(port), database=database)
for row in con.run(f"SELECT id, email, score, born, created, tags, uid, doc FROM {schema}.users ORDER BY id"):
    show("row", *row)
show("columns", [(c["name"], c["type_oid"]) for c in con.columns])
show("param", con.run(f"SELECT id FROM {schema}.users WHERE email = :e", e="a@x"))
try:
    con.run("SELECT * FROM nothere")
except pg8000.native.DatabaseError as e:
    show("error", e.args[0]["C"])
show("after", con.run("SELECT 1"))
con.close()
