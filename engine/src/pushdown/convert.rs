//! DataFusion's logical expressions as judged IR.
//!
//! Bottom-up: operands are converted first, then the [`Dialect`] judges the operator over them. The boolean structure is composed here: AND
//! splits, OR is as good as its worst arm, NOT stands only over what is exact as a value. What cannot be pushed comes back with the reason.

use std::cell::RefCell;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::{AggregateFunction as AggregateExpr, Between, Case, InList, Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator, SortExpr};

use super::class::{AggregateCall, Class, Dialect, Judgement, Mostly, SortSpec, Typed};
use super::ir::{Aggregate, AggregateFunction, Op, RemoteType, Scalar, SortKey};
use super::literal;
use crate::functions::Arithmetic;

/// Values an IN list may have to be sent: more would make a text that takes longer to parse than the rows take to read.
pub const IN_LIST_MAX: usize = 100_000;
/// How deep an expression may nest to be sent; DataFusion's own parser limit is below it, so only generated expressions meet it.
const DEPTH_MAX: usize = 200;

/// Converts expressions over one remote relation.
pub struct Converter<'a> {
    dialect: &'a dyn Dialect,
    schema: &'a DFSchema,
    /// The remote expression and type behind each field of `schema`.
    inputs: Vec<Typed>,
    /// While a condition is judged by forms that are exact for most rows: those forms.
    mostly: RefCell<Option<Vec<Mostly>>>,
}

/// An aggregate that may be sent.
#[derive(Debug)]
pub struct PushedAggregate {
    /// What to send.
    pub aggregate: Aggregate,
    /// Its class.
    pub class: Class,
    /// What was rewritten.
    pub reason: String,
}

