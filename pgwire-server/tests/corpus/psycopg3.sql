-- What the client sent to PostgreSQL 15.18 (log_statement = all); one statement a block, each ends with a line ";".
BEGIN
;
-- parameters: $1 = 'int4'
SELECT
    typname AS name, oid, typarray AS array_oid,
    oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t
WHERE t.oid = to_regtype($1)
ORDER BY t.oid
;
COMMIT
;
-- parameters: $1 = 'text'
SELECT
    typname AS name, oid, typarray AS array_oid,
    oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t
WHERE t.oid = to_regtype($1)
ORDER BY t.oid
;
-- parameters: $1 = 'uuid'
SELECT
    typname AS name, oid, typarray AS array_oid,
    oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t
WHERE t.oid = to_regtype($1)
ORDER BY t.oid
;
-- parameters: $1 = 'jsonb'
SELECT
    typname AS name, oid, typarray AS array_oid,
    oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t
WHERE t.oid = to_regtype($1)
ORDER BY t.oid
;
-- parameters: $1 = 'numeric'
SELECT
    typname AS name, oid, typarray AS array_oid,
    oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t
WHERE t.oid = to_regtype($1)
ORDER BY t.oid
;
-- parameters: $1 = 'nothere'
SELECT
    typname AS name, oid, typarray AS array_oid,
    oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t
WHERE t.oid = to_regtype($1)
ORDER BY t.oid
;
SELECT id, email, score, born, created, tags, uid, doc FROM public.users ORDER BY id
;
-- parameters: $1 = '2'
SELECT email FROM public.users WHERE id = $1
;
-- parameters: $1 = 'a@x'
SELECT id FROM public.users WHERE email = $1
;
-- parameters: $1 = '{1,2}'
SELECT id FROM public.users WHERE id = ANY($1) ORDER BY id
;
SELECT id FROM public.users WHERE email = 'b@x'
;
DECLARE "server_side" CURSOR FOR SELECT id FROM public.orders ORDER BY id
;
FETCH FORWARD 1 FROM "server_side"
;
FETCH FORWARD ALL FROM "server_side"
;
CLOSE "server_side"
;
SELECT id, score, created FROM public.users ORDER BY id
;
COPY (SELECT id, email FROM public.users ORDER BY id) TO STDOUT
;
SELECT * FROM nothere
;
ROLLBACK
;
DEALLOCATE ALL
;
SELECT 1
;
