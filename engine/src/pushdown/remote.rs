//! A remote query while it is planned: a [`Rel`] over one connector, what is decided about it, and what is known of its rows (`estimate`).

use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::class::{Class, Dialect};
use super::convert::Converter;
use super::estimate::{Budget, ColumnEstimate};
use super::ir::{Op, Rel, RemoteType, Scalar, ScanColumn};
use super::report::{Part, Report};
use crate::catalog::Connector;
use crate::source::TableInfo;

/// A remote query.
#[derive(Debug, Clone)]
pub struct RemoteQuery {
    /// Whose it is.
    pub connector: Arc<Connector>,
    /// The tables that it reads, once for each time that it does.
    pub tables: Vec<Arc<TableInfo>>,
    /// How it is judged and written.
    pub dialect: Arc<dyn Dialect>,
    /// The query.
    pub rel: Rel,
    /// The types of its columns.
    pub types: Vec<RemoteType>,
    /// What is estimated of each output column.
    pub columns: Vec<ColumnEstimate>,
    /// Sets of output columns that no two rows share, as far as the source's keys say so. For estimates only: NULLs may repeat, and a deferrable
    /// key may be violated for a while.
    pub keys: Vec<Vec<usize>>,
    /// The estimated rows, where the source knows how big its tables are.
    pub rows: Option<u64>,
    /// An upper bound that is certain (a LIMIT, one row of an aggregate without groups).
    pub rows_max: Option<u64>,
    /// Exactly one row, whatever the tables hold: an aggregate without groups.
    pub one_row: bool,
    /// What was decided.
    pub report: Report,
    /// `SET fjord.pushdown`: off reads the columns and nothing more.
    pub pushdown: bool,
    /// The sort keys of the result as (output column, descending, nulls first), where it is sorted by columns.
    pub order: Vec<(usize, bool, bool)>,
    /// It holds a join that is worth it only if what is absorbed above makes the result small.
    pub tentative: Option<Arc<Tentative>>,
}

/// A join that would send more rows than its sides, unless an aggregate or a limit above it goes to the source too.
#[derive(Debug)]
pub struct Tentative {
    /// What the sides would send.
    pub budget: Budget,
    /// The join as it runs here, over its sides.
    pub local: LogicalPlan,
    /// The operators absorbed since, from below, each with the ordinal of its input that is the one before.
    pub above: Vec<(LogicalPlan, usize)>,
}

impl RemoteQuery {
    /// All of `columns` (ordinals) of a table.
    pub fn scan(connector: Arc<Connector>, dialect: Arc<dyn Dialect>, table: Arc<TableInfo>, columns: &[usize]) -> RemoteQuery {
        let picked: Vec<ScanColumn> = columns
            .iter()
            .filter_map(|i| table.columns.get(*i))
            .map(|c| ScanColumn { name: c.field.name().clone(), ty: c.remote.clone() })
            .collect();
        let rel = Rel::Scan { schema: table.schema.clone(), table: table.name.clone(), columns: picked };
        RemoteQuery {
            connector,
            dialect,
            types: rel.types(),
            rel,
            columns: columns.iter().map(|c| ColumnEstimate::of(&table, *c)).collect(),
            keys: table.keys.iter().filter_map(|k| moved(&k.columns, columns)).collect(),
            rows: table.rows,
            rows_max: None,
            one_row: false,
            report: Report::default(),
            pushdown: true,
            order: vec![],
            tentative: None,
            tables: vec![table],
        }
    }

    /// A converter over its columns, seen as `schema`.
    pub fn converter<'a>(&'a self, schema: &'a DFSchema) -> Converter<'a> {
        Converter::new(self.dialect.as_ref(), schema, &self.types)
    }

    /// Keeps these output columns, in this order. A query always keeps one, because a source cannot send rows of nothing.
    pub fn pick(&mut self, columns: &[usize]) {
        let keep: Vec<usize> = if columns.is_empty() { vec![self.narrowest()] } else { columns.to_vec() };
        if keep.len() == self.types.len() && keep.iter().enumerate().all(|(i, c)| i == *c) {
            return;
        }
        self.order = self.moved_order(&keep);
        self.keys = self.keys.iter().filter_map(|k| moved(k, &keep)).collect();
        match &mut self.rel {
            Rel::Scan { columns, .. } => *columns = keep.iter().filter_map(|i| columns.get(*i).cloned()).collect(),
            Rel::Project { exprs, .. } => *exprs = keep.iter().filter_map(|i| exprs.get(*i).cloned()).collect(),
            _ => self.wrap(|input| Rel::Project { input, exprs: keep.iter().map(|i| Scalar::Column(*i)).collect() }),
        }
        self.types = keep.iter().filter_map(|i| self.types.get(*i).cloned()).collect();
        self.columns = keep.iter().filter_map(|i| self.columns.get(*i).copied()).collect();
    }

