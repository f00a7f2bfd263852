//! Getting in, and what happens when the server goes away: TLS modes, credentials, restarts, cut connections, a full pool, cancels.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use fjord_engine::source::{QueryScope, RemoteInput, RemoteRequest, RemoteStats, Source};
use fjord_engine::{Result, SqlError, SqlState};
use fjord_harness::tls::Certificates;
use fjord_harness::{FaultProxy, Mongo, MongoOptions, TempFolder, mongo};
use futures::{StreamExt, TryStreamExt};
use support::*;
use tokio_util::sync::CancellationToken;

const PING: &str = r#"{"ping": 1}"#;

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
        stats: RemoteStats::new("docs"),
        narrowing: None,
    }
}

fn over(port: u16, more: &[(&str, &str)]) -> Result<Arc<dyn Source>> {
    let port = port.to_string();
    let mut options = vec![("host", "127.0.0.1"), ("port", port.as_str())];
    for (name, value) in [("sslmode", "disable"), ("connect_timeout", "4s")] {
        if !more.iter().any(|(k, _)| *k == name) {
            options.push((name, value));
        }
    }
    options.extend_from_slice(more);
    connector(&options)
}

#[tokio::test(flavor = "multi_thread")]
async fn sslmodes_check_what_they_say() {
    let certificates = Certificates::get().unwrap();
    let (ca, wrong_ca) = (certificates.ca(), certificates.wrong_ca());
    let (ca, wrong_ca) = (ca.to_str().unwrap(), wrong_ca.to_str().unwrap());
    let right = Mongo::with(MongoOptions { tls: true, ..MongoOptions::default() }).unwrap();
    let other = Mongo::with(MongoOptions { tls: true, tls_wrong_host: true, ..MongoOptions::default() }).unwrap();
    for (server, mode, root, good) in [
        (&right, "require", None, true),
        (&right, "require", Some(ca), true),
        (&right, "require", Some(wrong_ca), false),
        (&right, "verify-full", Some(ca), true),
        (&right, "verify-full", None, false),
        (&right, "disable", None, false),
        (&other, "require", None, true),
        (&other, "verify-full", Some(ca), false),
    ] {
        let mut options = vec![("sslmode", mode)];
        options.extend(root.map(|r| ("sslrootcert", r)));
        match run(&over(server.port(), &options).unwrap(), PING).await {
            Ok(_) => assert!(good, "{mode} {root:?} was accepted"),
            Err(e) => {
                assert!(!good && e.state == SqlState::CONNECTION_UNABLE, "{mode} {root:?}: {e:?}");
                assert!(e.hint.as_deref().unwrap().contains("ssl"), "{e:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_by_password_and_by_certificate() {
    let certificates = Certificates::get().unwrap();
    let server = Mongo::with(MongoOptions { auth: true, tls: true, ..MongoOptions::default() }).unwrap();
    server
        .python(
            "c.d.t.insert_one({'_id': 1, 'a': 1}); c.e.t.insert_one({'_id': 1})
c.d.command('createUser', 'ann', pwd=\"it's secret é/:@\", roles=['read'])
c.admin.command('createUser', 'sha1', pwd='old', roles=['readAnyDatabase'], mechanisms=['SCRAM-SHA-1'])
c['$external'].command('createUser', 'CN=postgres', roles=[{'role': 'read', 'db': 'd'}])",
        )
        .unwrap();
    let folder = TempFolder::new("x509").unwrap();
    let pem = mongo::joined(&folder.path().join("client.pem"), &[certificates.client_cert(), certificates.client_key()]).unwrap();
    let ca = certificates.ca();
    let tls = [("sslmode", "verify-full"), ("sslrootcert", ca.to_str().unwrap())];
    let find = r#"{"find": "t", "$db": "d"}"#;
    let url = format!("mongodb://ann:it's%20secret%20%C3%A9%2F%3A%40@127.0.0.1:{}/?authSource=d&directConnection=true", server.port());
    for more in [
        &[("user", "ann"), ("password", "it's secret é/:@"), ("auth_source", "d")][..],
        &[("user", "ann"), ("password", "it's secret é/:@"), ("auth_source", "d"), ("auth_mechanism", "SCRAM-SHA-256")],
        &[("user", "sha1"), ("password", "old")],
        &[("user", "sha1"), ("password", "old"), ("replica_set", "rs0")],
        &[("sslcert", pem.to_str().unwrap())],
        &[("sslcert", pem.to_str().unwrap()), ("auth_mechanism", "MONGODB-X509")],
        &[("url", url.as_str())],
    ] {
        let source = over(server.port(), &[&tls[..], more].concat()).unwrap();
        assert_eq!(run(&source, find).await.unwrap_or_else(|e| panic!("{more:?}: {e:?}")), 1, "{more:?}");
    }
    for more in [
        &[("user", "ann"), ("password", "wrong secret"), ("auth_source", "d")][..],
        &[("user", "ann"), ("password", "it's secret é/:@")],
        &[("user", "nobody"), ("password", "wrong secret")],
    ] {
        let source = over(server.port(), &[&tls[..], more].concat()).unwrap();
        let e = run(&source, find).await.unwrap_err();
        assert_eq!(e.state, SqlState::INVALID_PASSWORD, "{more:?}: {e:?}");
        assert!(!format!("{e:?} {source:?}").contains("secret"), "{e:?}");
        let checks = source.validate().await;
        assert!(checks[0].error.is_some() && checks.iter().all(|c| !format!("{c:?}").contains("secret")), "{checks:?}");
    }
    // Nobody at all may look, but not read.
    let nobody = over(server.port(), &tls).unwrap();
    assert_eq!(run(&nobody, find).await.unwrap_err().state, SqlState::INSUFFICIENT_PRIVILEGE);
    // A user sees what it may read.
    let ann =
        over(server.port(), &[&tls[..], &[("user", "ann"), ("password", "it's secret é/:@"), ("auth_source", "d")]].concat()).unwrap();
    let schema = ann.introspect().await.unwrap();
    assert_eq!(schema.schemas.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["d"]);
    assert!(schema.table("d", "t").unwrap().unreadable.is_none());
    let e = run(&ann, r#"{"find": "t", "$db": "e"}"#).await.unwrap_err();
    assert_eq!(e.state, SqlState::INSUFFICIENT_PRIVILEGE, "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_says_what_is_wrong() {
    let server = Mongo::start().unwrap();
    server.python("c.d.t.insert_one({'a': 1})").unwrap();
    let outcome = async |options: &[(&str, &str)]| -> Vec<String> {
        let checks = over(server.port(), options).unwrap().validate().await;
        checks.iter().map(|c| format!("{} {:?}", c.name, c.status)).collect()
    };
    assert_eq!(outcome(&[]).await, ["connect Ok", "tls Warning", "version Ok", "read_catalog Ok", "tables Ok"]);
    assert_eq!(outcome(&[("include_databases", "none")]).await[4], "tables Warning");
    let failed = outcome(&[("user", "nobody"), ("password", "x")]).await;
    assert!(failed[0] == "connect Failed" && failed[1..].iter().all(|c| c.ends_with("Skipped")), "{failed:?}");
    for (port, options) in [(1, &[][..]), (server.port(), &[("replica_set", "other")])] {
        let e = run(&over(port, options).unwrap(), PING).await.unwrap_err();
        assert_eq!(e.state, SqlState::CONNECTION_UNABLE);
        assert!(e.message.contains("docs") && e.message.contains(&format!("127.0.0.1:{port}")), "{e}");
    }
    let metadata = connector(&[("host", "169.254.169.254"), ("sslmode", "disable")]).unwrap();
    assert_eq!(run(&metadata, PING).await.unwrap_err().state, SqlState::INSUFFICIENT_PRIVILEGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_server_is_read_too() {
    let server = Mongo::with(MongoOptions { standalone: true, ..MongoOptions::default() }).unwrap();
    let bed = Bed::over(server, "c.d.t.insert_many([{'_id': n, 'a': n} for n in range(100)])", "").await;
    assert_eq!(bed.same("SELECT sum(a), count(*) FROM docs.d.t WHERE a > 10").await, ["4895|89"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_survived_and_a_cut_connection_is_an_error_and_not_fewer_rows() {
    let mut server = Mongo::start().unwrap();
    server.python("c.d.t.insert_many([{'_id': n, 'x': 'x' * 200} for n in range(100000)])").unwrap();
    let many = r#"{"find": "t", "$db": "d"}"#;
    let source = over(server.port(), &[]).unwrap();
    assert_eq!(run(&source, PING).await.unwrap(), 1);
    server.restart().unwrap();
    assert_eq!(run(&source, PING).await.unwrap(), 1);

    let proxy = FaultProxy::start(server.port()).unwrap();
    let through = over(proxy.port(), &[]).unwrap();
    let schema = through.describe(many).await.unwrap();
    // All rows that come, and how it ends.
    let rest = async |mut stream: datafusion::execution::SendableRecordBatchStream| {
        let mut rows = 0;
        loop {
            match tokio::time::timeout(Duration::from_secs(60), stream.next()).await.unwrap() {
                Some(Ok(batch)) => rows += batch.num_rows(),
                Some(Err(e)) => return (rows, Some(SqlError::from(e))),
                None => return (rows, None),
            }
        }
    };
    let mut stream = through.execute(request(many, schema.clone(), CancellationToken::new())).unwrap();
    let first = stream.next().await.unwrap().unwrap().num_rows();
    proxy.cut_all();
    // A cursor outlives its connection: where none of its replies was on the way, the next is asked for by another.
    match rest(stream).await {
        (rows, None) => assert_eq!(first + rows, 100_000),
        (_, Some(e)) => assert_eq!(e.state, SqlState::CONNECTION_FAILURE, "{e:?}"),
    }
    assert_eq!(run(&through, PING).await.unwrap(), 1);
    let mut stream = through.execute(request(many, schema, CancellationToken::new())).unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    server.kill9();
    let e = rest(stream).await.1.expect("an error, not an end");
    assert!(matches!(e.state, SqlState::CONNECTION_FAILURE | SqlState::CONNECTION_UNABLE), "{e:?}");
    server.start_again().unwrap();
    assert_eq!(run(&through, PING).await.unwrap(), 1);

    // The cursor is killed there by somebody else.
    let schema = source.describe(many).await.unwrap();
    let mut stream = source.execute(request(many, schema, CancellationToken::new())).unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    server.python("c.admin.command('killAllSessions', [])").unwrap();
    let mut ended = None;
    while let Some(batch) = stream.next().await {
        if let Err(e) = batch {
            ended = Some(SqlError::from(e));
        }
    }
    assert!(ended.is_some(), "a short answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_says_so_and_a_cancel_reaches_the_server() {
    let server = Mongo::start().unwrap();
    server.python("c.d.t.insert_many([{'_id': n} for n in range(2000)])").unwrap();
    let source = over(server.port(), &[("pool_size", "1"), ("pool_timeout", "200ms")]).unwrap();
    let slow = r#"{"find": "t", "filter": {"$where": "sleep(100) || true"}, "$db": "d"}"#;
    let schema = source.describe(slow).await.unwrap();
    let running = async || {
        let code = "print(len([o for o in c.admin.aggregate([{'$currentOp': {}}]) if o.get('ns') == 'd.t']))";
        server.python(code).unwrap().trim().to_string()
    };
    for by_drop in [true, false] {
        let cancel = CancellationToken::new();
        let mut stream = source.execute(request(slow, schema.clone(), cancel.clone())).unwrap();
        let task = tokio::spawn(async move { stream.next().await.map(|r| r.map_err(SqlError::from)) });
        until("it runs", async || running().await == "1").await;
        let e = run(&source, PING).await.unwrap_err();
        assert_eq!(e.state, SqlState::TOO_MANY_CONNECTIONS);
        assert!(e.message.contains("1 of 1 in use"), "{e}");
        if by_drop {
            task.abort();
            let _ = task.await;
        } else {
            cancel.cancel();
            assert_eq!(task.await.unwrap().unwrap().unwrap_err().state, SqlState::QUERY_CANCELED);
        }
        until("it is killed", async || running().await == "0").await;
        until("the connection is free", async || source.pool().in_use == 0).await;
    }
    assert_eq!(run(&source, PING).await.unwrap(), 1);
    // A cursor that nobody reads any more is gone too.
    let many = r#"{"find": "t", "batchSize": 2, "$db": "d"}"#;
    let schema = source.describe(many).await.unwrap();
    let mut stream = source.execute(RemoteRequest { batch_rows: 2, ..request(many, schema, CancellationToken::new()) }).unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    let cursors = async || server.python("print(c.admin.command('serverStatus')['metrics']['cursor']['open']['total'])").unwrap();
    until("the cursor is closed", async || cursors().await.trim() == "0").await;
    let with_limit = slow.replace("\"$db\"", "\"maxTimeMS\": 500, \"$db\"");
    assert_eq!(run(&source, &with_limit).await.unwrap_err().state, SqlState::QUERY_CANCELED);
}
