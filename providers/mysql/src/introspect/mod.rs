//! Introspection: the source's catalog in one pass over `information_schema`.

mod assemble;
mod queries;

use std::sync::Arc;

use fjord_engine::Result;
use fjord_engine::source::SourceCatalog;

use crate::error::Origin;
use crate::facts::Facts;
use crate::options::MySqlOptions;
use crate::pool::Pool;
use crate::render::text_literal;
use crate::types::Collations;
use crate::wire::{Conn, Fault, ServerFacts};

/// Databases of the server itself.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// What a pass brings back.
pub(crate) struct Introspection {
    /// For the engine.
    pub catalog: SourceCatalog,
    /// For the check that nothing has changed since.
    pub facts: Facts,
}

/// Reads everything.
pub(crate) async fn introspect(pool: &Arc<Pool>, origin: &Origin, options: &MySqlOptions) -> Result<Introspection> {
    let which = condition(options)?;
    let mut connection = pool.acquire_alive().await?;
    let server = pool.facts().unwrap_or_default();
    connection.busy = true;
    let found = read(connection.conn()?, &which, &server).await.map_err(|e| origin.running(&e))?;
    connection.busy = false;
    connection.release();
    let (mut catalog, facts) = assemble::assemble(&found, options);
    catalog.server_version = server.product();
    Ok(Introspection { catalog, facts })
}

/// The databases that are wanted, as a condition on the column [`queries::COLUMN`].
fn condition(options: &MySqlOptions) -> Result<String> {
    let list = |names: &mut dyn Iterator<Item = &str>| names.map(text_literal).collect::<Result<Vec<_>>>().map(|n| n.join(", "));
    if !options.include_schemas.is_empty() {
        return Ok(format!("{} IN ({})", queries::COLUMN, list(&mut options.include_schemas.iter().map(String::as_str))?));
    }
    if options.system_schemas {
        return Ok("1 = 1".into());
    }
    Ok(format!("{} NOT IN ({})", queries::COLUMN, list(&mut SYSTEM.into_iter())?))
}

async fn read(conn: &mut Conn, which: &str, server: &ServerFacts) -> Result<assemble::Rows, Fault> {
    if !server.mariadb {
        // Otherwise MySQL answers with row counts of up to a day ago.
        conn.query("SET SESSION information_schema_stats_expiry = 0").await?;
    }
    let mut collations = Collations::new();
    for row in conn.query(queries::collations(server.mariadb)).await? {
        collations.insert(row.owned(0), row.text(1).map(|p| p != "NO PAD"));
    }
    Ok(assemble::Rows {
        collations,
        schemas: conn.query(&queries::schemas(which)).await?,
        tables: conn.query(&queries::tables(which)).await?,
        columns: conn.query(&queries::columns(which)).await?,
        indexes: conn.query(&queries::indexes(which)).await?,
        foreign_keys: conn.query(&queries::foreign_keys(which)).await?,
    })
}
