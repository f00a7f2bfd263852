//! What DESCRIBE and VALIDATE CONNECTOR say, word for word.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use fjord_sqllogictests::world::World;

#[tokio::test]
async fn a_connector_is_described_and_validated() {
    let world = World::start("").unwrap();
    let version = world.postgres.psql("SHOW server_version").unwrap();
    let port = world.proxy.port().to_string();
    let said = |sql: &str| {
        let text = world.fjord.psql(sql).unwrap();
        text.replace(version.trim(), "VERSION").replace(&port, "PORT").lines().map(str::to_string).collect::<Vec<_>>()
    };
    let described = said("DESCRIBE CONNECTOR pg");
    // How many connections idle is the pool's affair.
    let (pool, described): (Vec<_>, Vec<_>) = described.into_iter().partition(|l| l.starts_with("pool|"));
    assert!(pool[0].contains("0 in use") && pool[0].ends_with("8 at most"), "{pool:?}");
    assert_eq!(
        described,
        [
            "name|pg",
            "type|postgres",
            "mode|federation",
            "owner|fjord",
            "comment|",
            "location|127.0.0.1:PORT/postgres",
            "status|running",
            "last_error|",
            "server_version|PostgreSQL VERSION",
            "default_schema|public",
            "schema public|3 tables",
            "option database|postgres",
            "option host|127.0.0.1",
            "option password|SECRET app_password",
            "option port|PORT",
            "option sslmode|disable",
            "option user|app",
        ]
    );
    assert_eq!(
        said("VALIDATE CONNECTOR pg"),
        [
            "connect|ok|connected to 127.0.0.1:PORT/postgres as app|",
            "tls|warning|sslmode disable: passwords and rows travel unencrypted|Use sslmode 'verify-full' over a network.",
            "version|ok|PostgreSQL VERSION|",
            "encoding|ok|UTF8|",
            "read_only|ok|sessions are read-only|",
            "read_catalog|ok|1 schemas, 3 tables|",
            "tables|ok|all 3 can be read|",
        ]
    );
}
