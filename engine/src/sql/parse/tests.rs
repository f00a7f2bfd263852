#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::super::ddl::*;
use super::super::*;
use super::{ARMS_MAX, DEPTH_MAX};
use crate::error::{SqlError, SqlState};

fn one(sql: &str) -> StatementKind {
    let mut all = parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    assert_eq!(all.len(), 1, "{sql}");
    all.remove(0).kind
}
fn ddl(sql: &str) -> Ddl {
    match one(sql) {
        StatementKind::Ddl(d) => *d,
        other => panic!("{sql}: {other:?}"),
    }
}
fn session(sql: &str) -> SessionStatement {
    match one(sql) {
        StatementKind::Session(s) => s,
        other => panic!("{sql}: {other:?}"),
    }
}
fn refused(sql: &str) -> SqlError {
    match one(sql) {
        StatementKind::Refused(e) => *e,
        other => panic!("{sql}: {other:?}"),
    }
}
fn error(sql: &str) -> SqlError {
    parse(sql).map(|s| panic!("{sql}: {s:?}")).unwrap_err()
}
fn text(v: &OptionValue) -> String {
    match v {
        OptionValue::Literal(s) => s.expose().to_string(),
        OptionValue::Secret(n) => format!("SECRET {n}"),
    }
}

#[test]
fn splits_and_keeps_the_text() {
    let all = parse("  SELECT 'a;b' ; -- c;\n /* x; */ TABLE t;; select $$;$$").unwrap();
    let texts: Vec<_> = all.iter().map(|s| s.text.as_str()).collect();
    assert_eq!(texts, ["SELECT 'a;b'", "TABLE t", "select $$;$$"]);
    assert!(parse("").unwrap().is_empty() && parse(" ; ;-- nothing").unwrap().is_empty());
    assert_eq!(parse("SELECT 'é😀', 1; SELECT 'ü'").unwrap()[1].text, "SELECT 'ü'");
}

#[test]
fn syntax_errors_are_postgres_like_with_character_positions() {
    for (sql, message, at) in [
        ("SELEC 1", "syntax error at or near \"SELEC\"", 1),
        ("SELECT 1 1", "syntax error at or near \"1\"", 10),
        ("SELECT 'é'; selec 2", "syntax error at or near \"selec\"", 13),
        ("SELECT\n 1 FROM )", "syntax error at or near \")\"", 16),
        ("SELECT (1", "syntax error at end of input", 10),
        ("CREATE CONNECTOR", "syntax error at end of input", 17),
        ("CREATE CONNECTOR select TYPE x", "syntax error at or near \"select\"", 18),
        ("DROP CONNECTOR a b", "syntax error at or near \"b\"", 18),
        ("FETCH 1.5 FROM c", "syntax error at or near \"1.5\"", 7),
        ("BEGIN READ", "syntax error at or near \"READ\"", 7),
        ("SET x", "syntax error at end of input", 6),
        ("1", "syntax error at or near \"1\"", 1),
        ("SELECT 1; CREATE VIEW v AS SELEC", "syntax error at or near \"SELEC\"", 28),
    ] {
        let e = error(sql);
        assert_eq!((e.state, e.message.as_str(), e.position), (SqlState::SYNTAX_ERROR, message, Some(at)), "{sql}");
    }
    assert!(error("SELECT 'abc").message.contains("nterminated"));
}

#[test]
fn secrets() {
    assert!(matches!(ddl("CREATE SECRET s FROM ENV 'V'"), Ddl::CreateSecret { source: SecretSource::Env(v), .. } if v == "V"));
    assert!(matches!(ddl("create or replace secret S from file 'p'"),
        Ddl::CreateSecret { or_replace: true, name, source: SecretSource::File(_), .. } if name == "s"));
    assert!(matches!(ddl("CREATE SECRET IF NOT EXISTS \"S\" FROM VAULT 'a#b'"),
        Ddl::CreateSecret { if_not_exists: true, name, source: SecretSource::Vault(_), .. } if name == "S"));
    assert!(matches!(ddl("CREATE SECRET s AS 'x''y'"), Ddl::CreateSecret { source: SecretSource::Literal(v), .. } if v.expose() == "x'y"));
    assert!(matches!(ddl("DROP SECRET IF EXISTS a, b"), Ddl::DropSecret { if_exists: true, names } if names == ["a", "b"]));
    assert!(matches!(ddl("SHOW SECRETS"), Ddl::ShowSecrets));
    error("CREATE OR REPLACE SECRET IF NOT EXISTS s FROM ENV 'x'");
}

