-- The nasty table: one column per type, filled with the values on which databases disagree. 241 rows; each column walks its own list with its own
-- stride, so that values meet in many combinations. Row 240 is NULL throughout.
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'Happy', 'happy', 'zzz top');
CREATE TYPE pair AS (x int, y text);
CREATE COLLATION nondet (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

CREATE TABLE nasty (
    id int PRIMARY KEY,
    b boolean,
    i2 smallint,
    i4 int,
    i8 bigint,
    f4 real,
    f8 double precision,
    n10 numeric(10, 2),
    n38 numeric(38, 10),
    nu numeric,
    t text,
    tc text COLLATE "C",
    ten text COLLATE "en-US-x-icu",
    tnd text COLLATE nondet,
    vc varchar(40),
    bp char(8),
    ci citext,
    nm name,
    e mood,
    "by" bytea,
    d date,
    tm time,
    ts timestamp,
    tz timestamptz,
    iv interval,
    u uuid,
    j json,
    jb jsonb,
    ai int[],
    at text[],
    ip inet,
    o oid,
    m money,
    r int4range,
    p pair,
    "Odd ""Name" int
);

CREATE FUNCTION pick(list anyarray, i int) RETURNS anyelement LANGUAGE sql IMMUTABLE AS
    'SELECT list[1 + i % cardinality(list)]';

CREATE FUNCTION texts() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['', ' ', 'a', 'A', 'b', 'B', 'abc', 'ABC', 'Abc', 'abc ', 'abc  ', ' abc', E'\u00e9', E'e\u0301', E'\u00c9', 'e', 'E',
        E'\u00df', 'ss', 'SS', E'\u017f', E'\u212a', 'k', 'K', E'\u0131', 'I', 'i', E'\u0130', E'a\\b', E'\\', E'\\\\', '%', '_', 'a%b', 'a_b', 'axb', '''',
        'O''Brien', '"', E'a\nb', E'\t', E'\u65e5\u672c', E'\U0001F600', E'\uffff', 'zebra', 'Zebra', E'\u00e4', 'z', '10', '9', 'NULL', 'null', 'ok', 'happy',
        'Happy', E'\u0001', 'aa', 'a b', 'a-b', E'\u00a0', NULL]
$$;

INSERT INTO nasty SELECT
    i,
    pick(ARRAY[true, false, NULL], i),
    pick(ARRAY[0, 1, -1, 2, 32767, -32768, 100, NULL]::smallint[], i / 2),
    pick(ARRAY[0, 1, -1, 42, 2147483647, -2147483648, 1000, 7, NULL]::int[], i / 3),
    pick(ARRAY[0, 1, -1, 42, 9007199254740993, 9007199254740992, 9223372036854775807, -9223372036854775808, NULL, 5000000000]::bigint[], i),
    pick(ARRAY['0', '-0', '1.5', '-1.5', 'NaN', 'Infinity', '-Infinity', '3.4e38', '1e-45', '0.1', NULL, '16777217']::real[], i),
    pick(ARRAY['0', '-0', '1.5', '-1.5', 'NaN', 'Infinity', '-Infinity', '1e300', '5e-324', '0.1', NULL, '9007199254740993', '2']::float8[], i),
    pick(ARRAY['0', '0.00', '1.5', '-1.50', '99999999.99', '-99999999.99', '0.01', '42', '100', NULL]::numeric[], i),
    pick(ARRAY['0', '1', '-1', '9999999999999999999999999999.9999999999', '0.0000000001', '12345678901234567890.5', NULL]::numeric[], i / 2),
    pick(ARRAY['0', '0.000', '1', '1.0', '1.00', '-1', '123456789012345678901234567890.123456789', '0.00000000000000000001', '100', NULL]::numeric[], i / 3),
    pick(texts(), i), pick(texts(), i * 7 + 1), pick(texts(), i * 11 + 2), pick(texts(), i * 13 + 3), pick(texts(), i * 17 + 4),
    pick(texts(), i * 19 + 5), pick(texts(), i * 23 + 6)::citext, pick(texts(), i * 29 + 7)::name,
    pick(ARRAY['sad', 'ok', 'Happy', 'happy', 'zzz top', NULL]::mood[], i),
    pick(ARRAY['', '\x00', '\x0000', '\x61', '\xff', '\x6162', NULL, '\x5c27']::bytea[], i),
    pick(ARRAY['1970-01-01', '1969-12-31', '2024-02-29', '0001-01-01', '4713-01-01 BC', '9999-12-31', '2024-06-01', NULL, '1900-03-01']::date[], i),
    pick(ARRAY['00:00', '24:00', '12:34:56.789012', '23:59:59.999999', NULL, '01:00']::time[], i),
    pick(ARRAY['1970-01-01', '1969-12-31 23:59:59.999999', '2024-02-29 12:00:00.123456', '0001-01-01', '4713-01-01 BC', '9999-12-31 23:59:59',
        '1900-03-01 00:00:00.5', NULL, '2024-06-01 23:30:00']::timestamp[], i),
    pick(ARRAY['1970-01-01Z', '1969-12-31 23:59:59.999999Z', '2024-02-29 12:00:00.123456+02', '0001-01-01Z', '9999-12-31 23:59:59Z',
        '1883-11-18 12:00:00Z', NULL, '2024-06-01 23:30:00-05']::timestamptz[], i / 2),
    pick(ARRAY['0', '1 month', '30 days', '1 day', '24 hours', '-1 day', '1 year 2 mons 3 days 04:05:06.789', NULL]::interval[], i),
    pick(ARRAY['00000000-0000-0000-0000-000000000000', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'ffffffff-ffff-ffff-ffff-ffffffffffff',
        '0a0eebc9-9c0b-4ef8-bb6d-6bb9bd380a11', NULL]::uuid[], i),
    pick(ARRAY['{"a":1}', '{"a": 1}', '[1,2]', 'null', '"x"', NULL]::json[], i),
    pick(ARRAY['{"a":1}', '{"b":2,"a":1}', '[1,2]', 'null', '"x"', '1.0', '1.00', NULL]::jsonb[], i),
    CASE i % 5 WHEN 0 THEN '{1,2}'::int[] WHEN 1 THEN '{}' WHEN 2 THEN '{NULL,3}' WHEN 3 THEN NULL ELSE '{2,1}' END,
    CASE i % 5 WHEN 0 THEN '{a,B}'::text[] WHEN 1 THEN '{}' WHEN 2 THEN '{NULL,"a,b"}' WHEN 3 THEN NULL ELSE '{"x\"y"}' END,
    pick(ARRAY['127.0.0.1', '10.0.0.0/8', '::1', '2001:db8::/32', NULL]::inet[], i),
    pick(ARRAY['0', '1', '4294967295', '2147483648', NULL]::oid[], i),
    pick(ARRAY['0', '12.34', '-5', NULL]::money[], i),
    pick(ARRAY['empty', '[1,5)', '(,3]', NULL]::int4range[], i),
    CASE i % 4 WHEN 0 THEN ROW(1, 'a')::pair WHEN 1 THEN ROW(NULL, NULL)::pair WHEN 2 THEN NULL ELSE ROW(NULL, 'x')::pair END,
    i % 7
FROM generate_series(0, 239) AS i;
INSERT INTO nasty (id) VALUES (240);

-- The NaN that arithmetic makes has other bits than the one that is written.
UPDATE nasty SET f8 = 'Infinity'::float8 - 'Infinity'::float8, f4 = 'Infinity'::float4 - 'Infinity'::float4 WHERE id IN (17, 43);
-- The ends of time.
UPDATE nasty SET d = 'infinity', ts = 'infinity', tz = 'infinity' WHERE id IN (23, 77);
UPDATE nasty SET d = '-infinity', ts = '-infinity', tz = '-infinity' WHERE id IN (29, 101);

-- Documents: nested, with escapes, duplicate and empty keys, numbers of every form, and what is no object. A json keeps what a jsonb cannot hold.
CREATE TABLE docs (id int PRIMARY KEY, j json, jb jsonb);
INSERT INTO docs SELECT i, d::json, CASE WHEN d LIKE '%\u0000%' THEN NULL ELSE d::jsonb END FROM unnest(ARRAY[
    '{"k": "v", "n": 1}', '{"k":"V"}', '{"k": null}', '{"k": {"a": [1, 2, {"b": "c"}]}}', '{"k": [10, "x", null, true]}', '{"k": 1.50, "n": "12"}',
    '{"k": 1e2, "n": "x"}', '{"k": "v", "k": "w", "n": "-7"}', '{"": "empty", "a b": 1, "\u00e9": 2}', '{"k": "\u00e9", "n": " 5"}', '{"k": "tab\there", "n": "05"}',
    '{"k": "quote\"d", "n": "true"}', '{"k": true, "n": "2024-02-28"}', '[1, 2, 3]', '["k", "v"]', '[[1], {"k": "v"}]', '"k"', '1', 'null', 'true', '{}', '[]',
    '{"z": "\u0000"}', '{"other": "\u0000", "k": "v"}', '{"k": "\ud83d\ude00", "n": "999999999999"}', '{"k": "日本", "n": "2024-02-30"}', '{"a": {"k": {"k": 1}}, "n": 3}',
    NULL, '  {"k" :  "spaced" }', '{"k": ""}', '{"k": -0.0}', '{"n": 9007199254740993}', '{"0": "zero", "-1": "last"}']) WITH ORDINALITY AS x(d, i);

CREATE INDEX nasty_t ON nasty (t);
CREATE INDEX nasty_tnd ON nasty (tnd);
CREATE INDEX nasty_ci ON nasty (ci);
DROP FUNCTION texts();
DROP FUNCTION pick(anyarray, int);
ANALYZE nasty;
