-- Every type of docs/connectors/postgres.md with ordinary and edge values.
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN percent AS integer CHECK (VALUE BETWEEN 0 AND 100);

CREATE TABLE numbers (
    id integer PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric(10,2), nn numeric, o oid, p percent
);
INSERT INTO numbers VALUES
    (1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    (2, 32767, 2147483647, 9223372036854775807, 3.4e38, 1.7976931348623157e308, 99999999.99, 12345678901234567890.123456789, 4294967295, 100),
    (3, -32768, -2147483648, -9223372036854775808, -1e-10, -0.1, -0.01, -1e-9, 1, 1),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (5, 1, 1, 1, 'NaN', 'Infinity', 1, 1.50, 1, 1),
    (6, 1, 1, 1, '-Infinity', '-0', 1, 10000, 1, 1);

CREATE TABLE texts (id integer PRIMARY KEY, t text, v varchar(10), c char(5), n name, ci citext, m mood, b boolean, u uuid);
INSERT INTO texts VALUES
    (1, 'plain', 'var', 'ab', 'name', 'CiText', 'sad', true, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
    (2, '', '', '', '', '', 'ok', false, '00000000-0000-0000-0000-000000000000'),
    (3, 'quote '' and back\slash', 'tab' || chr(9) || 'end', 'é', 'ünï', 'ÉÈ', 'happy', NULL, NULL),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE times (id integer PRIMARY KEY, d date, t time, ts timestamp, tz timestamptz, i interval);
INSERT INTO times VALUES
    (1, '2024-02-29', '12:34:56.789', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789+02', '1 year 2 mons 3 days 04:05:06.7'),
    (2, '1969-12-31', '00:00', '1969-12-31 23:59:59.999999', '1969-12-31 23:59:59.999999+00', '-1 day'),
    (3, '0044-03-15 BC', '23:59:59.999999', '0044-03-15 00:00:00 BC', '0044-03-15 00:00:00+00 BC', '0'),
    (4, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE others (id integer PRIMARY KEY, by bytea, j json, jb jsonb, ip inet, ia integer[], ta text[], r int4range, x point);
INSERT INTO others VALUES
    (1, '\x00ff10', '{"a": [1, null]}', '{"b": 2, "a": 1}', '192.168.0.1/24', '{1,NULL,3}', '{a,"b c",NULL,"","null"}', '[1,10)', '(1,2)'),
    (2, '', 'null', '"text"', '::1', '{}', '{}', 'empty', '(0,0)'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

ANALYZE;
GRANT USAGE ON SCHEMA public TO app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO app;
