//! The outermost SELECT prints names for `regclass` and its kin, as psql expects; inside, they are OIDs and compare as such.

use sqlparser::ast::{Expr, SelectItem, SetExpr};

use super::build::{arguments, bare, call, last};
use super::expressions::printing;

/// Makes the output items that are OIDs of objects print names.
pub fn print_names(body: &mut SetExpr) {
    match body {
        SetExpr::Select(s) => {
            for item in &mut s.projection {
                if let SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } = item {
                    print(e);
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

fn print(e: &mut Expr) {
    if let Expr::Function(f) = bare(e)
        && let Some(name) = last(&f.name).and_then(|n| printing(&n))
        && let Some(args) = arguments(f)
    {
        *e = call(name, args.into_iter().cloned().collect());
    }
}
