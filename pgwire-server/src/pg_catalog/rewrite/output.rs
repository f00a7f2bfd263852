//! The outermost SELECT prints names for `regclass` and its kin, as psql expects; inside, they are OIDs and compare as such.

use std::collections::HashSet;
use std::ops::ControlFlow;

use fjord_engine::session::NAME_MARK;
use sqlparser::ast::{Expr, Ident, OrderByKind, Query, SelectItem, SetExpr, Visit, Visitor};

use super::build::{arguments, bare, call, folded, last};
use super::expressions::showing;
use super::scope::{Source, owner, sources};

/// `SELECT c.oid::regclass ... ORDER BY f(c.oid)`: the output is named `oid` too, which DataFusion finds ambiguous. Such an output gets a name
/// behind which the client's is hidden.
pub fn unshadow(query: &mut Query) {
    let (SetExpr::Select(select), Some(OrderByKind::Expressions(order))) = (query.body.as_mut(), query.order_by.as_ref().map(|o| &o.kind))
    else {
        return;
    };
    struct Columns(HashSet<String>);
    impl Visitor for Columns {
        type Break = ();
        fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
            if let Expr::CompoundIdentifier(parts) = e {
                self.0.extend(parts.last().map(folded));
            }
            ControlFlow::Continue(())
        }
    }
    let mut columns = Columns(HashSet::new());
    let mut outputs = HashSet::new();
    for o in order {
        match bare(&o.expr) {
            Expr::Identifier(i) => {
                outputs.insert(folded(i));
            }
            Expr::CompoundIdentifier(_) => {}
            computed => {
                let _ = computed.visit(&mut columns);
            }
        }
    }
    for item in &mut select.projection {
        if let SelectItem::ExprWithAlias { alias, .. } = item {
            let name = folded(alias);
            if columns.0.contains(&name) && !outputs.contains(&name) {
                *alias = Ident::with_quote('"', format!("{name}{NAME_MARK}o"));
            }
        }
    }
}

/// Makes the output items that are OIDs of objects print names.
pub fn print_names(body: &mut SetExpr) {
    match body {
        SetExpr::Select(s) => {
            let sources = sources(&s.from);
            for item in &mut s.projection {
                match item {
                    SelectItem::ExprWithAlias { expr, .. } => {
                        print(expr);
                        procedure(expr, &sources);
                    }
                    SelectItem::UnnamedExpr(expr) => {
                        print(expr);
                        if let Some(column) = procedure(expr, &sources) {
                            let expr = std::mem::replace(expr, super::build::number(0));
                            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', column) };
                        }
                    }
                    _ => {}
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            print_names(left);
            print_names(right);
        }
        SetExpr::Query(q) => print_names(&mut q.body),
        _ => {}
    }
}

/// A column that is the OID of a function (`typinput`) is printed as Postgres does: `array_in`. Its name, if it was one.
fn procedure(e: &mut Expr, sources: &[Source]) -> Option<String> {
    let (place, column) = match bare(e) {
        Expr::Identifier(i) => owner(sources, std::slice::from_ref(i)),
        Expr::CompoundIdentifier(parts) => owner(sources, parts),
        _ => None,
    }?;
    let relation = sources.get(place)?.relation?;
    let of = relation.columns.get(relation.column(&column)?)?;
    let printed = match of.type_name {
        "regproc" => call("fjord_regproc_out", vec![e.clone()]),
        _ => return None,
    };
    *e = printed;
    Some(column)
}

fn print(e: &mut Expr) {
    if let Expr::Function(f) = bare(e)
        && let Some(name) = last(&f.name).and_then(|n| showing(&n))
        && let Some(args) = arguments(f)
    {
        *e = call(name, args.into_iter().cloned().collect());
    }
}
