//! Getting in, and what happens when the server goes away: TLS modes, credentials, restarts, cut connections, a full pool, cancels.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use fjord_engine::source::{CheckStatus, QueryScope, RemoteInput, RemoteRequest, RemoteStats, Source};
use fjord_engine::{Result, SqlError, SqlState};
use fjord_harness::tls::Certificates;
use fjord_harness::{FaultProxy, Flavor, MySql, MySqlOptions};
use futures::{StreamExt, TryStreamExt};
use support::*;
use tokio_util::sync::CancellationToken;

/// Runs a text as remote_query does: the number of rows.
async fn run(source: &Arc<dyn Source>, text: &str) -> Result<usize> {
    let schema = source.describe(text).await?;
    let batches = source.execute(request(text, schema, CancellationToken::new()))?.try_collect::<Vec<_>>().await.map_err(SqlError::from)?;
    Ok(batches.iter().map(|b| b.num_rows()).sum())
}

fn request(text: &str, schema: arrow::datatypes::SchemaRef, cancel: CancellationToken) -> RemoteRequest {
    RemoteRequest {
        input: RemoteInput::Text(text.into()),
        schema,
        scope: QueryScope::new(1, cancel),
        memory: Arc::new(datafusion::execution::memory_pool::UnboundedMemoryPool::default()),
        batch_rows: 1000,
        stats: RemoteStats::new("crm"),
        narrowing: None,
    }
}

fn over(port: u16, more: &[(&str, &str)]) -> Result<Arc<dyn Source>> {
    let port = port.to_string();
    let mut options = vec![("host", "127.0.0.1"), ("port", port.as_str())];
    if !more.iter().any(|(k, _)| *k == "user") {
        options.push(("user", "root"));
    }
    if !more.iter().any(|(k, _)| *k == "sslmode") {
        options.push(("sslmode", "disable"));
    }
    options.extend_from_slice(more);
    connector(&options)
}

