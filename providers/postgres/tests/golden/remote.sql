-- all columns
SELECT "id", "b", "i2", "i4", "i8", "f4", "f8", "n10", "nu", "t", "tc", "ten", "tnd", "vc", "bp", "ci", "nm", "e", "by", "d", "tm", "ts", "tz", "iv", "u", "j", "jb", "ip", "o", "p"::text, "Odd ""Name" FROM "public"."nasty"

-- no columns
SELECT FROM "public"."nasty"

-- projection
SELECT "id", "Odd ""Name" FROM "public"."nasty" WHERE "t" = 'abc'

-- top n by locale text
SELECT "id", "ten" FROM "public"."nasty" ORDER BY ("ten" COLLATE "C") ASC NULLS LAST LIMIT 3

-- order by
SELECT "id", "e" FROM "public"."nasty" ORDER BY ("ten" COLLATE "C") ASC NULLS LAST, "nasty"."f8" DESC NULLS FIRST, ("f8" <> 0 OR "f8"::text <> '-0') DESC NULLS FIRST, ("e"::text COLLATE "C") ASC NULLS LAST, "nasty"."id" DESC NULLS FIRST

-- limit and offset
SELECT "id" FROM "public"."nasty" LIMIT 90 OFFSET 15

-- filter above a limit
SELECT q1.c0, q1.c1, q1.c2, q1.c3, q1.c4, q1.c5, q1.c6, q1.c7, q1.c8, q1.c9, q1.c10, q1.c11, q1.c12, q1.c13, q1.c14, q1.c15, q1.c16, q1.c17, q1.c18, q1.c19, q1.c20, q1.c21, q1.c22, q1.c23, q1.c24, q1.c25, q1.c26, q1.c27, q1.c28, q1.c29::text, q1.c30 FROM (SELECT "id" AS c0, "b" AS c1, "i2" AS c2, "i4" AS c3, "i8" AS c4, "f4" AS c5, "f8" AS c6, "n10" AS c7, "nu" AS c8, "t" AS c9, "tc" AS c10, "ten" AS c11, "tnd" AS c12, "vc" AS c13, "bp" AS c14, "ci" AS c15, "nm" AS c16, "e" AS c17, "by" AS c18, "d" AS c19, "tm" AS c20, "ts" AS c21, "tz" AS c22, "iv" AS c23, "u" AS c24, "j" AS c25, "jb" AS c26, "ip" AS c27, "o" AS c28, "p" AS c29, "Odd ""Name" AS c30 FROM "public"."nasty" LIMIT 10) AS q1 WHERE q1.c9 = 'abc'

-- group by
SELECT "ten", "ci"::text COLLATE "C", "f8" + '0'::double precision, count(*), sum("i4"), sum("i8")::bigint, sum("n10"), min("ten" COLLATE "C"), bool_or("b"), count(DISTINCT "tnd" COLLATE "C") FROM "public"."nasty" WHERE "t" = 'abc' GROUP BY "ten", ("ci"::text COLLATE "C"), ("f8" + '0'::double precision)

-- having and top n
SELECT "ten", "ci"::text COLLATE "C", "f8" + '0'::double precision, count(*), sum("i4"), sum("i8")::bigint, sum("n10"), min("ten" COLLATE "C"), bool_or("b"), count(DISTINCT "tnd" COLLATE "C") FROM "public"."nasty" WHERE "t" = 'abc' GROUP BY "ten", ("ci"::text COLLATE "C"), ("f8" + '0'::double precision) HAVING count(*) > 1 ORDER BY count(*) DESC NULLS FIRST LIMIT 5

-- one row
SELECT count(*), count(*) FILTER (WHERE "vc" = 'x') FROM "public"."nasty"

-- aggregate of an aggregate
SELECT count(*) FROM (SELECT "ten" AS c0, "ci"::text COLLATE "C" AS c1, "f8" + '0'::double precision AS c2, count(*) AS c3, sum("i4") AS c4, sum("i8")::bigint AS c5, sum("n10") AS c6, min("ten" COLLATE "C") AS c7, bool_or("b") AS c8, count(DISTINCT "tnd" COLLATE "C") AS c9 FROM "public"."nasty" WHERE "t" = 'abc' GROUP BY "ten", ("ci"::text COLLATE "C"), ("f8" + '0'::double precision)) AS q1

