//! The table provider: a `ListingTable` per scan, over the table's own store, listed anew.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::{Constraints, Statistics, TableReference};
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectStore;
use parking_lot::Mutex;
use url::Url;

use crate::options::Reading;
use crate::schema::Shape;
use crate::store::TableStore;

/// One table of a files connector.
pub(crate) struct FilesTable {
    name: String,
    store: TableStore,
    registered: Registered,
    paths: ListingTableUrl,
    options: ListingOptions,
    file_schema: SchemaRef,
    /// For what does not depend on the files.
    template: ListingTable,
}

/// The store's entries in the runtimes that have scanned it: taken out when the table is gone, so that credentials do not outlive their connector.
struct Registered {
    url: Url,
    runtimes: Mutex<Vec<Weak<RuntimeEnv>>>,
}

impl fmt::Debug for FilesTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilesTable({})", self.name)
    }
}

impl FilesTable {
    pub(crate) fn new(name: &str, store: TableStore, shape: &Shape, reading: &Reading) -> Result<FilesTable> {
        // One authority per table: two connectors may read one bucket with different credentials.
        let url = Url::parse(&format!("fjord-files://{}/{}/", store.root(), store.root()))
            .map_err(|e| datafusion::error::DataFusionError::External(Box::new(e)))?;
        let paths = ListingTableUrl::try_new(url, None)?;
        let registered = Registered {
            url: Url::parse(paths.object_store().as_str()).unwrap_or_else(|_| paths.get_url().clone()),
            runtimes: Mutex::default(),
        };
        let options = ListingOptions::new(shape.kind.reader(shape.format, reading))
            .with_file_extension("")
            .with_table_partition_cols(shape.partitions.clone());
        let template = listing(&paths, &options, &shape.file_schema)?;
        Ok(FilesTable { name: name.to_string(), store, registered, paths, options, file_schema: shape.file_schema.clone(), template })
    }
}

fn listing(paths: &ListingTableUrl, options: &ListingOptions, schema: &SchemaRef) -> Result<ListingTable> {
    ListingTable::try_new(ListingTableConfig::new(paths.clone()).with_listing_options(options.clone()).with_schema(schema.clone()))
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        self.template.schema()
    }
    fn constraints(&self) -> Option<&Constraints> {
        None
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        None
    }
    fn statistics(&self) -> Option<Statistics> {
        None
    }
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let args = ScanArgs::default().with_projection(projection.map(Vec::as_slice)).with_filters(Some(filters)).with_limit(limit);
        Ok(self.scan_with_args(state, args).await?.into_inner())
    }
    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> Result<ScanResult> {
        static SCANS: AtomicU64 = AtomicU64::new(0);
        self.registered.register(state.runtime_env(), Arc::new(self.store.clone()));
        // DataFusion caches listings under the table's name for ever: a name that is new at every scan makes each one see the files of its time.
        let scan = SCANS.fetch_add(1, Ordering::Relaxed);
        let paths = self.paths.clone().with_table_ref(TableReference::partial(self.store.root(), format!("scan{scan}")));
        listing(&paths, &self.options, &self.file_schema)?.scan_with_args(state, args).await
    }
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.template.supports_filters_pushdown(filters)
    }
}

impl Registered {
    fn register(&self, runtime: &Arc<RuntimeEnv>, store: Arc<dyn ObjectStore>) {
        let mut known = self.runtimes.lock();
        known.retain(|w| w.strong_count() > 0);
        if known.iter().any(|w| Weak::ptr_eq(w, &Arc::downgrade(runtime))) {
            return;
        }
        runtime.register_object_store(&self.url, store);
        known.push(Arc::downgrade(runtime));
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        for runtime in self.runtimes.lock().iter().filter_map(Weak::upgrade) {
            // It is there, unless the runtime was told otherwise; then there is nothing to take out.
            let _ = runtime.deregister_object_store(&self.url);
        }
    }
}