#[tokio::test(flavor = "multi_thread")]
async fn sslmodes_mean_what_they_mean_in_libpq() {
    let certificates = Certificates::get().unwrap();
    let (ca, wrong_ca) = (certificates.ca(), certificates.wrong_ca());
    let (ca, wrong_ca) = (ca.to_str().unwrap(), wrong_ca.to_str().unwrap());
    for flavor in Flavor::ALL {
        let right = MySql::with(flavor, MySqlOptions { tls: true, ..MySqlOptions::default() }).unwrap();
        let other = MySql::with(flavor, MySqlOptions { tls: true, tls_wrong_host: true, ..MySqlOptions::default() }).unwrap();
        for (server, mode, root, good) in [
            (&right, "require", None, true),
            (&right, "require", Some(ca), true),
            (&right, "require", Some(wrong_ca), false),
            (&right, "verify-ca", Some(ca), true),
            (&right, "verify-ca", Some(wrong_ca), false),
            (&right, "verify-full", Some(ca), true),
            (&other, "require", None, true),
            (&other, "verify-ca", Some(ca), true),
            (&other, "verify-full", Some(ca), false),
        ] {
            let mut options = vec![("sslmode", mode)];
            if let Some(r) = root {
                options.push(("sslrootcert", r));
            }
            let source = over(server.port(), &options).unwrap();
            match run(&source, "SELECT VARIABLE_VALUE FROM performance_schema.session_status WHERE VARIABLE_NAME = 'Ssl_cipher'").await {
                Ok(_) => assert!(good, "{} {mode} {root:?} was accepted", flavor.name()),
                // MariaDB has it elsewhere, and off by default: it answered, which is all that is asked.
                Err(e) if e.state != SqlState::CONNECTION_UNABLE => assert!(good, "{} {mode} {root:?}: {e}", flavor.name()),
                Err(e) => {
                    assert!(!good, "{} {mode} {root:?}: {e}", flavor.name());
                    assert!(e.hint.as_deref().unwrap().contains("sslrootcert"), "{e:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_password_lets_in_and_a_wrong_one_does_not() {
    for flavor in Flavor::ALL {
        let server = MySql::with(flavor, MySqlOptions { tls: true, ..MySqlOptions::default() }).unwrap();
        let (users, sql) = match flavor {
            Flavor::MariaDb => (
                &["native", "ed"][..],
                "INSTALL SONAME 'auth_ed25519'; CREATE USER native IDENTIFIED VIA mysql_native_password USING PASSWORD('it''s secret é'); \
                 CREATE USER ed IDENTIFIED VIA ed25519 USING PASSWORD('it''s secret é'); \
                 GRANT SELECT ON *.* TO native; GRANT SELECT ON *.* TO ed;",
            ),
            Flavor::MySql => {
                (&["sha"][..], "CREATE USER sha IDENTIFIED WITH caching_sha2_password BY 'it''s secret é'; GRANT SELECT ON *.* TO sha;")
            }
        };
        server.sql(&format!("SET NAMES utf8mb4; {sql}")).unwrap();
        for user in users {
            // Without TLS first: caching_sha2_password sends the password encrypted by RSA, as the server does not know it yet. Then it knows it.
            for mode in ["disable", "disable", "require"] {
                let good = over(server.port(), &[("user", user), ("password", "it's secret é"), ("sslmode", mode)]).unwrap();
                assert_eq!(run(&good, "SELECT 1").await.unwrap_or_else(|e| panic!("{user} {mode}: {e:?}")), 1);
                for wrong in ["it's secret", "", "x"] {
                    let bad = over(server.port(), &[("user", user), ("password", wrong), ("sslmode", mode)]).unwrap();
                    let e = run(&bad, "SELECT 1").await.unwrap_err();
                    assert_eq!(e.state, SqlState::INVALID_PASSWORD, "{user} {mode}: {e:?}");
                    assert!(!format!("{e:?}").contains("secret"));
                }
            }
        }
        if flavor == Flavor::MySql {
            // The password itself, inside of TLS.
            server.sql("FLUSH PRIVILEGES").unwrap();
            let good = over(server.port(), &[("user", "sha"), ("password", "it's secret é"), ("sslmode", "require")]).unwrap();
            assert_eq!(run(&good, "SELECT 1").await.unwrap(), 1);
        }
    }
}

/// The name is looked at when it is connected to. This one is no address to us, and 169.254.169.254 to getaddrinfo.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_a_metadata_service_is_refused() {
    let source = connector(&[("host", "2852039166"), ("user", "root"), ("sslmode", "disable")]).unwrap();
    assert_eq!(run(&source, "SELECT 1").await.unwrap_err().state, SqlState::INSUFFICIENT_PRIVILEGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_says_what_is_wrong() {
    for flavor in Flavor::ALL {
        let server = MySql::start(flavor).unwrap();
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (a int)").unwrap();
        let outcome = async |options: &[(&str, &str)]| -> Vec<String> {
            let checks = over(server.port(), options).unwrap().validate().await;
            checks.iter().map(|c| format!("{} {:?}", c.name, c.status)).collect()
        };
        assert_eq!(outcome(&[]).await, ["connect Ok", "tls Warning", "version Ok", "read_catalog Ok", "tables Ok"], "{}", flavor.name());
        let failed = outcome(&[("user", "nobody"), ("password", "x")]).await;
        assert_eq!(failed[0], format!("connect {:?}", CheckStatus::Failed));
        assert!(failed[1..].iter().all(|c| c.ends_with("Skipped")), "{failed:?}");
        let source = over(server.port(), &[("database", "no_such")]).unwrap();
        assert_eq!(run(&source, "SELECT 1").await.unwrap_err().state, SqlState::INVALID_CATALOG_NAME);
    }
    let nobody = over(1, &[]).unwrap();
    let e = run(&nobody, "SELECT 1").await.unwrap_err();
    assert_eq!(e.state, SqlState::CONNECTION_UNABLE);
    assert!(e.message.contains("crm") && e.message.contains("127.0.0.1:1"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_survived_and_a_cut_connection_is_an_error_and_not_fewer_rows() {
    for flavor in Flavor::ALL {
        let mut server = MySql::start(flavor).unwrap();
        server
            .sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY AUTO_INCREMENT, x varchar(200)); INSERT INTO d.t (x) VALUES (repeat('x', 200)); \
                  INSERT INTO d.t (x) SELECT a.x FROM d.t a; INSERT INTO d.t (x) SELECT a.x FROM d.t a, d.t b, d.t c, (SELECT 1 UNION SELECT 2) z; \
                  INSERT INTO d.t (x) SELECT a.x FROM d.t a, d.t b, d.t c")
            .unwrap();
        let many = "SELECT a.id, a.x FROM d.t a, d.t b LIMIT 400000";
        let source = over(server.port(), &[]).unwrap();
        assert_eq!(run(&source, "SELECT 1").await.unwrap(), 1);
        server.restart().unwrap();
        assert_eq!(run(&source, "SELECT 1").await.unwrap(), 1, "{}", flavor.name());

        let proxy = FaultProxy::start(server.port()).unwrap();
        let through = over(proxy.port(), &[]).unwrap();
        let schema = through.describe(many).await.unwrap();
        let mut stream = through.execute(request(many, schema, CancellationToken::new())).unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        proxy.cut_all();
        let rest = async {
            loop {
                match stream.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(e)) => return Some(SqlError::from(e)),
                    None => return None,
                }
            }
        };
        let e = tokio::time::timeout(Duration::from_secs(20), rest).await.unwrap().expect("an error, not an end");
        assert_eq!(e.state, SqlState::CONNECTION_FAILURE, "{e:?}");
        assert_eq!(run(&through, "SELECT 1").await.unwrap(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_says_so_and_a_cancel_reaches_the_server() {
    for flavor in Flavor::ALL {
        let server = MySql::start(flavor).unwrap();
        let source = over(server.port(), &[("pool_size", "1"), ("pool_timeout", "200ms")]).unwrap();
        let slow = "SELECT sleep(60) AS s";
        let schema = source.describe(slow).await.unwrap();
        let running = async || server.sql("SELECT count(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT sleep%'").unwrap();
        for by_drop in [true, false] {
            let cancel = CancellationToken::new();
            let mut stream = source.execute(request(slow, schema.clone(), cancel.clone())).unwrap();
            let task = tokio::spawn(async move { stream.next().await.map(|r| r.map_err(SqlError::from)) });
            until("it runs", async || running().await == "1\n").await;
            let e = run(&source, "SELECT 1").await.unwrap_err();
            assert_eq!(e.state, SqlState::TOO_MANY_CONNECTIONS);
            assert!(e.message.contains("1 of 1 in use"), "{e}");
            if by_drop {
                task.abort();
                let _ = task.await;
            } else {
                cancel.cancel();
                let e = task.await.unwrap().unwrap().unwrap_err();
                assert_eq!(e.state, SqlState::QUERY_CANCELED);
            }
            until("it is killed", async || running().await == "0\n").await;
            until("the connection is free", async || source.pool().in_use == 0).await;
        }
        assert_eq!(run(&source, "SELECT 1").await.unwrap(), 1);
        let limited = over(server.port(), &[("statement_timeout", "2s")]).unwrap();
        let e =
            run(&limited, "SELECT count(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b, information_schema.COLUMNS c")
                .await;
        assert_eq!(e.unwrap_err().state, SqlState::QUERY_CANCELED, "{}", flavor.name());
    }
}
