-- What the client sent to PostgreSQL 15.18 (log_statement = all); one statement a block, each ends with a line ";".
BEGIN
;
SELECT id, email, score, born, created, tags, uid, doc FROM public.users ORDER BY id
;
SELECT id FROM public.users WHERE email = 'a@x' AND id IN (1, 2)
;
SELECT id FROM public.users WHERE id = ANY(ARRAY[1,2]) ORDER BY id
;
SELECT t.oid, typarray
FROM pg_type t JOIN pg_namespace ns
    ON typnamespace = ns.oid
WHERE typname = 'hstore'
;
DECLARE "c1" CURSOR WITHOUT HOLD FOR SELECT id FROM public.orders ORDER BY id
;
FETCH FORWARD 1 FROM "c1"
;
CLOSE "c1"
;
SELECT * FROM nothere
;
ROLLBACK
;
SELECT current_schema(), current_database() IS NOT NULL
;
SET default_transaction_isolation TO 'SERIALIZABLE'
;
SET default_transaction_read_only TO 'on'
;
SELECT 1
;
