//! `SET fjord.verify = on`: each query runs as it is, and once more with nothing pushed; a difference is an error that names the part at fault.
//!
//! The client gets the rows of the first run as they come; the error, if any, stands at their end. Nothing is kept of the rows but their number and
//! hashes: one that does not depend on their order, and one of the sort keys in theirs.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as DfResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use super::state::WITHOUT;
use super::{Prepared, Session};
use crate::error::{Result, SqlError, SqlState};
use crate::federation::table::FjordTable;
use crate::pgtype::PgType;
use crate::pushdown::withhold;
use crate::source::QueryScope;
use crate::sql::{Statement, StatementKind};

/// A kept plan is not planned again: nothing could be withheld from it.
const KEPT_PLANS_OFF: (&str, &str) = ("fjord.plan_cache", "off");

/// Aggregates whose value depends on the order of the rows.
const ORDERED_AGGREGATES: &[&str] = &["array_agg", "string_agg", "first_value", "last_value", "nth_value"];

/// What of an answer is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Defined {
    /// The rows, and the order of these columns.
    Rows(Vec<usize>),
    /// LIMIT decides among rows of equal keys: the number of rows, and these columns.
    Keys(Vec<usize>),
    /// Nothing; why.
    Nothing(&'static str),
    /// No source is asked.
    Local,
}

/// The second run of a query, to come.
pub(super) struct Verifier {
    session: Session,
    statement: Arc<Statement>,
    declared: Vec<Option<PgType>>,
    params: Vec<ScalarValue>,
    defined: Defined,
    tables: Vec<String>,
    cancel: CancellationToken,
}

impl Verifier {
    /// For a query of a session that verifies.
    pub(super) fn of(session: &Session, prepared: &Prepared, params: &[ScalarValue], scope: &Arc<QueryScope>) -> Option<Verifier> {
        let on = |name| session.settings.read().is_on(name);
        if !on("fjord.verify") || !on("fjord.pushdown") || !matches!(prepared.statement.kind, StatementKind::Query(_)) {
            return None;
        }
        let plan = prepared.logical()?;
        let defined = defined(&plan);
        match defined {
            Defined::Local => return None,
            Defined::Nothing(why) => {
                scope.say(format!("not verified: {why}"));
                return None;
            }
            _ => {}
        }
        Some(Verifier {
            session: Session {
                engine: session.engine.clone(),
                info: session.info.clone(),
                settings: Arc::new(RwLock::new(session.settings.read().clone())),
                base: OnceLock::new(),
            },
            statement: prepared.statement.clone(),
            declared: prepared.params.iter().copied().map(Some).collect(),
            params: params.to_vec(),
            defined,
            tables: tables(&plan),
            cancel: scope.cancel.clone(),
        })
    }

    /// The rows of the first run, and at their end the error where the second one differs.
    pub(super) fn watch(self, first: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema = first.schema();
        let digest = Arc::new(Mutex::new(Digest::new(&schema, &self.defined)));
        let seen = digest.clone();
        let rows = first.and_then(move |batch| {
            let added = seen.lock().add(&batch);
            async move { added.map(|()| batch) }
        });
        let end = stream::once(async move {
            let first = digest.lock().sum.clone();
            Box::pin(self.compare(first)).await
        });
        // A first run that failed has nothing to compare: the consumer stops at its error.
        let rows = rows.chain(end.filter_map(|r| async move { r.err().map(|e| Err(e.into())) }));
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }

    async fn compare(&self, pushed: Sum) -> Result<()> {
        let off: &[(&str, &str)] = &[("fjord.pushdown", "off"), KEPT_PLANS_OFF];
        let local = self.run(off).await?;
        if local == pushed {
            return Ok(());
        }
        let changed = self.run(off).await? != local;
        if changed || self.run(&[]).await? == local {
            let tables = self.tables.join(", ");
            return Err(SqlError::new(
                SqlState::SERIALIZATION_FAILURE,
                format!("the rows of {tables} changed while the query was verified"),
            )
            .detail(format!("Pushed: {pushed}. Local: {local}. Run again, it answered otherwise: nothing is known of what was pushed."))
            .hint("Run it again. A view with random() or clock_timestamp() differs each time: SET fjord.verify = off for it."));
        }
        let part = self.at_fault(&local).await?;
        Err(SqlError::new(SqlState::DATA_CORRUPTED, "pushed and local answers differ")
            .detail(format!("Pushed: {pushed}. Local: {local}. The part at fault: {part}."))
            .hint("SET fjord.pushdown = off gives the local answer. This is a fault of Fjord: please report the query and its EXPLAIN."))
    }

