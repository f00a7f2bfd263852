"""What asyncpg does around a query: introspects types, prepares, binds, cursors, COPY, resets.

usage: asyncpg_session.py DSN SCHEMA
"""
import asyncio
import io
import json
import sys

import asyncpg

dsn, schema = sys.argv[1:3]


def show(kind, *facts):
    print(json.dumps([kind, *facts], default=str))


async def main():
    conn = await asyncpg.connect(dsn)
    show("version", conn.get_server_version().major)
    rows = await conn.fetch(f"SELECT id, email, score, born, created, tags, uid, doc FROM {schema}.users ORDER BY id")
    for row in rows:
        show("row", *row.values())
    statement = await conn.prepare(f"SELECT id, note, amount FROM {schema}.orders WHERE user_id = $1 ORDER BY id")
    show("parameters", [p.name for p in statement.get_parameters()])
    show("attributes", [(a.name, a.type.name) for a in statement.get_attributes()])
    show("prepared", [tuple(r) for r in await statement.fetch(1)])
    show("any", [tuple(r) for r in await conn.fetch(f"SELECT id FROM {schema}.users WHERE id = ANY($1::int[]) ORDER BY id", [1, 2])])
    show("text", await conn.fetchval(f"SELECT id FROM {schema}.users WHERE email = $1", "a@x"))
    # Types that asyncpg has no built-in codec for make it introspect pg_type with its recursive query.
    await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    show("codec", await conn.fetchval(f"SELECT doc FROM {schema}.users WHERE id = 1"))
    show("catalog", await conn.fetchval("SELECT typname FROM pg_catalog.pg_type WHERE oid = 23"))
    intro = await conn._introspect_types([23, 1007, 3904, 2950], 10.0)
    show("introspection", sorted((r["oid"], r["name"], r["kind"], r["elemtype"], r["elemdelim"]) for r in intro[0]))
    async with conn.transaction():
        cur = await conn.cursor(f"SELECT id FROM {schema}.orders ORDER BY id")
        show("cursor", (await cur.fetchrow())[0], [r[0] for r in await cur.fetch(10)])
    out = io.BytesIO()
    await conn.copy_from_query(f"SELECT id, email FROM {schema}.users ORDER BY id", output=out, format="csv")
    show("copy", out.getvalue().decode())
    try:
        await conn.fetch("SELECT * FROM nothere")
    except asyncpg.PostgresError as e:
        show("error", e.sqlstate)
    await conn.reset()
    show("after", await conn.fetchval("SELECT 1"))
    await conn.close()
    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=2)
    async with pool.acquire() as c:
        show("pool", await c.fetchval("SELECT 2"))
    await pool.close()


asyncio.run(main())