#[test]
fn connectors() {
    for sql in [
        "CREATE CONNECTOR shop TYPE postgres OPTIONS (host 'db', port 5432, user app, password SECRET pw, sslmode verify-full, timeout 5s)",
        "create connector shop type 'POSTGRES' with (host = 'db', \"port\" = 5432, user = 'app', password = secret pw, sslmode = 'verify-full', timeout = '5s')",
    ] {
        let Ddl::CreateConnector(c) = ddl(sql) else { panic!() };
        assert_eq!((c.name.as_str(), c.type_name.as_str()), ("shop", "postgres"));
        let options: Vec<_> = c.options.iter().map(|(k, v)| format!("{k}={}", text(v))).collect();
        assert_eq!(options, ["host=db", "port=5432", "user=app", "password=SECRET pw", "sslmode=verify-full", "timeout=5s"]);
    }
    let Ddl::CreateConnector(c) = ddl(
        "CREATE OR REPLACE CONNECTOR c TYPE files OPTIONS (location $$a;b$$) MODE BOTH SYNC TABLE s.a (x, y), b EXCEPT (c) COMMENT 'hi'",
    ) else {
        panic!()
    };
    assert!(c.or_replace && c.mode == Some(Mode::Both) && c.comment.as_deref() == Some("hi"));
    let sync = c.sync.unwrap();
    assert_eq!(sync.what, SyncWhat::Tables(vec![(vec!["s".into(), "a".into()], vec!["x".into(), "y".into()]), (vec!["b".into()], vec![])]));
    assert_eq!(sync.except, vec![vec!["c".to_string()]]);
    assert_eq!(error("CREATE CONNECTOR c TYPE t OPTIONS (a 1, A 2)").state, SqlState::DUPLICATE_OBJECT);
    for sql in [
        "ALTER CONNECTOR c SET (a 1)",
        "ALTER CONNECTOR IF EXISTS c RESET (a, b)",
        "ALTER CONNECTOR c PAUSE SYNC",
        "ALTER CONNECTOR c RESUME",
        "ALTER CONNECTOR c REFRESH SCHEMA",
        "ALTER CONNECTOR c ADD SYNC TABLE a.b, c",
        "ALTER CONNECTOR c DROP SYNC TABLE a",
        "ALTER CONNECTOR c RESYNC ALL TABLES",
        "ALTER CONNECTOR c RESYNC TABLE a",
        "ALTER CONNECTOR c OWNER TO r",
        "ALTER CONNECTOR c RENAME TO d",
        "DROP CONNECTOR IF EXISTS a, b CASCADE KEEP SLOT",
        "DROP CONNECTOR a KEEP SLOT RESTRICT",
        "SHOW CONNECTORS",
        "SHOW CONNECTORS LIKE 'a%'",
        "SHOW CONNECTOR TYPES",
        "SHOW CREATE CONNECTOR c",
        "DESCRIBE CONNECTOR c",
        "VALIDATE CONNECTOR c",
        "COMMENT ON CONNECTOR c IS 'x'",
        "COMMENT ON VIEW a.b IS NULL",
        "CREATE VIEW v AS SELECT 1",
        "CREATE OR REPLACE VIEW s.v (a, b) AS (SELECT 1, 2)",
        "DROP VIEW IF EXISTS a, b.c CASCADE",
        "SHOW CREATE VIEW v",
    ] {
        ddl(sql);
    }
    let Ddl::CreateView { query, .. } = ddl("CREATE VIEW v AS\n SELECT 1 ;") else { panic!() };
    assert_eq!(query.text, "SELECT 1");
}