    /// The part without which the answer is the local one: one run for each that there is.
    async fn at_fault(&self, local: &Sum) -> Result<&'static str> {
        if self.run(&[KEPT_PLANS_OFF]).await? == *local {
            return Ok("the statement's kept plan");
        }
        if self.run(&[("fjord.dynamic_filters", "off")]).await? == *local {
            return Ok("filters that joins send while the query runs");
        }
        for (part, name) in withhold::PARTS {
            if self.run(&[(WITHOUT, part), KEPT_PLANS_OFF]).await? == *local {
                return Ok(name);
            }
        }
        Ok("none of filters, joins, aggregates, sorts, limits, unions and computed columns alone")
    }

    async fn run(&self, changes: &[(&str, &str)]) -> Result<Sum> {
        let settings = {
            let mut settings = self.session.settings.read().clone();
            settings.set("fjord.verify", "off")?;
            for (name, value) in changes {
                if *name == WITHOUT { settings.force(name, value) } else { settings.set(name, value)? }
            }
            settings
        };
        let session = Session {
            engine: self.session.engine.clone(),
            info: self.session.info.clone(),
            settings: Arc::new(RwLock::new(settings)),
            base: OnceLock::new(),
        };
        let prepared = session.prepare(&self.statement, &self.declared).await?;
        let execution = session.execute(&prepared, self.params.clone(), self.cancel.clone()).await?;
        let mut stream = execution.stream.ok_or_else(|| SqlError::internal("a query without rows"))?;
        let mut digest = Digest::new(&stream.schema(), &self.defined);
        while let Some(batch) = stream.try_next().await? {
            digest.add(&batch)?;
        }
        Ok(digest.sum)
    }
}

/// What is known of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    /// Of the rows, in any order.
    content: u128,
    /// Of the sort keys, in theirs.
    sequence: u128,
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows (content {:016x}, order {:016x})", self.rows, self.content >> 64, self.sequence >> 64)
    }
}

/// Adds up an answer.
struct Digest {
    sum: Sum,
    types: Vec<DataType>,
    content: bool,
    keys: Vec<usize>,
}

impl Digest {
    fn new(schema: &SchemaRef, defined: &Defined) -> Digest {
        let (content, keys) = match defined {
            Defined::Rows(keys) => (true, keys.clone()),
            Defined::Keys(keys) => (false, keys.clone()),
            Defined::Nothing(_) | Defined::Local => (false, vec![]),
        };
        let types = schema.fields().iter().map(|f| f.data_type().clone()).collect();
        Digest { sum: Sum::default(), types, content, keys }
    }

    fn add(&mut self, batch: &RecordBatch) -> DfResult<()> {
        self.sum.rows += batch.num_rows() as u64;
        let all: Vec<usize> = (0..batch.num_columns()).collect();
        if self.content && !all.is_empty() {
            for hash in self.hashes(batch, &all)? {
                self.sum.content = self.sum.content.wrapping_add(hash);
            }
        }
        if !self.keys.is_empty() {
            for hash in self.hashes(batch, &self.keys)? {
                self.sum.sequence = self.sum.sequence.wrapping_mul(0x0100_0000_01b3_0000_0000_0000_0000_013b).wrapping_add(hash);
            }
        }
        Ok(())
    }

    fn hashes(&self, batch: &RecordBatch, columns: &[usize]) -> DfResult<Vec<u128>> {
        let fields = columns.iter().map(|i| SortField::new(self.types[*i].clone())).collect();
        let arrays: Vec<ArrayRef> = columns.iter().map(|i| canonical(batch.column(*i))).collect();
        let converter = RowConverter::new(fields)?;
        Ok(converter.convert_columns(&arrays)?.iter().map(|row| hash(row.as_ref())).collect())
    }
}

