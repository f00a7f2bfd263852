-- What the client sent to PostgreSQL 15.18 (log_statement = all); one statement a block, each ends with a line ";".
SELECT id, email, score, born, created, tags, uid, doc FROM public.users ORDER BY id
;
-- parameters: $1 = 'a@x'
SELECT id FROM public.users WHERE email = $1
;
SELECT * FROM nothere
;
SELECT 1
;
