//! The catalog queries of one introspection pass. Each reads one subject for all schemas at once, so that 10,000 tables take as many round trips
//! as ten; all run in one snapshot.
//!
//! Results are cast to built-in types, so that the driver asks nothing of its own. `to_jsonb(row) ->> 'column'` reads columns that only some server
//! versions have. Sizes come from `relpages`, because `pg_relation_size` waits for whoever holds a table exclusively.

/// `$1`: include system schemas.
pub(super) const SCHEMAS: &str = r"
SELECT n.oid::int8, n.nspname::text, obj_description(n.oid, 'pg_namespace'), has_schema_privilege(n.oid, 'USAGE')
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_(toast|temp|toast_temp)' AND ($1::bool OR n.nspname !~ '^(pg_|information_schema$)')
ORDER BY n.nspname";

/// Encoding and locale of the database.
pub(super) const DATABASE: &str = r"
SELECT pg_encoding_to_char(d.encoding)::text,
       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
       CASE coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')
            WHEN 'c' THEN d.datcollate::text
            ELSE coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate::text) END
FROM pg_catalog.pg_database d WHERE d.datname = current_database()";

/// Only collations that something uses: a server knows a thousand.
pub(super) const COLLATIONS: &str = r#"
SELECT c.oid::int8,
       CASE WHEN n.nspname = 'pg_catalog' THEN c.collname::text ELSE n.nspname || '.' || c.collname END,
       c.collprovider::text, c.collisdeterministic,
       coalesce(CASE WHEN c.collprovider = 'c' THEN c.collcollate::text END, to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale',
                c.collcollate::text, '')
FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
WHERE c.oid IN (SELECT attcollation FROM pg_catalog.pg_attribute UNION SELECT typcollation FROM pg_catalog.pg_type)
   OR c.collname IN ('C', 'POSIX')"#;

/// All types but the row types of relations (two for each table), which are read as text without further knowledge.
pub(super) const TYPES: &str = r"
SELECT t.oid::int8, t.typname::text, n.nspname = 'pg_catalog', format_type(t.oid, NULL), t.typtype::text,
       t.typelem <> 0 AND t.typlen = -1 AND t.typcategory = 'A' AND t.typname NOT IN ('int2vector', 'oidvector'),
       t.typelem::int8, t.typbasetype::int8, t.typtypmod, t.typcollation::int8,
       t.typname = 'citext' AND t.typinput::text LIKE '%citextin',
       coalesce((SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
                 WHERE t.typtype = 'e' AND e.enumtypid = t.oid), '{}'::text[])
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type el ON el.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_catalog.pg_class r ON r.oid = coalesce(nullif(t.typrelid, 0), el.typrelid)
WHERE r.oid IS NULL OR r.relkind = 'c'";

/// `$1`: OIDs of the schemas.
pub(super) const RELATIONS: &str = r"
SELECT c.oid::int8, c.relnamespace::int8, c.relname::text, c.relkind::text, c.reltuples::float8,
       c.relpages::int8 * current_setting('block_size')::int8,
       has_table_privilege(c.oid, 'SELECT'), has_any_column_privilege(c.oid, 'SELECT'),
       CASE WHEN c.relrowsecurity THEN row_security_active(c.oid) ELSE false END,
       obj_description(c.oid, 'pg_class'), i.inhparent::int8,
       CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, pg_get_expr(c.relpartbound, c.oid), pn.nspname::text, p.relname::text
FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
LEFT JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace = ANY ($1::int8[]::oid[])
ORDER BY c.relnamespace, c.relname";

/// `$1`: OIDs of the schemas. A column without its own right is left out where the table as a whole may not be read.
pub(super) const COLUMNS: &str = r"
SELECT a.attrelid::int8, a.attnum::int4, a.attname::text, a.atttypid::int8, a.atttypmod, a.attcollation::int8, a.attnotnull,
       format_type(a.atttypid, a.atttypmod),
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
       col_description(a.attrelid, a.attnum),
       has_table_privilege(c.oid, 'SELECT') OR has_column_privilege(c.oid, a.attnum, 'SELECT')
           OR NOT has_any_column_privilege(c.oid, 'SELECT'),
       nullif(a.attidentity::text, ''), CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
       nullif(pg_get_expr(d.adbin, d.adrelid, true), pg_get_expr(d.adbin, d.adrelid))
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace = ANY ($1::int8[]::oid[])
ORDER BY a.attrelid, a.attnum";

/// `$1`: OIDs of the schemas.
pub(super) const CONSTRAINTS: &str = r"
SELECT k.conrelid::int8, k.conname::text, k.contype::text, k.conkey::int2[], k.condeferrable,
       fn.nspname::text, f.relname::text,
       coalesce((SELECT array_agg(a.attname::text ORDER BY p.i)
                 FROM unnest(k.confkey) WITH ORDINALITY AS p (attnum, i)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.attnum), '{}'::text[]),
       pg_get_constraintdef(k.oid), CASE WHEN k.contype = 'c' THEN pg_get_constraintdef(k.oid, true) END,
       obj_description(k.oid, 'pg_constraint')
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_catalog.pg_class f ON f.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
WHERE k.contype IN ('p', 'u', 'f', 'c') AND c.relnamespace = ANY ($1::int8[]::oid[])
ORDER BY k.conrelid, k.contype <> 'p', k.conname";

/// `$1`: OIDs of the schemas. Only indexes that queries may use.
pub(super) const INDEXES: &str = r"
SELECT x.indrelid::int8, i.relname::text, x.indisunique, x.indisprimary,
       (x.indkey::int2[])[0:x.indnkeyatts - 1], pg_get_indexdef(x.indexrelid), am.amname::text, x.indpred IS NOT NULL,
       (SELECT array_agg(l.collname::text ORDER BY p.i) FROM unnest(x.indcollation::oid[]) WITH ORDINALITY AS p (oid, i)
        LEFT JOIN pg_catalog.pg_collation l ON l.oid = p.oid),
       (SELECT array_agg(o.opcname::text ORDER BY p.i) FROM unnest(x.indclass::oid[]) WITH ORDINALITY AS p (oid, i)
        LEFT JOIN pg_catalog.pg_opclass o ON o.oid = p.oid),
       (x.indkey::int2[])[x.indnkeyatts:x.indnatts - 1], pg_get_indexdef(x.indexrelid, 0, true),
       obj_description(x.indexrelid, 'pg_class'),
       (SELECT p.relname::text FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent
        WHERE h.inhrelid = x.indexrelid)
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
JOIN pg_catalog.pg_am am ON am.oid = i.relam
WHERE x.indisvalid AND c.relkind IN ('r', 'p', 'm') AND c.relnamespace = ANY ($1::int8[]::oid[])
ORDER BY x.indrelid, NOT x.indisprimary, i.relname";

/// `$1`: names of the schemas. Those of a whole inheritance tree stand for a partitioned table.
pub(super) const STATISTICS: &str = r"
SELECT s.schemaname::text, s.tablename::text, s.attname::text, s.n_distinct::float8, s.null_frac::float8, s.avg_width
FROM pg_catalog.pg_stats s WHERE s.schemaname = ANY ($1::text[])
ORDER BY s.inherited";