/// Two halves of 64 bits: differences that meet in both are not to be expected.
fn hash(row: &[u8]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        row.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// One bit pattern for equal floats: which of 0 and -0 a group keeps is not defined, nor is the NaN that arithmetic makes.
fn canonical(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let one = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(one))
        }
        DataType::Float32 => {
            let one = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(one))
        }
        _ => array.clone(),
    }
}

/// What of a plan's answer is defined.
fn defined(plan: &LogicalPlan) -> Defined {
    if tables(plan).is_empty() {
        return Defined::Local;
    }
    let types: Vec<&DataType> = plan.schema().fields().iter().map(|f| f.data_type()).collect();
    if !RowConverter::supports_fields(&types.iter().map(|t| SortField::new((*t).clone())).collect::<Vec<_>>()) {
        return Defined::Nothing("a column's type cannot be hashed");
    }
    // From the top: how the answer is sorted, and whether it is cut.
    let mut names: Vec<Option<usize>> = (0..types.len()).map(Some).collect();
    let (mut keys, mut limited, mut at) = (vec![], false, plan);
    loop {
        match at {
            LogicalPlan::Limit(l) if !limited => (limited, at) = (true, &l.input),
            LogicalPlan::Projection(p) => {
                let mut below = vec![None; p.input.schema().fields().len()];
                for (i, e) in p.expr.iter().enumerate() {
                    if let Some(c) = column(e, p.input.schema()) {
                        below[c] = below[c].or(names[i]);
                    }
                }
                (names, at) = (below, &p.input);
            }
            LogicalPlan::SubqueryAlias(a) => at = &a.input,
            LogicalPlan::Sort(s) => {
                keys = s.expr.iter().map_while(|k| names[column(&k.expr, s.input.schema())?]).collect();
                (limited, at) = (limited || s.fetch.is_some(), &s.input);
                break;
            }
            _ => break,
        }
    }
    if let Some(why) = undefined(at) {
        return Defined::Nothing(why);
    }
    let total = !types.is_empty() && (0..types.len()).all(|i| keys.contains(&i));
    if limited && !total { Defined::Keys(keys) } else { Defined::Rows(keys) }
}

fn column(e: &Expr, schema: &datafusion::common::DFSchema) -> Option<usize> {
    match e {
        Expr::Column(c) => schema.maybe_index_of_column(c),
        Expr::Alias(a) => column(&a.expr, schema),
        _ => None,
    }
}

/// Why two runs over the same rows may differ.
fn undefined(plan: &LogicalPlan) -> Option<&'static str> {
    let mut why = None;
    let walked = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Limit(_) => why = Some("LIMIT in a subquery chooses among rows"),
            LogicalPlan::Distinct(Distinct::On(_)) => why = Some("DISTINCT ON chooses among rows"),
            LogicalPlan::Window(_) => why = Some("window functions choose among rows of equal keys"),
            LogicalPlan::Sort(s) if s.fetch.is_some() => why = Some("LIMIT in a subquery chooses among rows"),
            LogicalPlan::Aggregate(a) => {
                let schema = a.input.schema();
                for e in &a.aggr_expr {
                    e.apply(|e| {
                        if let Expr::AggregateFunction(f) = e {
                            let name = f.func.name();
                            let float = |e: &Expr| e.get_type(schema.as_ref()).is_ok_and(|t| t.is_floating());
                            if ORDERED_AGGREGATES.contains(&name) && f.params.order_by.is_empty() {
                                why = Some("an aggregate depends on the order of the rows");
                            } else if !matches!(name, "count" | "min" | "max") && f.params.args.iter().any(float) {
                                why = Some("a sum of floats depends on the order of the rows");
                            }
                        }
                        Ok(TreeNodeRecursion::Continue)
                    })?;
                }
            }
            _ => {}
        }
        for e in node.expressions() {
            if e.is_volatile() {
                why = Some("a function gives another value each time");
            }
        }
        Ok(if why.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    if walked.is_err() { Some("the plan cannot be walked") } else { why }
}