#[test]
fn transactions() {
    for sql in [
        "BEGIN",
        "begin work",
        "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, NOT DEFERRABLE",
        "START TRANSACTION READ WRITE",
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY DEFERRABLE",
    ] {
        assert!(matches!(session(sql), SessionStatement::Begin(_)), "{sql}");
    }
    for sql in ["COMMIT", "END", "END TRANSACTION", "COMMIT WORK AND NO CHAIN"] {
        assert!(matches!(session(sql), SessionStatement::Commit), "{sql}");
    }
    for sql in ["ROLLBACK", "ABORT", "ROLLBACK TRANSACTION"] {
        assert!(matches!(session(sql), SessionStatement::Rollback), "{sql}");
    }
    assert!(matches!(session("SAVEPOINT A"), SessionStatement::Savepoint(n) if n == "a"));
    assert!(matches!(session("RELEASE SAVEPOINT a"), SessionStatement::Release(n) if n == "a"));
    assert!(matches!(session("ROLLBACK WORK TO SAVEPOINT a"), SessionStatement::RollbackTo(n) if n == "a"));
    assert!(matches!(session("ROLLBACK TO a"), SessionStatement::RollbackTo(n) if n == "a"));
    assert_eq!(refused("COMMIT AND CHAIN").state, SqlState::FEATURE_NOT_SUPPORTED);
    assert_eq!(refused("PREPARE TRANSACTION 'x'").state, SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn cursors_and_prepared() {
    assert!(matches!(session("DECLARE c BINARY INSENSITIVE NO SCROLL CURSOR WITH HOLD FOR SELECT 1"),
        SessionStatement::Declare { hold: true, binary: true, query, .. } if query.text == "SELECT 1"));
    for (sql, rows) in [
        ("FETCH c", Some(1)),
        ("FETCH FROM c", Some(1)),
        ("FETCH NEXT FROM c", Some(1)),
        ("FETCH NEXT c", Some(1)),
        ("FETCH 10 c", Some(10)),
        ("FETCH 10 IN c", Some(10)),
        ("FETCH FORWARD c", Some(1)),
        ("FETCH FORWARD 5 FROM c", Some(5)),
        ("FETCH FORWARD ALL IN c", None),
        ("FETCH ALL FROM c", None),
        ("fetch +2 from \"c\"", Some(2)),
    ] {
        assert!(matches!(session(sql), SessionStatement::Fetch { name, count } if name == "c" && count == rows), "{sql}");
    }
    assert!(matches!(session("FETCH next"), SessionStatement::Fetch { name, .. } if name == "next"));
    assert!(matches!(session("MOVE FORWARD 3 IN c"), SessionStatement::Move { count: Some(3), .. }));
    for sql in [
        "FETCH PRIOR FROM c",
        "FETCH -1 FROM c",
        "FETCH BACKWARD 3 FROM c",
        "FETCH ABSOLUTE 3 FROM c",
        "FETCH LAST c",
        "MOVE BACKWARD ALL IN c",
    ] {
        assert_eq!(refused(sql).state, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{sql}");
    }
    assert!(matches!(session("CLOSE ALL"), SessionStatement::Close(None)));
    assert!(matches!(session("PREPARE p (int, numeric(10, 2), text[]) AS SELECT $1"),
        SessionStatement::Prepare { types, .. } if types == ["int", "numeric(10, 2)", "text[]"]));
    assert!(matches!(session("EXECUTE p (1, 'a' || 'b', null)"), SessionStatement::Execute { args, .. } if args.len() == 3));
    assert!(matches!(session("EXECUTE p"), SessionStatement::Execute { args, .. } if args.is_empty()));
    assert!(matches!(session("DEALLOCATE PREPARE ALL"), SessionStatement::Deallocate(None)));
    assert!(matches!(session("DISCARD TEMPORARY"), SessionStatement::Discard(w) if w == "TEMP"));
    assert!(matches!(session("NOTIFY a, 'x'"), SessionStatement::Listen("NOTIFY")));
    assert!(matches!(session("UNLISTEN *"), SessionStatement::Listen("UNLISTEN")));
}

#[test]
fn copy_towards_the_client_only() {
    let options = |sql: &str| match session(sql) {
        SessionStatement::CopyOut { query, options } => (query.text.clone(), options),
        other => panic!("{other:?}"),
    };
    let (q, o) = options("COPY (SELECT 1) TO STDOUT");
    assert_eq!((q.as_str(), o.format, o.delimiter, o.null.as_str(), o.header), ("SELECT 1", CopyFormat::Text, '\t', "\\N", false));
    let (q, o) = options("COPY a.\"T\" (x, \"Y\") TO STDOUT WITH (FORMAT csv, HEADER, FORCE_QUOTE *, NULL 'n')");
    assert_eq!((q.as_str(), o.delimiter, o.header, o.force_quote[0].as_str()), ("SELECT x, \"Y\" FROM a.\"T\"", ',', true, "*"));
    let (_, o) = options("COPY t TO STDOUT CSV HEADER DELIMITER AS ';' QUOTE '''' FORCE QUOTE a, b");
    assert_eq!((o.format, o.delimiter, o.quote, o.escape, o.force_quote.len()), (CopyFormat::Csv, ';', '\'', '\'', 2));
    assert_eq!(options("COPY t TO STDOUT WITH BINARY").1.format, CopyFormat::Binary);
    assert_eq!(refused("COPY t FROM STDIN").state, SqlState::READ_ONLY_SQL_TRANSACTION);
    assert_eq!(refused("COPY t TO '/etc/passwd'").state, SqlState::FEATURE_NOT_SUPPORTED);
    assert_eq!(refused("COPY (SELECT 1) TO PROGRAM 'rm'").state, SqlState::FEATURE_NOT_SUPPORTED);
    error("COPY t TO STDOUT (FORMAT binary, DELIMITER ',')");
    error("COPY t TO STDOUT (DELIMITER 'ab')");
    error("COPY t TO STDOUT (QUOTE '\"')");
}

#[test]
fn settings() {
    let set = |sql: &str| match one(sql) {
        StatementKind::Set { local, assignments } => (local, assignments),
        other => panic!("{sql}: {other:?}"),
    };
    for (sql, local, name, value) in [
        ("SET fjord.pushdown = off", false, "fjord.pushdown", Some("off")),
        ("SET LOCAL Statement_Timeout TO '5s'", true, "statement_timeout", Some("5s")),
        ("SET SESSION x TO DEFAULT", false, "x", None),
        ("SET search_path TO a, \"B c\", 'd'", false, "search_path", Some("a, \"B c\", d")),
        ("SET DateStyle = ISO, MDY", false, "datestyle", Some("iso, mdy")),
        ("SET TIME ZONE 'Europe/Berlin'", false, "timezone", Some("Europe/Berlin")),
        ("SET TIME ZONE LOCAL", false, "timezone", None),
        ("SET TIME ZONE -7", false, "timezone", Some("-7")),
        ("SET LOCAL TIME ZONE UTC", true, "timezone", Some("utc")),
        ("SET NAMES 'utf8'", false, "client_encoding", Some("utf8")),
        ("SET extra_float_digits = -3", false, "extra_float_digits", Some("-3")),
        ("SET ROLE NONE", false, "role", Some("none")),
        ("SET SESSION AUTHORIZATION DEFAULT", false, "session_authorization", None),
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", true, "transaction_isolation", Some("repeatable read")),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", false, "default_transaction_read_only", Some("on")),
        ("SET standard_conforming_strings = on", false, "standard_conforming_strings", Some("on")),
    ] {
        assert_eq!(set(sql), (local, vec![(name.to_string(), value.map(str::to_string))]), "{sql}");
    }
    assert!(matches!(one("SHOW ALL"), StatementKind::Show(None)));
    assert!(matches!(one("SHOW TIME ZONE"), StatementKind::Show(Some(n)) if n == "timezone"));
    assert!(matches!(one("SHOW TRANSACTION ISOLATION LEVEL"), StatementKind::Show(Some(n)) if n == "transaction_isolation"));
    assert!(matches!(one("SHOW fjord.Pushdown"), StatementKind::Show(Some(n)) if n == "fjord.pushdown"));
    assert!(matches!(one("RESET ALL"), StatementKind::Reset(None)));
    assert!(matches!(one("RESET search_path"), StatementKind::Reset(Some(_))));
}

#[test]
fn explain() {
    let options = |sql: &str| match one(sql) {
        StatementKind::Explain { options, statement } => (options, statement.text),
        other => panic!("{sql}: {other:?}"),
    };
    let (o, t) = options("EXPLAIN (PUSHDOWN, ANALYZE, FORMAT JSON) SELECT 1");
    assert!(o.pushdown && o.analyze && o.format == ExplainFormat::Json && t == "SELECT 1");
    let (o, _) = options("EXPLAIN ANALYZE VERBOSE (SELECT 1)");
    assert!(o.analyze && o.verbose);
    let (o, t) = options("EXPLAIN (COSTS off, TIMING false) SELECT 1");
    assert!(!o.costs && t == "SELECT 1");
    assert_eq!(options("EXPLAIN (SELECT 1)").1, "(SELECT 1)");
    error("EXPLAIN (NONSENSE) SELECT 1");
    error("EXPLAIN CREATE VIEW v AS SELECT 1");
}

#[test]
fn writes_are_refused_and_never_delegated() {
    for sql in [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "TRUNCATE t",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x",
        "SELECT * INTO n FROM t",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM (SELECT * FROM t FOR SHARE) x",
        "LOCK TABLE t",
    ] {
        assert_eq!(refused(sql).state, SqlState::READ_ONLY_SQL_TRANSACTION, "{sql}");
    }
    for sql in [
        "CREATE TABLE t (a int)",
        "CREATE TEMP TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE MATERIALIZED VIEW v AS SELECT 1",
        "CREATE ROLE r",
        "DROP TABLE t",
        "ALTER TABLE t ADD a int",
        "GRANT ALL ON t TO u",
        "VACUUM",
        "DO $$ x $$",
        "COMMENT ON TABLE t IS 'x'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'",
    ] {
        assert_eq!(refused(sql).state, SqlState::FEATURE_NOT_SUPPORTED, "{sql}");
    }
}

#[test]
fn queries() {
    for sql in [
        "TABLE pg.public.users ORDER BY 1",
        "VALUES (1), (2)",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "WITH a AS (SELECT 1) TABLE a",
        "SELECT * FROM live(pg.public.users) u",
        "SELECT * FROM remote_query('pg', $$SELECT ';' $$) r",
        "SELECT E'a\\'b', $1::text = ANY($2)",
        "SELECT a OPERATOR(pg_catalog.~) '^x' COLLATE pg_catalog.default FROM t",
        "SELECT 1 AS \"select\"",
        "SELECT 'a'::pg_catalog.regclass",
    ] {
        assert!(matches!(one(sql), StatementKind::Query(_)), "{sql}");
    }
    assert!(parse_query("SELECT 1; SELECT 2").is_err() && parse_query("BEGIN").is_err());
}

/// A secret's literal shows nowhere: not in the redacted text, not in Debug, not in a syntax error's message.
#[test]
fn secrets_are_redacted() {
    for sql in [
        "CREATE SECRET s AS 'hunter2'",
        "create or replace secret s as $$hunter2$$",
        "CREATE SECRET s AS E'hunter2'",
        "CREATE CONNECTOR c TYPE postgres OPTIONS (host 'h', password 'hunter2')",
        "CREATE CONNECTOR c TYPE x WITH (token = hunter2)",
        "CREATE CONNECTOR c TYPE x WITH (url = 'postgres://u:hunter2@h/d')",
        "ALTER CONNECTOR c SET (password 'hunter2')",
        "SELECT 1; CREATE SECRET s AS 'hunter2'; SELECT 2",
    ] {
        assert!(!redacted_text(sql).contains("hunter2"), "{}", redacted_text(sql));
        for s in parse(sql).unwrap() {
            assert!(!format!("{s:?} {:?} {}", s.kind, redacted(&s)).contains("hunter2"), "{sql}");
        }
    }
    for sql in [
        "CREATE SECRET s 'hunter2'",
        "CREATE SECRET s AS 'x' 'hunter2'",
        "CREATE CONNECTOR c TYPE t OPTIONS (password = , 'hunter2')",
        "CREATE SECRET s AS 'hunter2",
    ] {
        assert!(!format!("{:?} {}", error(sql), redacted_text(sql)).contains("hunter2"), "{sql}: {:?}", error(sql));
    }
    assert_eq!(
        redacted_text("CREATE CONNECTOR c TYPE postgres OPTIONS (host 'h', port 5432, password SECRET pw)"),
        "CREATE CONNECTOR c TYPE postgres OPTIONS (host 'h', port 5432, password SECRET pw)"
    );
    assert_eq!(
        redacted_text("SELECT 'x' FROM sys.queries; CREATE SECRET s AS 'a'; SELECT 'y'"),
        "SELECT 'x' FROM sys.queries; CREATE SECRET s AS '***'; SELECT 'y'"
    );
}

#[test]
fn limits() {
    assert_eq!(error(&format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000))).state, SqlState::STATEMENT_TOO_COMPLEX);
    let too_complex = |s: String| assert_eq!(error(&s).state, SqlState::STATEMENT_TOO_COMPLEX);
    for link in
        [" + 1", "::int", " IS NULL", " BETWEEN 1 AND 2", " IS DISTINCT FROM 1", " UNION SELECT 1", " + CASE WHEN a THEN b END", " NOTNULL"]
    {
        too_complex(format!("SELECT 1{}", link.repeat(DEPTH_MAX + 1)));
    }
    too_complex(format!("SELECT 1{}", " OR true".repeat(ARMS_MAX + 1)));
    // Depth adds up through levels, wherever the deep child stands.
    let half = " + 1".repeat(DEPTH_MAX * 2 / 3);
    too_complex(format!("SELECT (1{half}){half}"));
    too_complex(format!("SELECT 1{half} + (1{half})"));
    too_complex(format!("SELECT f(1, 1{half}, 2){half}"));
    one(&format!("SELECT (1{half}), (1{half}), 1{half} FROM t WHERE 1{half} > 0 AND 1{half} > 0"));
    one(&format!("SELECT * FROM t WHERE a = 1{}", " OR a = 1 AND b BETWEEN 1 AND 2".repeat(900)));
    one(&format!("SELECT a.b, {} 1 FROM a {}", "b.c + 1 AS d, ".repeat(500), " JOIN b ON a.x = b.x AND a.y = b.y".repeat(150)));
    assert_eq!(error(&"x".repeat(TEXT_BYTES_MAX + 1)).state, SqlState::PROGRAM_LIMIT_EXCEEDED);
    assert_eq!(error(&"1,".repeat(TOKENS_MAX)).state, SqlState::STATEMENT_TOO_COMPLEX);
    let many = (0..100_000).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    one(&format!("SELECT * FROM t WHERE id IN ({many})"));
}