-- grouping sets, then a condition and a limit
SELECT q1.c0, q1.c1, q1.c2, q1.c3, q1.c4, q1.c5 FROM (SELECT "b" AS c0, "ci"::text COLLATE "C" AS c1, "f8" + '0'::double precision AS c2, GROUPING("b", ("ci"::text COLLATE "C"), ("f8" + '0'::double precision)) AS c3, count(*) AS c4, sum("i4") AS c5 FROM "public"."nasty" WHERE "t" = 'abc' GROUP BY GROUPING SETS (("b", ("ci"::text COLLATE "C"), ("f8" + '0'::double precision)), (("ci"::text COLLATE "C")), ())) AS q1 WHERE q1.c0 IS NOT NULL LIMIT 3

-- distinct
SELECT DISTINCT "i4", "b" FROM "public"."nasty"

-- sort above distinct
SELECT q1.c0, q1.c1 FROM (SELECT DISTINCT "i4" AS c0, "b" AS c1 FROM "public"."nasty") AS q1 ORDER BY q1.c0 ASC NULLS LAST

-- constant key
SELECT 1::bigint, count(*) FROM "public"."nasty" GROUP BY () HAVING count(*) > 0

-- constant column
SELECT 1::integer, 'x'::text, '1.5'::double precision, NULL::text FROM "public"."nasty"

-- join
SELECT q1."id", q1."t", q2."id" FROM "public"."nasty" AS q1 LEFT JOIN "public"."nasty" AS q2 ON q1."id" = q2."id" AND q2."t" = 'abc'

-- semi join
SELECT q1."id", q1."t" FROM "public"."nasty" AS q1 WHERE EXISTS (SELECT FROM "public"."nasty" AS q2 WHERE q1."id" = q2."id")

-- join of joins, a filter on the padded side
SELECT q1."id", q1."i4", q2."id", q2."i4", q3."id", q3."i4" FROM "public"."nasty" AS q1 LEFT JOIN ("public"."nasty" AS q2 JOIN "public"."nasty" AS q3 ON q2."i4" = q3."id") ON q1."i4" = q2."id" AND q3."vc" = 'x' WHERE q1."t" = 'abc'

-- computed column on the padded side
SELECT q1."id", q3.c0, q3.c1 FROM "public"."nasty" AS q1 LEFT JOIN (SELECT q2."id" AS c0, 1::integer AS c1 FROM "public"."nasty" AS q2) AS q3 ON q1."id" = q3.c0

-- full join of filtered sides, grouped
SELECT q3."id", count(*) FROM (SELECT q1."id" AS c0 FROM "public"."nasty" AS q1 WHERE q1."t" = 'abc') AS q2 FULL JOIN "public"."nasty" AS q3 ON q2.c0 = q3."id" GROUP BY q3."id"

-- not in, with nulls on both sides
SELECT q1."i4" FROM "public"."nasty" AS q1 WHERE NOT EXISTS (SELECT FROM "public"."nasty" AS q2 WHERE q2."i4" IS NULL) AND ((q1."i4" IS NOT NULL) OR (NOT EXISTS (SELECT FROM "public"."nasty" AS q3))) AND NOT EXISTS (SELECT FROM "public"."nasty" AS q4 WHERE q1."i4" = q4."i4")

-- top n over a join with a group
SELECT q1."id", q1."t", q3.c0, q3.c1 FROM "public"."nasty" AS q1 LEFT JOIN (SELECT q2."i4" AS c0, count(*) AS c1 FROM "public"."nasty" AS q2 GROUP BY q2."i4") AS q3 ON q1."id" = q3.c0 ORDER BY q1."id" DESC NULLS FIRST LIMIT 3

-- union
SELECT q1.c0 FROM ((SELECT "id" AS c0 FROM "public"."nasty") UNION ALL (SELECT "i4" AS c0 FROM "public"."nasty" WHERE "t" = 'abc')) AS q1

