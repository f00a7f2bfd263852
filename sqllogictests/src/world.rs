//! What the fault tests share: a Postgres, a proxy that can misbehave before it, and a Fjord whose connector `pg` goes through the proxy.

use std::future::Future;
use std::time::{Duration, Instant};

use fjord_harness::{Error, FaultProxy, FjordOptions, FjordServer, Postgres, Result};
use tokio_postgres::Client;

use crate::runner::APP_PASSWORD;

/// How long a condition may take to come true. Long, because test machines are busy; no test that passes waits so long.
pub const SOON: Duration = Duration::from_secs(30);

const SOURCE: &str = "
CREATE TABLE numbers AS SELECT i AS id, 'row ' || i AS note, repeat('x', 50) AS filler FROM generate_series(1, 5000) AS i;
ALTER TABLE numbers ADD PRIMARY KEY (id);
CREATE TABLE big AS SELECT i AS id, repeat(md5(i::text), 8) AS filler FROM generate_series(1, 200000) AS i;
-- A row each 20 ms, for minutes: what is to be interrupted. The sleep is volatile, so that no planner leaves it out.
CREATE VIEW slow AS SELECT i AS id, pg_sleep(0.02)::text AS slept FROM generate_series(1, 10000) AS i;
ANALYZE;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO app;
";

/// The servers of one test.
pub struct World {
    /// The source.
    pub postgres: Postgres,
    /// Between Fjord and the source.
    pub proxy: FaultProxy,
    /// The server under test.
    pub fjord: FjordServer,
}

impl World {
    /// Starts them and creates the connector with further options (`, name value` each).
    pub fn start(options: &str) -> Result<World> {
        let postgres = Postgres::with(fjord_harness::PostgresOptions {
            auth: fjord_harness::Auth::Password("superuser".into()),
            ..fjord_harness::PostgresOptions::default()
        })?;
        postgres.psql(&format!("CREATE ROLE app LOGIN PASSWORD '{}';{SOURCE}", APP_PASSWORD.replace('\'', "''")))?;
        let proxy = FaultProxy::start(postgres.port())?;
        let fjord = FjordServer::with(FjordOptions { env: vec![("APP_PASSWORD".into(), APP_PASSWORD.into())], ..FjordOptions::default() })?;
        let world = World { postgres, proxy, fjord };
        world.fjord.psql("CREATE SECRET app_password FROM ENV 'APP_PASSWORD'")?;
        world.fjord.psql(&world.create_connector("pg", options))?;
        Ok(world)
    }

    /// The statement that creates a connector through the proxy.
    pub fn create_connector(&self, name: &str, options: &str) -> String {
        format!(
            "CREATE CONNECTOR {name} TYPE postgres OPTIONS (host '127.0.0.1', port {}, database 'postgres', user 'app', password SECRET app_password, \
             sslmode 'disable'{options})",
            self.proxy.port()
        )
    }

    /// How many queries of Fjord's run at the source at this moment.
    pub fn active_at_source(&self) -> Result<usize> {
        let count = self.postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'active'")?;
        count.trim().parse().map_err(Error::at("pg_stat_activity"))
    }

    /// Waits until so many of Fjord's queries run at the source.
    pub async fn wait_until_active(&self, count: usize) -> Result<()> {
        eventually(&format!("{count} active queries at the source"), || async { Ok(self.active_at_source()? == count) }).await
    }

    /// Ends all of Fjord's sessions at the source.
    pub fn terminate_sessions(&self) -> Result<()> {
        self.postgres.psql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'app'").map(|_| ())
    }
}

/// Waits until a condition that nobody announces comes true.
pub async fn eventually<F: Future<Output = Result<bool>>>(what: &str, mut condition: impl FnMut() -> F) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while !condition().await? {
        if Instant::now() >= deadline {
            return Err(Error::new(format!("still not so after {SOON:?}: {what}")));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The SQLSTATE of an error, or an empty text where the connection itself broke.
pub fn code(e: &tokio_postgres::Error) -> String {
    e.code().map(|c| c.code().to_string()).unwrap_or_default()
}

/// What an error says, with all its parts.
pub fn words(e: &tokio_postgres::Error) -> String {
    e.as_db_error().map_or_else(
        || e.to_string(),
        |d| format!("{}: {} {} {}", d.code().code(), d.message(), d.detail().unwrap_or(""), d.hint().unwrap_or("")),
    )
}

/// The one number a query gives.
pub async fn number(client: &Client, sql: &str) -> Result<i64, tokio_postgres::Error> {
    client.query_one(sql, &[]).await.map(|row| row.get(0))
}
