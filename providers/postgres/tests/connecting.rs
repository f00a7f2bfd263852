//! Getting in: TLS modes, credentials, and what VALIDATE CONNECTOR says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use fjord_engine::source::{Check, CheckStatus, Source};
use fjord_engine::{SqlError, SqlState};
use fjord_harness::tls::Certificates;
use fjord_harness::{Auth, Postgres, PostgresOptions};
use support::*;

fn outcome(checks: &[Check]) -> Vec<String> {
    checks.iter().map(|c| format!("{} {:?}", c.name, c.status)).collect()
}

async fn ssl_in_use(source: &Arc<dyn Source>) -> Result<String, SqlError> {
    let sql = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(exact(&run_text(source, sql).await?, 0).join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn sslmodes_mean_what_they_mean_in_libpq() {
    let right = Postgres::with(PostgresOptions { tls: true, ..PostgresOptions::default() }).unwrap();
    let other = Postgres::with(PostgresOptions { tls: true, tls_wrong_host: true, ..PostgresOptions::default() }).unwrap();
    let certificates = Certificates::get().unwrap();
    let (ca, wrong_ca) = (certificates.ca(), certificates.wrong_ca());
    let (ca, wrong_ca) = (ca.to_str().unwrap(), wrong_ca.to_str().unwrap());
    for (pg, mode, root, good) in [
        (&right, "require", None, true),
        (&right, "require", Some(ca), true),
        // As in libpq: with a root certificate, require checks the chain.
        (&right, "require", Some(wrong_ca), false),
        (&right, "verify-ca", Some(ca), true),
        (&right, "verify-ca", Some(wrong_ca), false),
        // The operating system does not know our authority.
        (&right, "verify-ca", Some("system"), false),
        (&right, "verify-full", Some(ca), true),
        (&right, "verify-full", Some(wrong_ca), false),
        (&other, "require", None, true),
        (&other, "verify-ca", Some(ca), true),
        (&other, "verify-full", Some(ca), false),
    ] {
        let mut options = vec![("sslmode", mode)];
        if let Some(r) = root {
            options.push(("sslrootcert", r));
        }
        let port = pg.port().to_string();
        options.extend([("host", "127.0.0.1"), ("port", port.as_str()), ("user", "postgres")]);
        let source = match connector(&options) {
            Ok(s) => s,
            // A machine without any certificates of its own.
            Err(e) if root == Some("system") && e.state == SqlState::CONFIG_FILE_ERROR => continue,
            Err(e) => panic!("{e}"),
        };
        match ssl_in_use(&source).await {
            Ok(ssl) => assert!(good && ssl == "true", "{mode} {root:?} was accepted ({ssl})"),
            Err(e) => {
                assert!(!good, "{mode} {root:?}: {e}");
                assert_eq!(e.state, SqlState::CONNECTION_UNABLE, "{e}");
                assert!(e.hint.as_ref().unwrap().contains("sslrootcert"), "{e}");
            }
        }
    }
    assert_eq!(ssl_in_use(&over(&right, &[("sslmode", "disable")])).await.unwrap(), "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_required_unless_turned_off() {
    let pg = Postgres::start().unwrap();
    let port = pg.port().to_string();
    let source = connector(&[("host", "127.0.0.1"), ("port", &port), ("user", "postgres")]).unwrap();
    let e = run_text(&source, "SELECT 1").await.unwrap_err();
    assert_eq!(e.state, SqlState::CONNECTION_UNABLE);
    assert!(e.hint.unwrap().contains("sslmode 'disable'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown() {
    let pg = Postgres::with(PostgresOptions { tls: true, ..PostgresOptions::default() }).unwrap();
    let c = Certificates::get().unwrap();
    let (cert, key) = (c.client_cert(), c.client_key());
    let source = over(&pg, &[("sslmode", "require"), ("sslcert", cert.to_str().unwrap()), ("sslkey", key.to_str().unwrap())]);
    let sql = "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(exact(&run_text(&source, sql).await.unwrap(), 0), ["/CN=postgres"]);
    for (option, value) in [("sslrootcert", "/nowhere/ca.crt"), ("sslrootcert", key.to_str().unwrap())] {
        let e = connector(&[("sslmode", "verify-ca"), (option, value)]).unwrap_err();
        assert_eq!(e.state, SqlState::CONFIG_FILE_ERROR);
        assert!(e.message.contains(option) && e.message.contains(value), "{e}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_showing_it() {
    let pg = Postgres::with(PostgresOptions { auth: Auth::Password("right".into()), ..PostgresOptions::default() }).unwrap();
    assert_eq!(exact(&run_text(&over(&pg, &[("password", "right")]), "SELECT 1").await.unwrap(), 0), ["1"]);
    let source = over(&pg, &[("password", "hunter2")]);
    let e = run_text(&source, "SELECT 1").await.unwrap_err();
    assert_eq!(e.state, SqlState::INVALID_PASSWORD, "{e}");
    let checks = source.validate().await;
    for text in [e.to_string(), format!("{e:?}"), format!("{source:?}"), format!("{checks:?}"), source.location()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert_eq!(checks[0].error.as_ref().unwrap().state, SqlState::INVALID_PASSWORD);
    assert!(checks[1..].iter().all(|c| c.status == CheckStatus::Skipped), "{checks:?}");
    let e = run_text(&over(&pg, &[]), "SELECT 1").await.unwrap_err();
    assert_eq!(e.state, SqlState::INVALID_PASSWORD, "{e}");
    assert!(e.hint.unwrap().contains("\"password\""));
    let e = run_text(&over(&pg, &[("password", "right"), ("database", "nowhere")]), "SELECT 1").await.unwrap_err();
    assert_eq!(e.state, SqlState::INVALID_CATALOG_NAME, "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_bound_to_the_certificate() {
    let password = || Auth::Password("right".into());
    let tls = Postgres::with(PostgresOptions { tls: true, auth: password(), ..PostgresOptions::default() }).unwrap();
    let ask = async |pg: &Postgres, options: &[(&str, &str)]| run_text(&over(pg, options), "SELECT 1").await;
    // The driver takes no other way in with `require`, so this is SCRAM-SHA-256-PLUS.
    for binding in ["require", "prefer", "disable"] {
        let options = [("sslmode", "require"), ("password", "right"), ("channel_binding", binding)];
        assert_eq!(exact(&ask(&tls, &options).await.unwrap(), 0), ["1"], "{binding}");
        let e = ask(&tls, &[("sslmode", "require"), ("password", "wrong"), ("channel_binding", binding)]).await.unwrap_err();
        assert_eq!(e.state, SqlState::INVALID_PASSWORD, "{binding}: {e}");
    }
    // Servers that do not offer it: nothing is asked, or a password in the clear.
    let trusting = Postgres::with(PostgresOptions { tls: true, ..PostgresOptions::default() }).unwrap();
    let plain = Postgres::with(PostgresOptions { tls: true, auth: password(), ..PostgresOptions::default() }).unwrap();
    let hba = plain.psql("SHOW hba_file").unwrap();
    std::fs::write(hba.trim(), "local all all trust\nhost all all 127.0.0.1/32 password\n").unwrap();
    plain.psql("SELECT pg_reload_conf()").unwrap();
    for pg in [&trusting, &plain] {
        let e = ask(pg, &[("sslmode", "require"), ("password", "right"), ("channel_binding", "require")]).await.unwrap_err();
        assert_eq!(e.state, SqlState::INVALID_AUTHORIZATION, "{e}");
        assert!(e.message.contains("channel binding") && e.hint.as_ref().unwrap().contains("scram-sha-256"), "{e}");
        ask(pg, &[("sslmode", "require"), ("password", "right")]).await.unwrap();
    }
    // Nothing to bind to.
    let socket = tls.socket_folder().to_str().unwrap();
    for options in [&[("sslmode", "disable"), ("channel_binding", "require")][..], &[("host", socket), ("channel_binding", "require")]] {
        let e = connector(options).unwrap_err();
        assert_eq!(e.state, SqlState::INVALID_PARAMETER_VALUE);
        assert!(e.message.contains("needs an encrypted connection"), "{e}");
    }
}

/// `require` without a root certificate takes any certificate, so somebody can stand in between. The password's proof does not go through.
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_password_does_not_pass_one_who_stands_between() {
    let options = PostgresOptions { tls: true, auth: Auth::Password("right".into()), ..PostgresOptions::default() };
    let pg = Postgres::with(options).unwrap();
    let port = between(pg.port()).await.to_string();
    let through = async |binding: &str| {
        let options =
            [("host", "127.0.0.1"), ("port", port.as_str()), ("user", "postgres"), ("password", "right"), ("channel_binding", binding)];
        run_text(&connector(&options).unwrap(), "SELECT 1").await
    };
    assert_eq!(exact(&through("disable").await.unwrap(), 0), ["1"]);
    for binding in ["prefer", "require"] {
        let e = through(binding).await.unwrap_err();
        assert_eq!(e.state, SqlState::INVALID_AUTHORIZATION, "{e}");
        assert!(e.message.contains("channel binding"), "{e}");
    }
}

/// One who ends TLS with a certificate of another host, and speaks TLS to the server. Gives its port.
async fn between(server: u16) -> u16 {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let c = Certificates::get().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(c.other_host_cert()).unwrap()];
    let towards_client = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(c.other_host_key()).unwrap())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(c.ca()).unwrap()).unwrap();
    let towards_server = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (acceptor, connector) =
        (tokio_rustls::TlsAcceptor::from(Arc::new(towards_client)), tokio_rustls::TlsConnector::from(Arc::new(towards_server)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                // SSLRequest is eight bytes, its answer one.
                let mut request = [0; 8];
                client.read_exact(&mut request).await?;
                let mut upstream = tokio::net::TcpStream::connect(("127.0.0.1", server)).await?;
                upstream.write_all(&request).await?;
                let mut answer = [0; 1];
                upstream.read_exact(&mut answer).await?;
                client.write_all(&answer).await?;
                let mut client = acceptor.accept(client).await?;
                let mut upstream = connector.connect(ServerName::try_from("localhost").unwrap(), upstream).await?;
                tokio::io::copy_bidirectional(&mut client, &mut upstream).await
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_goes_step_by_step() {
    let pg = Postgres::with(PostgresOptions { tls: true, ..PostgresOptions::default() }).unwrap();
    let c = Certificates::get().unwrap();
    let ca = c.ca();
    let strict = over(&pg, &[("sslmode", "verify-full"), ("sslrootcert", ca.to_str().unwrap())]);
    let names = ["connect Ok", "tls Ok", "version Ok", "encoding Ok", "read_only Ok", "read_catalog Ok"];
    let checks = strict.validate().await;
    assert_eq!(outcome(&checks)[..6], names);
    // An empty database is allowed, but probably not what was meant.
    assert_eq!(outcome(&checks)[6], "tables Warning");
    pg.psql("CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE ROLE reader LOGIN; GRANT SELECT ON a TO reader; CREATE SCHEMA hidden; CREATE TABLE hidden.c (x int)").unwrap();
    let checks = over(&pg, &[]).validate().await;
    assert_eq!(outcome(&checks)[1], "tls Warning");
    assert_eq!(outcome(&checks)[6], "tables Ok");
    let checks = over(&pg, &[("user", "reader")]).validate().await;
    assert_eq!(checks[6].detail, "1 of 3 can be read");
    assert!(checks[6].hint.as_ref().unwrap().contains("GRANT SELECT"));
    let checks = connector(&[("host", "127.0.0.1"), ("port", "1"), ("sslmode", "disable")]).unwrap().validate().await;
    assert_eq!(checks[0].error.as_ref().unwrap().state, SqlState::CONNECTION_UNABLE);
    assert_eq!(checks.len(), 7);
}

/// The name is looked at when it is connected to. This one is no address to us, and 169.254.169.254 to getaddrinfo.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_a_metadata_service_is_refused() {
    let source = connector(&[("host", "2852039166"), ("sslmode", "disable")]).unwrap();
    let e = run_text(&source, "SELECT 1").await.unwrap_err();
    assert_eq!(e.state, SqlState::INSUFFICIENT_PRIVILEGE, "{e}");
    assert!(e.message.contains("\"2852039166\""), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_and_urls() {
    let pg = Postgres::start().unwrap();
    let (folder, port) = (pg.socket_folder().to_str().unwrap(), pg.port().to_string());
    let source = connector(&[("host", folder), ("port", &port), ("user", "postgres")]).unwrap();
    assert_eq!(exact(&run_text(&source, "SELECT 1").await.unwrap(), 0), ["1"]);
    let source = connector(&[("url", &format!("{}?sslmode=disable", pg.url()))]).unwrap();
    assert_eq!(exact(&run_text(&source, "SELECT current_database()::text").await.unwrap(), 0), ["postgres"]);
    source.close().await;
    assert_eq!(run_text(&source, "SELECT 1").await.unwrap_err().state, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
}
