//! The user's own text: described, run read-only, and without a trace on the connections that others use.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use fjord_engine::SqlState;
use fjord_harness::Postgres;
use support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_text_runs_as_it_is() {
    let pg = Postgres::start().unwrap();
    let source = over(&pg, &[]);
    let schema = source.describe("SELECT 1 AS a, 'x'::text, int4range(1, 3) AS a, 1.50::numeric(5,2) AS n").await.unwrap();
    assert_eq!(plain(&schema), ["a:Int32", "text:Utf8", "a:Utf8", "n:Decimal128(5, 2)"]);
    for (text, column, expected) in [
        ("SELECT i FROM generate_series(3, 1, -1) i ORDER BY i DESC;", 0, vec!["3", "2", "1"]),
        ("VALUES (1), (2) -- a comment", 0, vec!["1", "2"]),
        ("WITH x AS (SELECT 7 AS a) TABLE x", 0, vec!["7"]),
        ("/* why */ (SELECT 1) UNION ALL (SELECT 2) ORDER BY 1", 0, vec!["1", "2"]),
        ("SELECT 1 AS c0, numrange(1, 2) AS c0, 'q'::text AS q ORDER BY 1 -- end", 1, vec!["[1,2)"]),
        ("SELECT 5 WHERE false", 0, vec![]),
        ("SELECT count(*), current_setting('transaction_read_only') FROM pg_class WHERE relname = 'pg_class'", 1, vec!["on"]),
    ] {
        assert_eq!(exact(&run_text(&source, text).await.unwrap(), column), expected, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_query_is_refused() {
    let pg = Postgres::start().unwrap();
    pg.psql(
        "CREATE TABLE t (a int); CREATE SEQUENCE s; CREATE FUNCTION w() RETURNS int LANGUAGE sql AS 'INSERT INTO public.t VALUES (1) RETURNING a'",
    )
    .unwrap();
    let source = over(&pg, &[]);
    for (text, state) in [
        ("", SqlState::SYNTAX_ERROR),
        ("-- nothing", SqlState::SYNTAX_ERROR),
        ("DELETE FROM public.t", SqlState::FEATURE_NOT_SUPPORTED),
        ("/* SELECT */ DROP TABLE public.t", SqlState::FEATURE_NOT_SUPPORTED),
        ("COPY public.t TO PROGRAM 'true'", SqlState::FEATURE_NOT_SUPPORTED),
        ("SELECT 1; SELECT 2", SqlState::SYNTAX_ERROR),
        ("SELECT 1) TO PROGRAM 'touch /tmp/fjord-was-here' --", SqlState::SYNTAX_ERROR),
        ("SELECT 1 /*", SqlState::SYNTAX_ERROR),
        ("SELECT $1::int", SqlState::FEATURE_NOT_SUPPORTED),
        ("SELECT nope", SqlState::UNDEFINED_COLUMN),
        ("SELECT * FROM nowhere", SqlState::UNDEFINED_TABLE),
        ("SELECT nextval('public.s')", SqlState::READ_ONLY_SQL_TRANSACTION),
        ("SELECT public.w()", SqlState::READ_ONLY_SQL_TRANSACTION),
        ("SELECT a INTO public.u FROM public.t", SqlState::SYNTAX_ERROR),
        ("WITH d AS (DELETE FROM public.t RETURNING a) SELECT * FROM d", SqlState::FEATURE_NOT_SUPPORTED),
        ("SELECT set_config('transaction_read_only', 'off', false) FROM public.w()", SqlState::READ_ONLY_SQL_TRANSACTION),
    ] {
        let e = run_text(&source, text).await.err().unwrap_or_else(|| panic!("accepted: {text}"));
        assert_eq!(e.state, state, "{text}: {e}");
        assert!(e.message.contains("connector \"shop\""), "{e}");
    }
    assert_eq!(pg.psql("SELECT count(*) FROM t").unwrap().trim(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_mean_in_a_text_what_they_mean_to_the_role() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t AS SELECT 1 AS a; CREATE SCHEMA own; CREATE TABLE own.t AS SELECT 2 AS a; CREATE EXTENSION citext").unwrap();
    let source = over(&pg, &[]);
    let text = "SELECT a, 'X'::citext = 'x'::citext AS same FROM t";
    assert_eq!(exact(&run_text(&source, text).await.unwrap(), 0), ["1"]);
    pg.psql("ALTER ROLE postgres SET search_path = own, public").unwrap();
    let source = over(&pg, &[]);
    let rows = run_text(&source, text).await.unwrap();
    assert_eq!((exact(&rows, 0), exact(&rows, 1)), (vec!["2".to_string()], vec!["true".to_string()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_leaves_no_settings_behind() {
    let pg = Postgres::start().unwrap();
    let source = over(&pg, &[("pool_size", "1")]);
    let pinned = "SELECT concat_ws(' ', current_setting('TimeZone'), current_setting('search_path'), current_setting('default_transaction_read_only'), \
                  current_setting('extra_float_digits'), current_setting('standard_conforming_strings'), current_setting('DateStyle'), \
                  current_setting('IntervalStyle'), current_setting('client_encoding'), current_setting('application_name'))";
    let before = exact(&run_text(&source, pinned).await.unwrap(), 0);
    assert_eq!(before, ["UTC \"$user\", public on 3 on ISO, YMD postgres UTF8 fjord"]);
    let poison = "SELECT set_config('TimeZone', 'Asia/Tokyo', false), set_config('search_path', 'evil', false), \
                  set_config('default_transaction_read_only', 'off', false), pg_advisory_lock(1)::text";
    run_text(&source, poison).await.unwrap();
    assert_eq!(exact(&run_text(&source, pinned).await.unwrap(), 0), before);
    // Not even a lock: it goes with the poisoned connection, whose server process may take a moment to end.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while exact(&run_text(&source, "SELECT pg_try_advisory_xact_lock(1)").await.unwrap(), 0) != ["true"] {
        assert!(std::time::Instant::now() < deadline, "the lock outlives its query");
    }
}