impl<'a> Converter<'a> {
    /// Columns of the relation are the fields of `schema`, in order.
    pub fn new(dialect: &'a dyn Dialect, schema: &'a DFSchema, types: &[RemoteType]) -> Converter<'a> {
        let inputs = types.iter().enumerate().map(|(i, ty)| Typed { scalar: Scalar::Column(i), ty: ty.clone() }).collect();
        Converter { dialect, schema, inputs, mostly: RefCell::new(None) }
    }

    /// Judges a condition in which NULL and false are alike.
    pub fn filter(&self, expr: &Expr) -> Judgement {
        let judged = self.judge(expr, 0);
        if judged.class == Class::No { self.for_most_rows(expr).unwrap_or(judged) } else { judged }
    }

    /// The condition as a pre-filter: exact for most rows, and it keeps all others.
    fn for_most_rows(&self, expr: &Expr) -> Option<Judgement> {
        let computes = |e: &Expr| match e {
            Expr::ScalarFunction(_) | Expr::Cast(_) => true,
            Expr::BinaryExpr(b) => matches!(b.op, Operator::Plus | Operator::Minus),
            _ => false,
        };
        if !expr.exists(|e| Ok(computes(e))).unwrap_or(false) {
            return None;
        }
        self.mostly.replace(Some(vec![]));
        let judged = self.judge(expr, 0);
        let mostly = self.mostly.take().unwrap_or_default();
        let condition = judged.expr.filter(|_| judged.class != Class::No)?;
        let reason = mostly.first()?.reason.clone();
        let mut arms = vec![];
        for m in mostly {
            if !arms.contains(&m.except) {
                arms.push(m.except);
            }
        }
        arms.insert(0, condition.scalar);
        let ty = RemoteType::boolean(true);
        Some(Judgement::superset(Scalar::call(Op::Or, arms, ty.clone()), ty, reason))
    }

    /// An expression that is exact as a value and arrives in the type that DataFusion gives it; or why not.
    pub fn value(&self, expr: &Expr) -> Result<(Typed, Class, String), String> {
        let j = self.judge(expr, 0);
        let class = j.class;
        let typed = exact_value(j.clone(), expr)?;
        let wanted = self.type_of(expr)?;
        if typed.ty.arrow != wanted {
            return Err(format!("{expr} would arrive as {} instead of {wanted}", typed.ty.arrow));
        }
        Ok((typed, class, j.reason))
    }

    /// A grouping or DISTINCT key.
    pub fn group_key(&self, expr: &Expr) -> Result<(Typed, Class, String), String> {
        let (typed, class, _) = self.value(expr)?;
        let j = self.dialect.group_key(&typed);
        let (class, reason) = (class.min(j.class), j.reason.clone());
        let key = exact_value(j, expr)?;
        let wanted = self.type_of(expr)?;
        if key.ty.arrow != wanted {
            return Err(format!("{expr} as a grouping key would arrive as {} instead of {wanted}", key.ty.arrow));
        }
        Ok((key, class, reason))
    }

    /// A sort key.
    pub fn sort_key(&self, key: &SortExpr) -> Result<(SortKey, Class, String), String> {
        let (typed, class, _) = self.value(&key.expr)?;
        let j = self.dialect.sort_key(&SortSpec { expr: typed, descending: !key.asc, nulls_first: key.nulls_first });
        let (class, reason) = (class.min(j.class), j.reason.clone());
        let typed = exact_value(j, &key.expr)?;
        Ok((SortKey { expr: typed.scalar, descending: !key.asc, nulls_first: key.nulls_first }, class, reason))
    }

    /// An aggregate call.
    pub fn aggregate(&self, expr: &Expr) -> Result<PushedAggregate, String> {
        let Expr::AggregateFunction(AggregateExpr { func, params }) = expr else {
            return match expr {
                Expr::Alias(a) => self.aggregate(&a.expr),
                _ => Err(format!("{expr} is not a plain aggregate")),
            };
        };
        if !params.order_by.is_empty() {
            return Err(format!("{expr}: an ordered aggregate is not sent"));
        }
        let mut args = vec![];
        for a in &params.args {
            args.push(self.operand(a, None, 0)?);
        }
        let function = match func.name() {
            "count" if !params.distinct && args.iter().all(|a| a.literal().is_some_and(|v| *v != super::ir::Value::Null)) => {
                args.clear();
                AggregateFunction::CountStar
            }
            "count" => AggregateFunction::Count,
            "sum" => AggregateFunction::Sum,
            "min" => AggregateFunction::Min,
            "max" => AggregateFunction::Max,
            "avg" => AggregateFunction::Avg,
            "bool_and" => AggregateFunction::BoolAnd,
            "bool_or" => AggregateFunction::BoolOr,
            other => AggregateFunction::Other(other.to_string()),
        };
        let filter = match &params.filter {
            None => None,
            Some(f) => {
                let j = self.judge(f, 0);
                if !j.class.is_exact() {
                    return Err(format!("FILTER ({f}) is not exact: {}", j.reason));
                }
                j.expr
            }
        };
        let result = self.type_of(expr)?;
        let call = AggregateCall { function, args, distinct: params.distinct, filter, result };
        let (j, args) = self.dialect.aggregate(&call);
        let (class, reason) = (j.class, j.reason.clone());
        let typed = exact_value(j, expr)?;
        if typed.ty.arrow != call.result {
            return Err(format!("{expr} would arrive as {} instead of {}", typed.ty.arrow, call.result));
        }
        let aggregate =
            Aggregate { function: call.function, args, distinct: call.distinct, filter: call.filter.map(|f| f.scalar), ty: typed.ty };
        Ok(PushedAggregate { aggregate, class, reason })
    }

    fn type_of(&self, expr: &Expr) -> Result<DataType, String> {
        expr.get_type(self.schema).map_err(|e| e.strip_backtrace())
    }

    fn judge(&self, expr: &Expr, depth: usize) -> Judgement {
        if depth > DEPTH_MAX {
            return Judgement::no(format!("the expression nests deeper than {DEPTH_MAX}"));
        }
        match expr {
            Expr::Alias(a) => self.judge(&a.expr, depth),
            Expr::Column(c) => match self.schema.maybe_index_of_column(c).and_then(|i| self.inputs.get(i)) {
                Some(t) => Judgement::exact(t.scalar.clone(), t.ty.clone()),
                None => Judgement::no(format!("column {c} is not one of the source")),
            },
            Expr::Literal(..) => self.literal(expr, None),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => self.and(left, right, depth),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => self.or(left, right, depth),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match binary_op(*op) {
                Some(op) => self.call(expr, op, &[left, right], depth),
                None => Judgement::no(format!("operator {op} is not sent")),
            },
            Expr::Not(e) => self.not(e, depth),
            Expr::IsNull(e) => self.call(expr, Op::IsNull, &[e], depth),
            Expr::IsNotNull(e) => self.call(expr, Op::IsNotNull, &[e], depth),
            Expr::IsTrue(e) => self.call(expr, Op::IsTrue, &[e], depth),
            Expr::IsFalse(e) => self.call(expr, Op::IsFalse, &[e], depth),
            Expr::IsUnknown(e) => self.call(expr, Op::IsUnknown, &[e], depth),
            Expr::IsNotTrue(e) => self.call(expr, Op::IsNotTrue, &[e], depth),
            Expr::IsNotFalse(e) => self.call(expr, Op::IsNotFalse, &[e], depth),
            Expr::IsNotUnknown(e) => self.call(expr, Op::IsNotUnknown, &[e], depth),
            Expr::Negative(e) => self.call(expr, Op::Negate, &[e], depth),
            Expr::Between(b) => self.between(b, depth),
            Expr::InList(l) => self.in_list(expr, l, depth),
            Expr::Like(l) => self.like(expr, l, depth),
            Expr::Cast(Cast { expr: e, .. }) => self.call(expr, Op::Cast, &[e], depth),
            Expr::Case(c) => self.case(expr, c, depth),
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                let op = match (Arithmetic::by_name(func.name()), func.name()) {
                    (Some(Arithmetic::Add), _) => Op::Plus,
                    (Some(Arithmetic::Subtract), _) => Op::Minus,
                    (Some(Arithmetic::Multiply), _) => Op::Multiply,
                    (Some(Arithmetic::Negate), _) => Op::Negate,
                    (None, "coalesce") => Op::Coalesce,
                    (None, "nullif") => Op::NullIf,
                    (None, name) => Op::Function(name.to_string()),
                };
                self.call(expr, op, &args.iter().collect::<Vec<_>>(), depth)
            }
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => {
                Judgement::no("a subquery is evaluated here; where it has one value, the condition is judged again with it")
            }
            Expr::OuterReferenceColumn(..) => Judgement::no("it depends on an outer query"),
            Expr::TryCast(_) => Judgement::no("TRY_CAST is not sent"),
            Expr::SimilarTo(_) => Judgement::no("SIMILAR TO is not sent: the sources' regular expressions differ"),
            other => Judgement::no(format!("{other} is not an expression that is sent")),
        }
    }

    /// `a AND b`. One good side of it still keeps every right row, so under an OR it is a superset.
    fn and(&self, left: &Expr, right: &Expr, depth: usize) -> Judgement {
        let (l, r) = (self.judge(left, depth + 1), self.judge(right, depth + 1));
        match (l.class, r.class) {
            (Class::No, Class::No) => Judgement::no(reasons(&l, &r)),
            (Class::No, _) => half(&r, &l),
            (_, Class::No) => half(&l, &r),
            _ => both(Op::And, l, r),
        }
    }

    fn or(&self, left: &Expr, right: &Expr, depth: usize) -> Judgement {
        let (l, r) = (self.judge(left, depth + 1), self.judge(right, depth + 1));
        if l.class == Class::No || r.class == Class::No {
            let side = if l.class == Class::No { &l } else { &r };
            return Judgement::no(format!("one arm of OR cannot be sent: {}", side.reason));
        }
        both(Op::Or, l, r)
    }

    /// NOT over a superset is a subset, and over a filter-only form it would return the rows of NULL: neither is ever sent.
    fn not(&self, inner: &Expr, depth: usize) -> Judgement {
        let j = self.judge(inner, depth + 1);
        let (class, reason) = (j.class, j.reason.clone());
        match exact_value(j, inner) {
            Ok(t) => {
                let ty = RemoteType::boolean(t.ty.nullable);
                Judgement {
                    class,
                    expr: Some(Typed { scalar: Scalar::call(Op::Not, vec![t.scalar], ty.clone()), ty }),
                    filter_only: false,
                    reason,
                }
            }
            Err(reason) => Judgement::no(format!("under NOT: {reason}")),
        }
    }

    fn between(&self, b: &Between, depth: usize) -> Judgement {
        let low = Expr::BinaryExpr(BinaryExpr::new(b.expr.clone(), if b.negated { Operator::Lt } else { Operator::GtEq }, b.low.clone()));
        let high = Expr::BinaryExpr(BinaryExpr::new(b.expr.clone(), if b.negated { Operator::Gt } else { Operator::LtEq }, b.high.clone()));
        if b.negated { self.or(&low, &high, depth) } else { self.and(&low, &high, depth) }
    }

    fn in_list(&self, expr: &Expr, l: &InList, depth: usize) -> Judgement {
        if l.list.len() > IN_LIST_MAX {
            return Judgement::no(format!("the IN list has {} values; {IN_LIST_MAX} are sent at most", l.list.len()));
        }
        let op = if l.negated { Op::NotIn } else { Op::In };
        let mut all = vec![l.expr.as_ref()];
        all.extend(&l.list);
        self.call(expr, op, &all, depth)
    }

    fn like(&self, expr: &Expr, l: &Like, depth: usize) -> Judgement {
        if l.escape_char.is_some_and(|c| c != '\\') {
            return Judgement::no("only a backslash is sent as the escape character of LIKE");
        }
        let op = match (l.negated, l.case_insensitive) {
            (false, false) => Op::Like,
            (true, false) => Op::NotLike,
            (false, true) => Op::ILike,
            (true, true) => Op::NotILike,
        };
        self.call(expr, op, &[&l.expr, &l.pattern], depth)
    }

    /// `CASE x WHEN v` becomes `CASE WHEN x = v`, which is how SQL defines it.
    fn case(&self, expr: &Expr, c: &Case, depth: usize) -> Judgement {
        // But DataFusion's own CASE compares floats by bits: -0.0 is no 0.0 there.
        if c.expr.as_ref().is_some_and(|x| self.type_of(x).is_ok_and(|t| t.is_floating())) {
            return Judgement::no("CASE over a float tells -0.0 from 0.0 here");
        }
        let mut args = vec![];
        for (when, then) in &c.when_then_expr {
            let condition = match &c.expr {
                Some(x) => Expr::BinaryExpr(BinaryExpr::new(x.clone(), Operator::Eq, when.clone())),
                None => when.as_ref().clone(),
            };
            match self.operand(&condition, None, depth).and_then(|w| Ok((w, self.operand(then, None, depth)?))) {
                Ok((w, t)) => args.extend([w, t]),
                Err(reason) => return Judgement::no(reason),
            }
        }
        if let Some(e) = &c.else_expr {
            match self.operand(e, None, depth) {
                Ok(e) => args.push(e),
                Err(reason) => return Judgement::no(reason),
            }
        }
        self.ask(expr, Op::Case, &args)
    }

    /// Converts the operands (literals last, so that they know what they meet) and asks the dialect.
    fn call(&self, expr: &Expr, op: Op, operands: &[&Expr], depth: usize) -> Judgement {
        let mut args: Vec<Option<Typed>> = vec![None; operands.len()];
        for pass in [false, true] {
            let near = args.iter().flatten().next().map(|t: &Typed| t.ty.clone());
            for (slot, operand) in args.iter_mut().zip(operands) {
                if matches!(unaliased(operand), Expr::Literal(..)) == pass {
                    match self.operand(operand, near.as_ref(), depth) {
                        Ok(t) => *slot = Some(t),
                        Err(reason) => return Judgement::no(reason),
                    }
                }
            }
        }
        self.ask(expr, op, &args.into_iter().flatten().collect::<Vec<_>>())
    }

    fn ask(&self, expr: &Expr, op: Op, args: &[Typed]) -> Judgement {
        let result = match self.type_of(expr) {
            Ok(result) => result,
            Err(reason) => return Judgement::no(reason),
        };
        let judged = self.dialect.scalar(&op, args, &result);
        match self.mostly.borrow_mut().as_mut() {
            Some(all) if judged.class == Class::No => match self.dialect.scalar_mostly(&op, args, &result) {
                Some(m) => {
                    let judged = Judgement::exact(m.value.scalar.clone(), m.value.ty.clone());
                    all.push(m);
                    judged
                }
                None => judged,
            },
            _ => judged,
        }
    }

    fn operand(&self, expr: &Expr, near: Option<&RemoteType>, depth: usize) -> Result<Typed, String> {
        let j = match unaliased(expr) {
            e @ Expr::Literal(..) => self.literal(e, near),
            e => self.judge(e, depth + 1),
        };
        exact_value(j, expr)
    }

    fn literal(&self, expr: &Expr, near: Option<&RemoteType>) -> Judgement {
        let Expr::Literal(scalar, _) = expr else { return Judgement::no("not a literal") };
        match literal::value(scalar) {
            Ok(v) => self.dialect.literal(&v, &scalar.data_type(), near),
            Err(reason) => Judgement::no(reason),
        }
    }
}

