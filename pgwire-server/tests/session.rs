//! Transactions, cursors, prepared statements, settings, COPY: what a session remembers, as PostgreSQL 15 answers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Running, script};

/// Runs lines of `statement => answer` in one session.
async fn check(lines: &[(&str, &str)]) {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    for (sql, want) in lines {
        assert_eq!(raw.run(sql).await, *want, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_states() {
    check(&[
        ("begin", "C(BEGIN) Z(T)"),
        ("begin", "N(25001) C(BEGIN) Z(T)"),
        ("select nope", "E(42703) Z(E)"),
        ("select 1", "E(25P02) Z(E)"),
        ("begin", "E(25P02) Z(E)"),
        ("commit", "C(ROLLBACK) Z(I)"),
        ("commit", "N(25P01) C(COMMIT) Z(I)"),
        ("rollback", "N(25P01) C(ROLLBACK) Z(I)"),
        ("start transaction isolation level serializable, read only", "C(START TRANSACTION) Z(T)"),
        ("end", "C(COMMIT) Z(I)"),
        ("begin; select 1; commit; select 2", "C(BEGIN) T D(1) C(SELECT 1) C(COMMIT) T D(2) C(SELECT 1) Z(I)"),
        ("select 1; begin", "T D(1) C(SELECT 1) C(BEGIN) Z(T)"),
        ("abort", "C(ROLLBACK) Z(I)"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints() {
    check(&[
        ("savepoint a", "E(25P01) Z(I)"),
        ("release a", "E(25P01) Z(I)"),
        ("rollback to a", "E(25P01) Z(I)"),
        ("begin; savepoint a; savepoint b", "C(BEGIN) C(SAVEPOINT) C(SAVEPOINT) Z(T)"),
        ("select nope", "E(42703) Z(E)"),
        ("savepoint c", "E(25P02) Z(E)"),
        ("rollback to savepoint a", "C(ROLLBACK) Z(T)"),
        ("release b", "E(3B001) Z(E)"),
        ("rollback to a", "C(ROLLBACK) Z(T)"),
        ("release savepoint a", "C(RELEASE) Z(T)"),
        ("rollback to a", "E(3B001) Z(E)"),
        ("rollback", "C(ROLLBACK) Z(I)"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors() {
    check(&[
        ("declare c cursor for select 1", "E(25P01) Z(I)"),
        ("begin", "C(BEGIN) Z(T)"),
        ("declare c cursor for values (1), (2), (3), (4)", "C(DECLARE CURSOR) Z(T)"),
        ("fetch c", "T D(1) C(FETCH 1) Z(T)"),
        ("fetch 0 from c", "T C(FETCH 0) Z(T)"),
        ("move 1 in c", "C(MOVE 1) Z(T)"),
        ("fetch forward all from c", "T D(3) D(4) C(FETCH 2) Z(T)"),
        ("fetch next from c", "T C(FETCH 0) Z(T)"),
        ("close c", "C(CLOSE CURSOR) Z(T)"),
        ("savepoint a", "C(SAVEPOINT) Z(T)"),
        ("fetch c", "E(34000) Z(E)"),
        ("rollback to a", "C(ROLLBACK) Z(T)"),
        ("declare d cursor for select 1", "C(DECLARE CURSOR) Z(T)"),
        ("rollback to a; fetch d", "C(ROLLBACK) E(34000) Z(E)"),
        ("rollback", "C(ROLLBACK) Z(I)"),
        // A text of several statements counts as a transaction.
        ("declare c cursor for select 1; fetch c", "C(DECLARE CURSOR) T D(1) C(FETCH 1) Z(I)"),
        ("fetch c", "E(34000) Z(I)"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_with_hold() {
    check(&[
        ("declare h cursor with hold for values (1), (2), (3)", "C(DECLARE CURSOR) Z(I)"),
        ("fetch 2 from h", "T D(1) D(2) C(FETCH 2) Z(I)"),
        // A later transaction that is rolled back does not take it.
        ("begin; rollback", "C(BEGIN) C(ROLLBACK) Z(I)"),
        ("fetch all from h", "T D(3) C(FETCH 1) Z(I)"),
        ("close all", "C(CLOSE CURSOR ALL) Z(I)"),
        ("begin; declare h cursor with hold for select 1; rollback", "C(BEGIN) C(DECLARE CURSOR) C(ROLLBACK) Z(I)"),
        ("fetch h", "E(34000) Z(I)"),
        // More than a held cursor may keep: COMMIT says so and rolls back.
        ("begin; declare h cursor with hold for select * from generate_series(1, 100000000) as t(x)", "C(BEGIN) C(DECLARE CURSOR) Z(T)"),
        ("commit", "E(53400) Z(I)"),
        ("fetch h", "E(34000) Z(I)"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prepare_and_execute_share_names_with_the_protocol() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    assert_eq!(raw.run("prepare p (int, text) as select $1 + 1, $2").await, "C(PREPARE) Z(I)");
    assert_eq!(raw.run("execute p (41, 'it''s')").await, "T D(42,it's) C(SELECT 1) Z(I)");
    assert_eq!(raw.run("execute p (40 + 1, 'a' || 'b')").await, "T D(42,ab) C(SELECT 1) Z(I)");
    assert_eq!(raw.run("execute p ('7', null)").await, "T D(8,NULL) C(SELECT 1) Z(I)");
    assert_eq!(raw.run("execute p ('x', null)").await, "E(22P02) Z(I)");
    assert_eq!(raw.run("execute p (1)").await, "E(42601) Z(I)");
    assert_eq!(raw.run("prepare p as select 1").await, "E(42P05) Z(I)");
    raw.describe(b'S', "p").bind("", "p", &[], &[Some(b"1"), Some(b"z")], &[]).execute("", 0).sync();
    assert_eq!(script(&raw.round().await), "t T 2 D(2,z) C(SELECT 1) Z(I)");
    raw.parse("q", "select 5", &[]).sync();
    raw.round().await;
    assert_eq!(raw.run("execute q").await, "T D(5) C(SELECT 1) Z(I)");
    assert_eq!(raw.run("deallocate q").await, "C(DEALLOCATE) Z(I)");
    assert_eq!(raw.run("execute q").await, "E(26000) Z(I)");
    assert_eq!(raw.run("deallocate all").await, "C(DEALLOCATE ALL) Z(I)");
    assert_eq!(raw.run("execute p (1, 'x')").await, "E(26000) Z(I)");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_follow_the_transaction() {
    check(&[
        ("set timezone = 'Europe/Oslo'", "C(SET) Z(I)"),
        ("show timezone", "T D(Europe/Oslo) C(SHOW) Z(I)"),
        ("begin; set timezone = 'Asia/Tokyo'; rollback", "C(BEGIN) C(SET) C(ROLLBACK) Z(I)"),
        ("show timezone", "T D(Europe/Oslo) C(SHOW) Z(I)"),
        ("begin; set timezone = 'Asia/Tokyo'; commit", "C(BEGIN) C(SET) C(COMMIT) Z(I)"),
        ("show timezone", "T D(Asia/Tokyo) C(SHOW) Z(I)"),
        ("begin; set local timezone = 'UTC'; show timezone; commit", "C(BEGIN) C(SET) T D(UTC) C(SHOW) C(COMMIT) Z(I)"),
        ("show timezone", "T D(Asia/Tokyo) C(SHOW) Z(I)"),
        ("set local timezone = 'UTC'", "N(25P01) C(SET) Z(I)"),
        ("show timezone", "T D(Asia/Tokyo) C(SHOW) Z(I)"),
        (
            "begin; savepoint a; set timezone = 'UTC'; rollback to a; show timezone; commit",
            "C(BEGIN) C(SAVEPOINT) C(SET) C(ROLLBACK) T D(Asia/Tokyo) C(SHOW) C(COMMIT) Z(I)",
        ),
        // A text of several statements is one transaction: an error takes the SET back.
        ("set timezone = 'UTC'; select nope", "C(SET) E(42703) Z(I)"),
        ("show timezone", "T D(Asia/Tokyo) C(SHOW) Z(I)"),
        ("begin", "C(BEGIN) Z(T)"),
        ("discard all", "E(25001) Z(E)"),
        ("rollback", "C(ROLLBACK) Z(I)"),
        ("discard all", "C(DISCARD ALL) Z(I)"),
        ("set nonsense_setting = 1", "E(42704) Z(I)"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_setting_is_reported_when_it_changes() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.query("set application_name = 'later'").send().await;
    let mut status = None;
    loop {
        let m = raw.next().await.unwrap();
        match m.tag {
            b'S' => status = Some(String::from_utf8(m.body.to_vec()).unwrap()),
            b'Z' => break,
            _ => {}
        }
    }
    assert_eq!(status.as_deref(), Some("application_name\0later\0"));
    let pid = raw.pid;
    let entry = s.server.sessions.list().into_iter().find(|e| e.pid == pid).unwrap();
    assert_eq!(entry.activity().application_name, "later");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_to_stdout() {
    check(&[
        ("copy (values (1, 'a'), (2, null)) to stdout", "H d(1\ta\n) d(2\t\\N\n) c C(COPY 2) Z(I)"),
        ("copy (select 1 as a, 'x,y' as b) to stdout with (format csv, header)", "H d(a,b\n) d(1,\"x,y\"\n) c C(COPY 1) Z(I)"),
        ("copy (select nope) to stdout", "E(42703) Z(I)"),
        ("listen x; unlisten *; notify x", "C(LISTEN) C(UNLISTEN) C(NOTIFY) Z(I)"),
    ])
    .await;
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.query("copy (select 'hi') to stdout (format binary)");
    let all = raw.round().await;
    let data: Vec<u8> = all.iter().filter(|m| m.tag == b'd').flat_map(|m| m.body.to_vec()).collect();
    assert_eq!(data, b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x02hi\xff\xff");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokio_postgres_works_with_it() {
    let s = Running::start().await;
    let mut client = s.client().await;
    let row = client.query_one("select $1::int8 + 1, $2::text", &[&41i64, &"x"]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (42, "x"));
    let row = client.query_one("select 1, -7 as a, 2147483648 limit 1", &[]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1), row.get::<_, i64>(2)), (1, -7, 2_147_483_648));
    let tx = client.transaction().await.unwrap();
    let portal = tx.bind("select * from generate_series(1, 10) as t(x)", &[]).await.unwrap();
    assert_eq!(tx.query_portal(&portal, 4).await.unwrap().len(), 4);
    assert_eq!(tx.query_portal(&portal, 0).await.unwrap().len(), 6);
    tx.commit().await.unwrap();
    let e = client.query("select nope", &[]).await.unwrap_err();
    assert_eq!(e.code().unwrap().code(), "42703");
    let cancel = client.cancel_token();
    // Prepared before, so that "active" below means that it is being executed: a cancel between two messages hits nothing, as in Postgres.
    let statement = client.prepare("select count(*) from generate_series(1, 100000000000)").await.unwrap();
    client.simple_query("").await.unwrap(); // prepare() returns before ReadyForQuery has come
    let running = client.query(&statement, &[]);
    let (result, ()) = tokio::join!(running, async {
        s.until("it runs", |server| server.sessions.list().iter().any(|e| e.activity().state.as_str() == "active")).await;
        cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    });
    assert_eq!(result.unwrap_err().code().unwrap().code(), "57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_as_unsupported_is_remembered() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    assert!(raw.run("create table t (a int)").await.starts_with("E("));
    raw.parse("", "create table u (a int)", &[]).sync();
    raw.round().await;
    let got = raw.run("select query from sys.unsupported_queries order by query").await;
    assert!(got.starts_with("T D(create table t (a int)) D(create table u (a int)) C"), "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_in_psql_cancels() {
    let s = Running::start().await;
    let mut psql = std::process::Command::new("psql");
    psql.args(["-X", "-h", "127.0.0.1", "-p", &s.address.port().to_string(), "-U", "fjord", "-d", "fjord"]);
    psql.args(["-c", "select count(*) from generate_series(1, 100000000000)"]);
    let child = psql.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    s.until("it runs", |server| server.sessions.list().iter().any(|e| e.activity().state.as_str() == "active")).await;
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let out = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(error.contains("canceling statement due to user request"), "{error}");
    s.until("the session has ended", |server| server.sessions.is_empty()).await;
}
