//! What Fjord itself must remember: connectors, secrets, views, stable OIDs; and the open connectors.
//!
//! Durable state is one object per commit in the store (put-if-absent); readers see one immutable [`CatalogSnapshot`] per version.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::engine::EngineConfig;
use crate::error::Result;
use crate::source::{ConnectorType, Source, SourceCatalog};

/// The catalog of one engine.
#[derive(Debug)]
pub struct Catalog {
    types: Vec<Arc<dyn ConnectorType>>,
    snapshot: RwLock<Arc<CatalogSnapshot>>,
}

/// All that is known at one version. Immutable: take it once per query.
#[derive(Debug, Clone, Default)]
pub struct CatalogSnapshot {
    /// Grows with every change.
    pub version: u64,
    /// By name.
    pub connectors: BTreeMap<String, Arc<Connector>>,
    /// Views, by (schema, name).
    pub views: BTreeMap<(String, String), Arc<View>>,
    /// Stable OIDs by object path: `["connector", schema]`, `["connector", schema, table]`, `["view", schema, name]`. From 16384 upwards.
    pub oids: BTreeMap<Vec<String>, u32>,
}

/// A connector as queries see it.
#[derive(Debug)]
pub struct Connector {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// COMMENT.
    pub comment: Option<String>,
    /// Its owner.
    pub owner: String,
    /// The options as given, secrets as `SECRET name` or `***`.
    pub options: BTreeMap<String, String>,
    /// PAUSEd: queries get 55000.
    pub paused: bool,
    /// The open source.
    pub source: Arc<dyn Source>,
    /// The last introspection; `None` when the source has not been reached since the start: then the error says why.
    pub schema: Result<Arc<SourceCatalog>>,
}

/// A view.
#[derive(Debug, Clone)]
pub struct View {
    /// Its schema in the default database.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The defining query.
    pub definition: String,
    /// Who made it.
    pub owner: String,
    /// COMMENT ON VIEW.
    pub comment: Option<String>,
}

impl Catalog {
    /// Opens it.
    pub async fn open(_config: EngineConfig, types: Vec<Arc<dyn ConnectorType>>) -> Result<Arc<Catalog>> {
        Ok(Arc::new(Catalog { types, snapshot: RwLock::default() }))
    }
    /// The connector types.
    pub fn types(&self) -> &[Arc<dyn ConnectorType>] {
        &self.types
    }
    /// The present state.
    pub fn snapshot(&self) -> Arc<CatalogSnapshot> {
        self.snapshot.read().clone()
    }
    /// Closes every source.
    pub async fn shutdown(&self) {
        for c in self.snapshot().connectors.values() {
            c.source.close().await;
        }
    }
}

impl CatalogSnapshot {
    /// The schemas under which a connector's own schemas appear in the default database, because clients cannot browse three-part names: the
    /// source's default schema as `connector`, each other as `connector__schema`. Pairs of (exposed name, source schema).
    pub fn exposed_schemas(connector: &Connector) -> Vec<(String, String)> {
        let Ok(schema) = &connector.schema else { return vec![] };
        schema
            .schemas
            .iter()
            .map(|s| {
                let exposed =
                    if s.name == schema.default_schema { connector.name.clone() } else { format!("{}__{}", connector.name, s.name) };
                (exposed, s.name.clone())
            })
            .collect()
    }
}
