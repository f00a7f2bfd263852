//! Introspection: the source's catalog in one pass and one snapshot.

mod assemble;
mod queries;

use std::collections::HashMap;
use std::sync::Arc;

use fjord_engine::Result;
use fjord_engine::source::SourceCatalog;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::error::Origin;
use crate::facts::Facts;
use crate::options::PostgresOptions;
use crate::pool::{Pool, ServerFacts};
use crate::types::{CollationRow, DatabaseFacts, TypeRow, Types};

/// A value with its type: told, so that the server is not asked and no statement needs a name.
type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// What a pass brings back.
pub(crate) struct Introspection {
    /// For the engine.
    pub catalog: SourceCatalog,
    /// For `remote_query`, whose columns may have any type.
    pub types: Arc<Types>,
    /// For the check that nothing has changed since.
    pub facts: Facts,
}

/// Reads everything. The rows come from a server: a cell of an unexpected type is an error, as in `?` on the driver's error.
pub(crate) async fn introspect(pool: &Arc<Pool>, origin: &Origin, options: &PostgresOptions) -> Result<Introspection> {
    let connection = pool.acquire_alive().await?;
    let begin = pool.begin("ISOLATION LEVEL REPEATABLE READ");
    let found = read(connection.client()?, &begin, options, pool.facts()).await.map_err(|e| origin.running(&e))?;
    connection.release();
    Ok(found)
}

async fn read(
    client: &Client,
    begin: &str,
    options: &PostgresOptions,
    server: Option<ServerFacts>,
) -> Result<Introspection, tokio_postgres::Error> {
    // A table that somebody is rebuilding must not hold the whole pass up: some definition functions of newer servers lock.
    client.batch_execute(&format!("{begin}; SET LOCAL lock_timeout = '10s'; SET LOCAL jit = off")).await?;
    let system: [Parameter<'_>; 1] = [(&options.system_schemas, Type::BOOL)];
    let (schemas, types) = tokio::try_join!(client.query_typed(queries::SCHEMAS, &system), read_types(client))?;
    let mut wanted: Vec<(i64, String)> = vec![];
    for row in &schemas {
        let name: String = row.try_get(1)?;
        if options.include_schemas.is_empty() || options.include_schemas.contains(&name) {
            wanted.push((row.try_get(0)?, name));
        }
    }
    let oids: Vec<i64> = wanted.iter().map(|w| w.0).collect();
    let names: Vec<&str> = wanted.iter().map(|w| w.1.as_str()).collect();
    let (oids, names): ([Parameter<'_>; 1], [Parameter<'_>; 1]) = ([(&oids, Type::INT8_ARRAY)], [(&names, Type::TEXT_ARRAY)]);
    let (relations, columns, constraints, indexes, statistics) = tokio::try_join!(
        client.query_typed(queries::RELATIONS, &oids),
        client.query_typed(queries::COLUMNS, &oids),
        client.query_typed(queries::CONSTRAINTS, &oids),
        client.query_typed(queries::INDEXES, &oids),
        client.query_typed(queries::STATISTICS, &names),
    )?;
    client.batch_execute("COMMIT").await?;
    let rows = assemble::Rows { schemas, relations, columns, constraints, indexes, statistics };
    let (mut catalog, facts) = assemble::assemble(&rows, &types, options)?;
    catalog.server_version = server.map_or_else(|| "PostgreSQL".into(), |f| format!("PostgreSQL {}", f.version));
    Ok(Introspection { catalog, types: Arc::new(types), facts })
}

/// Types, collations and the database's own: what a column's mapping needs.
pub(crate) async fn read_types(client: &Client) -> Result<Types, tokio_postgres::Error> {
    let (types, collations, database) = tokio::try_join!(
        client.query_typed(queries::TYPES, &[]),
        client.query_typed(queries::COLLATIONS, &[]),
        client.query_typed(queries::DATABASE, &[]),
    )?;
    let mut out = Types::default();
    for row in &types {
        out.rows.insert(oid(row, 0)?, type_row(row)?);
    }
    for row in &collations {
        let c = CollationRow { name: row.try_get(1)?, provider: first(row, 2)?, deterministic: row.try_get(3)?, locale: row.try_get(4)? };
        out.collations.insert(oid(row, 0)?, c);
    }
    if let Some(row) = database.first() {
        let encoding: String = row.try_get(0)?;
        out.database = DatabaseFacts { utf8: encoding == "UTF8", provider: first(row, 1)?, locale: row.try_get(2)? };
    }
    Ok(out)
}

fn type_row(row: &Row) -> Result<TypeRow, tokio_postgres::Error> {
    Ok(TypeRow {
        name: row.try_get(1)?,
        built_in: row.try_get(2)?,
        display: row.try_get(3)?,
        kind: first(row, 4)?,
        array: row.try_get(5)?,
        element: oid(row, 6)?,
        base: oid(row, 7)?,
        base_typmod: row.try_get(8)?,
        collation: oid(row, 9)?,
        citext: row.try_get(10)?,
        labels: row.try_get(11)?,
    })
}

/// An OID, read as bigint because it is unsigned.
fn oid(row: &Row, i: usize) -> Result<u32, tokio_postgres::Error> {
    Ok(u32::try_from(row.try_get::<_, i64>(i)?).unwrap_or(0))
}

/// A `"char"` column that was cast to text.
fn first(row: &Row, i: usize) -> Result<char, tokio_postgres::Error> {
    Ok(row.try_get::<_, String>(i)?.chars().next().unwrap_or(' '))
}

/// Rows by the OID in their first column.
fn by_oid(rows: &[Row]) -> Result<HashMap<u32, Vec<&Row>>, tokio_postgres::Error> {
    let mut map: HashMap<u32, Vec<&Row>> = HashMap::new();
    for row in rows {
        map.entry(oid(row, 0)?).or_default().push(row);
    }
    Ok(map)
}
