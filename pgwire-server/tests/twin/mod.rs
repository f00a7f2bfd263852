//! A Postgres, its twin, and Fjord in front of the first.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)] // each test uses its part; a test that cannot go on panics

use std::path::PathBuf;

use fjord_harness::{FjordOptions, FjordServer, Postgres};

/// The tables that the corpus was recorded over.
pub const SHOP: &str = include_str!("../clients/shop.sql");
/// Identity and generated columns, checks, partitions, enums.
pub const MORE: &str = include_str!("../clients/more.sql");

/// The database `postgres` is the source of Fjord's connector `shop`. The database `twin` holds the same, in schemas that are named as Fjord exposes
/// those of the source (`public` is `shop`, `billing` is `shop__billing`): what a client sees of it is what it must see of Fjord.
pub struct Twin {
    pub postgres: Postgres,
    pub fjord: FjordServer,
}

impl Twin {
    /// With these tables.
    pub fn start(sql: &str) -> Twin {
        let postgres = Postgres::start().unwrap();
        postgres.psql(sql).unwrap();
        postgres.psql("CREATE DATABASE twin").unwrap();
        let twin = sql.replace("billing", "shop__billing").replace("public.", "shop.");
        postgres.psql_in("twin", &format!("CREATE SCHEMA shop; SET search_path = shop; {twin}")).unwrap();
        let options = FjordOptions { program: Some(PathBuf::from(env!("CARGO_BIN_EXE_fjord"))), ..FjordOptions::default() };
        let twin = Twin { postgres, fjord: FjordServer::with(options).unwrap() };
        twin.connect("shop", "postgres");
        twin
    }
    /// Makes a connector to the source, as one of its roles; it belongs to `postgres`, as the twin's tables do.
    pub fn connect(&self, name: &str, user: &str) {
        let made = format!(
            "CREATE CONNECTOR {name} TYPE postgres OPTIONS (host '127.0.0.1', port '{}', user '{user}', database 'postgres', sslmode 'disable')",
            self.postgres.port()
        );
        let mut command = std::process::Command::new("psql");
        command.args(["-X", "-q", "-h", "127.0.0.1", "-p", &self.fjord.port().to_string(), "-U", "postgres", "-d", "fjord", "-c", &made]);
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    /// The twin's URL.
    pub fn twin_url(&self) -> String {
        let url = self.postgres.url();
        format!("{}/twin", url.rsplit_once('/').unwrap().0)
    }
}
