//! A remote query while it is planned: a [`Rel`] over one connector, its columns' origins, and how many rows it may give.

use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction;

use super::class::{Class, Dialect};
use super::convert::Converter;
use super::ir::{Op, Rel, RemoteType, Scalar, ScanColumn};
use super::report::{Part, Report};
use crate::catalog::Connector;
use crate::source::TableInfo;

/// A remote query.
#[derive(Debug, Clone)]
pub struct RemoteQuery {
    /// Whose it is.
    pub connector: Arc<Connector>,
    /// What it reads; ordinals of [`RemoteQuery::origins`] point into its columns.
    pub table: Arc<TableInfo>,
    /// How it is judged and written.
    pub dialect: Arc<dyn Dialect>,
    /// The query.
    pub rel: Rel,
    /// The types of its columns.
    pub types: Vec<RemoteType>,
    /// The table column behind each output column, where it is one unchanged.
    pub origins: Vec<Option<usize>>,
    /// The estimated rows, where the source knows how big its table is.
    pub rows: Option<u64>,
    /// An upper bound that is certain (a LIMIT, one row of an aggregate without groups).
    pub rows_max: Option<u64>,
    /// What was decided.
    pub report: Report,
    /// `SET fjord.pushdown`: off reads the columns and nothing more.
    pub pushdown: bool,
    /// The sort keys of the result as (output column, descending, nulls first), where it is sorted by columns.
    pub order: Vec<(usize, bool, bool)>,
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
            origins: columns.iter().map(|c| Some(*c)).collect(),
            rows: table.rows,
            rows_max: None,
            report: Report::default(),
            pushdown: true,
            order: vec![],
            table,
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
        match &mut self.rel {
            Rel::Scan { columns, .. } => *columns = keep.iter().filter_map(|i| columns.get(*i).cloned()).collect(),
            Rel::Project { exprs, .. } => *exprs = keep.iter().filter_map(|i| exprs.get(*i).cloned()).collect(),
            _ => self.wrap(|input| Rel::Project { input, exprs: keep.iter().map(|i| Scalar::Column(*i)).collect() }),
        }
        self.types = keep.iter().filter_map(|i| self.types.get(*i).cloned()).collect();
        self.origins = keep.iter().map(|i| self.origins.get(*i).copied().flatten()).collect();
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
        let predicate = match <[Scalar; 1]>::try_from(flat) {
            Ok([one]) => one,
            Err(many) => Scalar::call(Op::And, many, RemoteType::boolean(true)),
        };
        self.wrap(|input| Rel::Filter { input, predicate });
    }

    /// Rows left by a condition: from distinct counts and NULL fractions where the source has them, else the usual guesses.
    fn estimate(&self, rows: u64, condition: &Scalar) -> u64 {
        let selectivity = self.selectivity(condition).clamp(0.0, 1.0);
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let left = (rows as f64 * selectivity).ceil() as u64;
        left.max(1)
    }

    #[allow(clippy::cast_precision_loss)]
    fn selectivity(&self, s: &Scalar) -> f64 {
        let Scalar::Call { op, args, .. } = s else { return 0.5 };
        let column = args.first().and_then(|a| self.origin_of(a));
        let equal = || match column.and_then(|c| self.distinct(c)) {
            Some(d) => 1.0 / (d.max(1) as f64),
            None => 0.1,
        };
        let nulls = || column.and_then(|c| self.table.columns.get(c)?.stats).map_or(0.1, |s| s.null_fraction);
        match op {
            Op::And => args.iter().map(|a| self.selectivity(a)).product(),
            Op::Or => args.iter().map(|a| self.selectivity(a)).sum::<f64>().min(1.0),
            Op::Not => 1.0 - args.first().map_or(0.5, |a| self.selectivity(a)),
            Op::Eq | Op::IsNotDistinctFrom => equal(),
            Op::In => equal() * (args.len().saturating_sub(1) as f64),
            Op::NotEq | Op::NotIn => 0.9,
            Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => 0.33,
            Op::IsNull => nulls(),
            Op::IsNotNull => 1.0 - nulls(),
            Op::Like | Op::ILike => 0.1,
            _ => 0.5,
        }
    }

    fn origin_of(&self, s: &Scalar) -> Option<usize> {
        match s {
            Scalar::Column(i) => self.origins.get(*i).copied().flatten(),
            Scalar::Call { op: Op::Source(_) | Op::Cast, args, .. } => args.first().and_then(|a| self.origin_of(a)),
            _ => None,
        }
    }

    /// Distinct values of a table column: from statistics, or all of them where it is a key by itself.
    fn distinct(&self, column: usize) -> Option<u64> {
        let unique = self.table.keys.iter().any(|k| k.columns == [column]);
        if unique { self.table.rows } else { self.table.columns.get(column)?.stats?.distinct }
    }

    /// Distinct values of an output column, for join planning.
    pub fn distinct_of(&self, output: usize) -> Option<u64> {
        self.origins.get(output).copied().flatten().and_then(|c| self.distinct(c))
    }

    /// Rows to plan with.
    pub fn estimated_rows(&self) -> Option<u64> {
        match (self.rows, self.rows_max) {
            (Some(r), Some(m)) => Some(r.min(m)),
            (r, m) => r.or(m),
        }
    }
}