    /// The declared order after columns moved: a prefix of it is an order too, the rest after a lost column is not.
    fn moved_order(&self, keep: &[usize]) -> Vec<(usize, bool, bool)> {
        self.order.iter().map_while(|(c, desc, first)| keep.iter().position(|k| k == c).map(|p| (p, *desc, *first))).collect()
    }

    fn narrowest(&self) -> usize {
        use super::ir::Family as F;
        let width = |t: &RemoteType| match &t.family {
            F::Bool => 1,
            F::Int(b) | F::UInt(b) | F::Float(b) => u32::from(*b) / 8,
            F::Date => 4,
            F::Time | F::Timestamp | F::TimestampTz => 8,
            F::Uuid | F::Interval => 16,
            _ => 100,
        };
        (0..self.types.len()).min_by_key(|i| width(&self.types[*i])).unwrap_or(0)
    }

    /// Replaces the query by one over it.
    pub fn wrap(&mut self, f: impl FnOnce(Box<Rel>) -> Rel) {
        let inner = std::mem::replace(&mut self.rel, Rel::Union { inputs: vec![] });
        self.rel = f(Box::new(inner));
    }

    /// Pushes the conjuncts of `predicate` as far as they go; gives back what must be done (again) locally.
    pub fn push_filter(&mut self, predicate: &Expr, schema: &DFSchemaRef) -> Vec<Expr> {
        let mut residual = vec![];
        let mut sent: Vec<Scalar> = vec![];
        for conjunct in split_conjunction(predicate) {
            let j = self.converter(schema).filter(conjunct);
            self.report.add(Part::Filter, conjunct, j.class, j.reason.clone());
            if !j.class.is_exact() {
                residual.push(conjunct.clone());
            }
            if let (true, Some(e)) = (j.class != Class::No, j.expr) {
                self.rows = self.rows.map(|r| self.estimate(r, &e.scalar));
                sent.push(e.scalar);
            }
        }
        if !sent.is_empty() {
            self.one_row = false;
            self.add_condition(sent);
        }
        residual
    }

    /// ANDs conditions to the query's own.
    pub fn add_condition(&mut self, conditions: Vec<Scalar>) {
        let mut all = vec![];
        if let Rel::Filter { input, predicate } = &mut self.rel {
            let inner = std::mem::replace(input.as_mut(), Rel::Union { inputs: vec![] });
            all.push(predicate.clone());
            self.rel = inner;
        }
        all.extend(conditions);
        let flat: Vec<Scalar> = all
            .into_iter()
            .flat_map(|s| match s {
                Scalar::Call { op: Op::And, args, .. } => args,
                s => vec![s],
            })
            .collect();
        for s in &flat {
            self.rule_out_nulls(s);
        }
        let predicate = match <[Scalar; 1]>::try_from(flat) {
            Ok([one]) => one,
            Err(many) => Scalar::call(Op::And, many, RemoteType::boolean(true)),
        };
        self.wrap(|input| Rel::Filter { input, predicate });
    }

    /// A column that a condition holds to be not NULL is not NULL above it.
    fn rule_out_nulls(&mut self, condition: &Scalar) {
        let Scalar::Call { op: Op::IsNotNull | Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, args, .. } = condition else {
            return;
        };
        for a in args {
            if let Scalar::Column(i) = a
                && let (Some(t), Some(c)) = (self.types.get_mut(*i), self.columns.get_mut(*i))
            {
                t.nullable = false;
                c.null_fraction = 0.0;
            }
        }
    }
}

/// A key of columns after these were kept, if all of it was.
fn moved(key: &[usize], keep: &[usize]) -> Option<Vec<usize>> {
    key.iter().map(|c| keep.iter().position(|k| k == c)).collect()
}