fn unaliased(e: &Expr) -> &Expr {
    match e {
        Expr::Alias(a) => unaliased(&a.expr),
        e => e,
    }
}

fn exact_value(j: Judgement, expr: &Expr) -> Result<Typed, String> {
    let why = |text: &str| if j.reason.is_empty() { format!("{expr} {text}") } else { j.reason.clone() };
    match j.class {
        Class::No => Err(why("is not sent")),
        Class::Superset => Err(why("is only a pre-filter at the source")),
        _ if j.filter_only => Err(why("is exact only as a condition")),
        _ => j.expr.clone().ok_or_else(|| why("has no remote form")),
    }
}

fn half(good: &Judgement, bad: &Judgement) -> Judgement {
    let mut j = good.clone();
    j.class = Class::Superset;
    j.filter_only = true;
    j.reason = bad.reason.clone();
    j
}

fn both(op: Op, l: Judgement, r: Judgement) -> Judgement {
    let reason = reasons(&l, &r);
    let (class, filter_only) = (l.class.min(r.class), l.filter_only || r.filter_only);
    let (Some(le), Some(re)) = (l.expr, r.expr) else { return Judgement::no(reason) };
    let ty = RemoteType::boolean(le.ty.nullable || re.ty.nullable);
    let mut args = vec![];
    for side in [le.scalar, re.scalar] {
        match side {
            // `a AND b AND c` as one call: a text without towers of parentheses.
            Scalar::Call { op: inner, args: inner_args, .. } if inner == op => args.extend(inner_args),
            other => args.push(other),
        }
    }
    Judgement { class, expr: Some(Typed { scalar: Scalar::call(op, args, ty.clone()), ty }), filter_only, reason }
}

