//! The four safety classes, and what a dialect answers.

use std::fmt::{self, Debug};

use arrow::datatypes::DataType;

use super::ir::{AggregateFunction, JoinKind, Op, Rel, RemoteType, Scalar, Value};
use crate::error::Result;

/// How safe it is to run an expression at the source. Ordered from worst to best, so that `min` is the class of a combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Not provable: local only.
    No,
    /// The source keeps every right row and maybe more: a pre-filter; the original stays local.
    Superset,
    /// Exact after a rewrite: the rewrite is pushed, nothing is left.
    Rewritten,
    /// The source gives exactly what DataFusion would.
    Exact,
}

impl Class {
    /// Nothing is left to do locally.
    pub fn is_exact(self) -> bool {
        self >= Class::Rewritten
    }
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::No => "no",
            Class::Superset => "superset",
            Class::Rewritten => "rewritten",
            Class::Exact => "exact",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An expression that was judged exact as a value, with its type: an argument of the next operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// The expression as it would be sent.
    pub scalar: Scalar,
    /// Its type.
    pub ty: RemoteType,
}

impl Typed {
    /// The literal's value, if it is one.
    pub fn literal(&self) -> Option<&Value> {
        match &self.scalar {
            Scalar::Literal(v, _) => Some(v),
            _ => None,
        }
    }
}

/// An expression that is exact as a value but for some rows (`lower` of letters outside of ASCII, a text that may be no number).
#[derive(Debug, Clone, PartialEq)]
pub struct Mostly {
    /// The value where it is exact; it never raises.
    pub value: Typed,
    /// A boolean that is true for every row where it is not. NULL only where the value is NULL and exact.
    pub except: Scalar,
    /// Which rows these are, for people.
    pub reason: String,
}

/// A dialect's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The class.
    pub class: Class,
    /// What would be sent; `None` for [`Class::No`].
    pub expr: Option<Typed>,
    /// Exact (or a superset) only as a filter, where NULL and false are alike; never under NOT, CASE, a projection or a grouping.
    pub filter_only: bool,
    /// Why, in words a user understands: why not, or what was rewritten and what it costs (`name is en_US: byte order by COLLATE "C"`). Empty for
    /// a plain exact push.
    pub reason: String,
}

impl Judgement {
    /// Pushed as it is.
    pub fn exact(scalar: Scalar, ty: RemoteType) -> Judgement {
        Judgement { class: Class::Exact, expr: Some(Typed { scalar, ty }), filter_only: false, reason: String::new() }
    }
    /// Pushed in another form.
    pub fn rewritten(scalar: Scalar, ty: RemoteType, reason: impl Into<String>) -> Judgement {
        Judgement { class: Class::Rewritten, expr: Some(Typed { scalar, ty }), filter_only: false, reason: reason.into() }
    }
    /// Pushed as a pre-filter.
    pub fn superset(scalar: Scalar, ty: RemoteType, reason: impl Into<String>) -> Judgement {
        Judgement { class: Class::Superset, expr: Some(Typed { scalar, ty }), filter_only: true, reason: reason.into() }
    }
    /// Stays local.
    pub fn no(reason: impl Into<String>) -> Judgement {
        Judgement { class: Class::No, expr: None, filter_only: false, reason: reason.into() }
    }
    /// The same, good only as a filter.
    #[must_use]
    pub fn as_filter_only(mut self) -> Judgement {
        self.filter_only = true;
        self
    }
}

/// An aggregate call whose arguments and filter were judged exact.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// The function.
    pub function: AggregateFunction,
    /// The arguments.
    pub args: Vec<Typed>,
    /// DISTINCT.
    pub distinct: bool,
    /// FILTER, judged exact as a filter.
    pub filter: Option<Typed>,
    /// The Arrow type that DataFusion expects of the result.
    pub result: DataType,
}

/// A sort key whose expression was judged exact.
#[derive(Debug, Clone)]
pub struct SortSpec {
    /// The expression.
    pub expr: Typed,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// The text of a remote query and its bind values, as far as the protocol has them.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteText {
    /// The text, with `$1`... where `params` is not empty.
    pub text: String,
    /// The bind values.
    pub params: Vec<(Value, RemoteType)>,
}

/// What a source can take over, and how it is written. Pure: no I/O.
///
/// The engine converts DataFusion's expressions bottom-up. Boolean structure (AND, OR, NOT, IS TRUE...) it composes itself from the classes; every
/// other operator it asks for here, with arguments that are exact values already.
pub trait Dialect: Send + Sync + Debug {
    /// `postgres`.
    fn name(&self) -> &'static str;
    /// Judges `op(args)`. `result` is the Arrow type that DataFusion computes; for [`Op::Cast`] the target.
    fn scalar(&self, op: &Op, args: &[Typed], result: &DataType) -> Judgement;
    /// What [`Dialect::scalar`] refuses, in a form that is exact for most values: the form, and which rows it is not exact for. Whatever is judged over the
    /// form, OR that condition, keeps every right row.
    fn scalar_mostly(&self, _op: &Op, _args: &[Typed], _result: &DataType) -> Option<Mostly> {
        None
    }
    /// The type of a literal that meets this dialect, or why it cannot be sent (NUL in a text, a date out of range). `near` is the type of the
    /// expression it is compared with, if that is known.
    fn literal(&self, value: &Value, arrow: &DataType, near: Option<&RemoteType>) -> Judgement;
    /// Judges an expression as a grouping or DISTINCT key: groups must be those of the bytes. What is sent must also *arrive* as the value itself.
    fn group_key(&self, key: &Typed) -> Judgement;
    /// The type in which the grouping id of so many keys arrives as `arrow`; `None`: GROUPING SETS are not sent.
    fn grouping_id(&self, _keys: usize, _arrow: &DataType) -> Option<RemoteType> {
        None
    }
    /// Judges a sort key: the order must be that of DataFusion, NULLs included.
    fn sort_key(&self, key: &SortSpec) -> Judgement;
    /// Judges an aggregate. The judged expression's scalar is ignored but for its arguments: the answer's `expr.ty` is the type in which it arrives;
    /// rewritten arguments are in `args` of the returned call.
    fn aggregate(&self, call: &AggregateCall) -> (Judgement, Vec<Scalar>);
    /// The columns of a UNION's inputs in one type that arrives as `result`: the columns as they are sent, their type, and what was rewritten
    /// (empty: nothing). Or why there is none.
    fn union_column(&self, columns: &[Typed], result: &DataType) -> std::result::Result<(Vec<Typed>, RemoteType, String), String>;
    /// Why no join of this kind is sent (a source without FULL JOIN); `None`: it may be, if its conditions may.
    fn refuses_join(&self, _kind: JoinKind) -> Option<String> {
        None
    }
    /// Why no UNION is sent (a source that unites what lies in one database only); `None`: it may be, if its columns may.
    fn refuses_union(&self) -> Option<String> {
        None
    }
    /// Writes the whole query. The output columns come in order; the reader goes by position.
    fn render(&self, rel: &Rel) -> Result<RemoteText>;
}