/// The source tables that a plan reads.
fn tables(plan: &LogicalPlan) -> Vec<String> {
    let mut found = vec![];
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && source_as_provider(&scan.source).is_ok_and(|p| p.downcast_ref::<FjordTable>().is_some())
        {
            let name = scan.table_name.to_string();
            if !found.contains(&name) {
                found.push(name);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    fn batch(numbers: &[i64], texts: &[Option<&str>], floats: &[f64]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("t", DataType::Utf8, true),
            Field::new("f", DataType::Float64, false),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(numbers.to_vec())),
            Arc::new(StringArray::from(texts.to_vec())),
            Arc::new(Float64Array::from(floats.to_vec())),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn sum(batches: &[&RecordBatch], defined: Defined) -> Sum {
        let mut digest = Digest::new(&batches[0].schema(), &defined);
        for b in batches {
            digest.add(b).unwrap();
        }
        digest.sum
    }

    fn rows() -> RecordBatch {
        batch(&[1, 2, 2], &[Some("a"), None, Some("")], &[0.0, f64::NAN, 1.5])
    }

    #[test]
    fn the_same_rows_in_another_order_and_other_batches_are_the_same() {
        let parts = [batch(&[2], &[Some("")], &[1.5]), batch(&[2, 1], &[None, Some("a")], &[-f64::NAN, -0.0])];
        assert_eq!(sum(&[&rows()], Defined::Rows(vec![])), sum(&[&parts[0], &parts[1]], Defined::Rows(vec![])));
    }

    #[test]
    fn each_difference_shows() {
        let one = sum(&[&rows()], Defined::Rows(vec![]));
        for other in [
            batch(&[1, 2], &[Some("a"), None], &[0.0, f64::NAN]),
            batch(&[1, 2, 2], &[Some("a"), None, None], &[0.0, f64::NAN, 1.5]),
            batch(&[1, 2, 2], &[Some("a"), Some(""), Some("")], &[0.0, f64::NAN, 1.5]),
            batch(&[1, 2, 3], &[Some("a"), None, Some("")], &[0.0, f64::NAN, 1.5]),
            batch(&[1, 2, 2], &[Some("a"), None, Some("")], &[0.0, f64::NAN, 1.5000000000000002]),
            // Values that have changed rows.
            batch(&[2, 1, 2], &[Some("a"), None, Some("")], &[0.0, f64::NAN, 1.5]),
            // A row twice, another gone.
            batch(&[1, 1, 2], &[Some("a"), Some("a"), Some("")], &[0.0, 0.0, 1.5]),
        ] {
            assert_ne!(one, sum(&[&other], Defined::Rows(vec![])), "{other:?}");
        }
    }

    #[test]
    fn sorted_rows_differ_by_the_order_of_their_keys_only() {
        let one = batch(&[1, 2, 2], &[Some("a"), Some("b"), Some("c")], &[0.0; 3]);
        let ties = batch(&[1, 2, 2], &[Some("a"), Some("c"), Some("b")], &[0.0; 3]);
        let wrong = batch(&[2, 1, 2], &[Some("b"), Some("a"), Some("c")], &[0.0; 3]);
        let by_n = || Defined::Rows(vec![0]);
        assert_eq!(sum(&[&one], by_n()), sum(&[&ties], by_n()));
        assert_ne!(sum(&[&one], by_n()), sum(&[&wrong], by_n()));
        assert_eq!(sum(&[&one], Defined::Rows(vec![])), sum(&[&wrong], Defined::Rows(vec![])));
        // LIMIT among ties: other rows, the same keys.
        let others = batch(&[1, 2, 2], &[Some("a"), Some("x"), Some("y")], &[0.0; 3]);
        assert_eq!(sum(&[&one], Defined::Keys(vec![0])), sum(&[&others], Defined::Keys(vec![0])));
        assert_ne!(sum(&[&one], Defined::Rows(vec![0])), sum(&[&others], Defined::Rows(vec![0])));
    }
}
