//! What the tests of this crate share: a server, a connector over it, and a session over that.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::object_store::memory::InMemory;
use fjord_engine::session::{Session, SessionInfo};
use fjord_engine::source::{ConnectorType, OptionValues, Secret, Source};
use fjord_engine::{Engine, EngineConfig, Result, SqlError};
use fjord_harness::Mongo;
use fjord_mongodb::{MongoType, OPTIONS};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

/// A connector `docs` with these options.
pub fn connector(options: &[(&str, &str)]) -> Result<Arc<dyn Source>> {
    let (secret, plain): (Vec<_>, Vec<_>) = options.iter().partition(|(k, _)| matches!(*k, "url" | "password"));
    let plain: BTreeMap<String, String> = plain.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let secret = secret.into_iter().map(|(k, v)| (k.to_string(), Secret::new(v.to_string()))).collect();
    MongoType.open("docs", OptionValues::validate("mongodb", OPTIONS, &plain, secret)?)
}

/// A server with a connector `docs` and a session.
pub struct Bed {
    pub server: Mongo,
    pub session: Session,
}

impl Bed {
    /// A server that Python code has filled. `options` are more of CREATE CONNECTOR.
    pub async fn start(python: &str, options: &str) -> Bed {
        Bed::over(Mongo::start().unwrap(), python, options).await
    }

    pub async fn over(server: Mongo, python: &str, options: &str) -> Bed {
        server.python(python).unwrap();
        let session = session().await;
        let bed = Bed { server, session };
        bed.rows(&format!(
            "CREATE CONNECTOR docs TYPE mongodb OPTIONS (host '127.0.0.1', port {}, sslmode 'disable'{options})",
            bed.server.port()
        ))
        .await
        .unwrap();
        bed
    }

    pub async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        rows(&self.session, sql).await
    }

    pub async fn explain(&self, sql: &str) -> String {
        self.rows(&format!("EXPLAIN {sql}")).await.unwrap().join("\n")
    }

    /// Pushed and local rows are the same; gives them back. Sorted unless the query orders.
    pub async fn same(&self, sql: &str) -> Vec<String> {
        let pushed = self.rows(sql).await;
        self.rows("SET fjord.pushdown = off").await.unwrap();
        let local = self.rows(sql).await;
        self.rows("SET fjord.pushdown = on").await.unwrap();
        let (mut pushed, mut local) =
            (pushed.unwrap_or_else(|e| panic!("pushed: {sql}: {e:?}")), local.unwrap_or_else(|e| panic!("local: {sql}: {e:?}")));
        let shown = pushed.clone();
        if !sql.to_uppercase().contains("ORDER BY") {
            pushed.sort();
            local.sort();
        }
        assert_eq!(pushed, local, "{sql}\n{}", self.explain(sql).await);
        shown
    }
}

/// A session of an engine of its own.
pub async fn session() -> Session {
    let config = EngineConfig {
        store: Arc::new(InMemory::new()),
        data_dir: None,
        secret_key: None,
        memory_limit: 256 << 20,
        database: "fjord".into(),
        secret_root: None,
        allow_link_local: false,
    };
    let engine = Engine::open(config, vec![Arc::new(MongoType)]).await.unwrap();
    engine.session(SessionInfo {
        user: "ann".into(),
        database: "fjord".into(),
        application_name: "test".into(),
        client: String::new(),
        pid: 1,
    })
}

/// The rows of the last statement, columns separated by `|`.
pub async fn rows(session: &Session, sql: &str) -> Result<Vec<String>> {
    let mut out = vec![];
    for statement in fjord_engine::sql::parse(sql)? {
        let mut prepared = session.prepare(&statement, &[]).await?;
        // As by the simple protocol, which tells the columns with the rows.
        prepared.columns_told = false;
        let mut e = session.execute(&prepared, vec![], CancellationToken::new()).await?;
        out.clear();
        let Some(mut stream) = e.stream.take() else { continue };
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(SqlError::from)?;
            let options = FormatOptions::default().with_null("NULL");
            let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
            for i in 0..batch.num_rows() {
                out.push(columns.iter().map(|c| c.value(i).to_string()).collect::<Vec<_>>().join("|"));
            }
        }
    }
    Ok(out)
}

/// Waits for a condition, asked again and again; panics when it does not come.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain: {what}");
}