/// The deepest tree that passes, of every shape that chains, on a thread with the stack of a tokio worker: cloning and dropping it must not
/// overflow (that would end the process, and no test harness could say more than "signal").
#[test]
fn deepest_trees_do_not_overflow() {
    let links = [
        " + 1",
        "::int",
        " IS NULL",
        " || 'x'",
        " AT TIME ZONE 'UTC'",
        "[1]",
        " -> 'a'",
        " BETWEEN 1 AND 2",
        " IS DISTINCT FROM 1",
        " IN (1)",
        " LIKE 'x'",
    ];
    let longest = |start: &str, link: &str| {
        let n = (2..400).collect::<Vec<_>>().partition_point(|n| parse(&format!("{start}{}", link.repeat(*n))).is_ok());
        format!("{start}{}", link.repeat(n + 1))
    };
    let mut texts: Vec<String> = links.iter().map(|l| longest("SELECT a", l)).collect();
    texts.push(longest("SELECT 1", " UNION SELECT 1"));
    texts.push(format!("SELECT 1{}", " OR a = 1 AND b = 2".repeat(ARMS_MAX / 2 - 1)));
    texts.push(format!("SELECT {}1{}", "(".repeat(90), ")".repeat(90)));
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            for t in texts {
                let all = parse(&t).unwrap();
                let copy = all.clone();
                if let StatementKind::Query(q) = &copy[0].kind {
                    assert!(!q.to_string().is_empty());
                }
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

/// Balancing changes the shape, never the meaning: printed, the chain is the same.
#[test]
fn long_chains_are_balanced() {
    let sql = format!("SELECT a = 0{}", (1..1000).map(|i| format!(" OR a = {i} AND b")).collect::<String>());
    let StatementKind::Query(q) = one(&sql) else { panic!() };
    assert_eq!(q.to_string(), sql);
}

/// Whatever comes, the parser answers: no panic, and positions lie inside the text. Mutations of statements that it knows.
#[test]
fn mutations_never_panic() {
    use rand::prelude::*;
    let seeds: Vec<String> = [
        "CREATE OR REPLACE CONNECTOR shop TYPE postgres OPTIONS (host '1', port -5, password SECRET s, m verify-full) MODE BOTH SYNC TABLE a.b (c) EXCEPT (d) COMMENT 'x'",
        "CREATE SECRET IF NOT EXISTS s AS E'a\\'b'; DROP SECRET s", "ALTER CONNECTOR c RENAME TO d; ALTER CONNECTOR c SET (a = 1, b $$x$$)",
        "DECLARE c BINARY CURSOR WITH HOLD FOR SELECT 1; FETCH FORWARD 10 FROM c; MOVE ALL IN c; CLOSE c",
        "PREPARE p (int, numeric(1,2)) AS SELECT $1; EXECUTE p (1, 'é'); DEALLOCATE ALL",
        "COPY t (a, \"b\") TO STDOUT WITH (FORMAT csv, HEADER, FORCE_QUOTE (a), DELIMITER ';')", "COPY (SELECT 1) TO STDOUT CSV HEADER QUOTE AS '\"'",
        "EXPLAIN (PUSHDOWN, FORMAT json, COSTS off) WITH a AS (SELECT 1) SELECT * FROM a WHERE x IN (1,2) AND y LIKE 'é%' ORDER BY 1 LIMIT 3",
        "SET LOCAL TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE; SHOW ALL; RESET x.y; SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
        "BEGIN ISOLATION LEVEL SERIALIZABLE; ROLLBACK TO SAVEPOINT a; COMMIT AND NO CHAIN", "/* a /* b */ */ SELECT $tag$ x $tag$ -- 😀\n, U&'\\0041', X'ff', B'01'",
        "CREATE VIEW a.b (c) AS SELECT CASE WHEN a THEN 1 END, count(*) FILTER (WHERE x) OVER (PARTITION BY y) FROM live(p.q.r) u LEFT JOIN LATERAL unnest(a) WITH ORDINALITY x ON true",
    ]
    .iter()
    .map(|s| s.to_string())
    .collect();
    let pieces = [
        "'", "\"", "$$", "(", ")", ";", ",", "--", "/*", "*/", "\\", "\0", "😀", "SELECT ", "SECRET ", " 'x' ", "$1", "E'", "U&'\\", "::",
        "[", "]", "1e", "0x", "$a$", ".", "..", "\u{feff}",
    ];
    let mut rng = StdRng::seed_from_u64(42);
    for _ in 0..5_000 {
        let mut s: Vec<char> = seeds.choose(&mut rng).unwrap().chars().collect();
        for _ in 0..rng.random_range(1..5) {
            let at = rng.random_range(0..=s.len());
            match rng.random_range(0..4) {
                0 => drop(s.splice(at..at, pieces.choose(&mut rng).unwrap().chars())),
                1 if at < s.len() => drop(s.remove(at)),
                2 => s.truncate(at),
                _ => {
                    let other: Vec<char> = seeds.choose(&mut rng).unwrap().chars().collect();
                    let from = rng.random_range(0..other.len());
                    let to = rng.random_range(from..=other.len().min(from + 20));
                    drop(s.splice(at..at, other[from..to].iter().copied()));
                }
            }
        }
        let s: String = s.into_iter().collect();
        let _ = redacted_text(&s);
        match parse(&s) {
            Ok(all) => all.iter().for_each(|st| assert!(s.contains(&st.text) && !redacted(st).is_empty())),
            Err(e) => assert!(e.position.is_none_or(|p| p >= 1 && p as usize <= s.chars().count() + 1), "{s:?}: {e:?}"),
        }
    }
}

#[test]
fn nesting_takes_no_exponential_time() {
    // With time that doubles with each level this would not end.
    for (open, inner, close) in [
        ("f(", "1", ")"),
        ("f(x, ", "1", ", y)"),
        ("f(a => ", "1", ")"),
        ("(", "1", ")"),
        ("CASE WHEN a THEN ", "1", " END"),
        ("CAST(", "1", " AS int)"),
        ("ARRAY[", "1", "]"),
        ("coalesce(a, ", "1", ")"),
        ("f(- ", "1", " + 1)"),
        ("(SELECT ", "1", ")"),
        ("f(DISTINCT ", "1", " ORDER BY 1)"),
        ("extract(year FROM ", "d", ")"),
        ("substring(", "t", " FROM 2)"),
        ("trim(", "t", ")"),
        ("a IN (", "1", ")"),
        ("EXISTS (SELECT 1 WHERE ", "true", ")"),
    ] {
        let sql = format!("SELECT {}{inner}{}", open.repeat(40), close.repeat(40));
        match parse(&sql) {
            Ok(all) => assert_eq!(all.len(), 1, "{sql}"),
            Err(e) => assert_eq!(e.state, SqlState::STATEMENT_TOO_COMPLEX, "{sql}: {e}"),
        }
    }
}