fn reasons(l: &Judgement, r: &Judgement) -> String {
    match (l.reason.as_str(), r.reason.as_str()) {
        ("", b) => b.to_string(),
        (a, "") => a.to_string(),
        (a, b) if a == b => a.to_string(),
        (a, b) => format!("{a}; {b}"),
    }
}

/// The IR operator of a binary operator; AND and OR are composed elsewhere.
pub fn binary_op(op: Operator) -> Option<Op> {
    Some(match op {
        Operator::Eq => Op::Eq,
        Operator::NotEq => Op::NotEq,
        Operator::Lt => Op::Lt,
        Operator::LtEq => Op::LtEq,
        Operator::Gt => Op::Gt,
        Operator::GtEq => Op::GtEq,
        Operator::Plus => Op::Plus,
        Operator::Minus => Op::Minus,
        Operator::Multiply => Op::Multiply,
        Operator::Divide => Op::Divide,
        Operator::Modulo => Op::Modulo,
        Operator::IsDistinctFrom => Op::IsDistinctFrom,
        Operator::IsNotDistinctFrom => Op::IsNotDistinctFrom,
        Operator::StringConcat => Op::Concat,
        Operator::LikeMatch => Op::Like,
        Operator::NotLikeMatch => Op::NotLike,
        Operator::ILikeMatch => Op::ILike,
        Operator::NotILikeMatch => Op::NotILike,
        Operator::BitwiseAnd => Op::BitAnd,
        Operator::BitwiseOr => Op::BitOr,
        Operator::BitwiseXor => Op::BitXor,
        _ => return None,
    })
}
