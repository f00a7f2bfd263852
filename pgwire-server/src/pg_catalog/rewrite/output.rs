//! The outermost SELECT prints names for `regclass` and its kin, as psql expects; inside, they are OIDs and compare as such.

use sqlparser::ast::{Expr, Ident, SelectItem, SetExpr};

use super::build::{arguments, bare, call, last, text};
use super::expressions::printing;
use super::scope::{Source, owner, sources};

/// Makes the output items that are OIDs of objects print names.
pub fn print_names(body: &mut SetExpr) {
    match body {
        SetExpr::Select(s) => {
            let sources = sources(&s.from);
            for item in &mut s.projection {
                match item {
                    SelectItem::ExprWithAlias { expr, .. } => {
                        print(expr);
                        vector(expr, &sources);
                    }
                    SelectItem::UnnamedExpr(expr) => {
                        print(expr);
                        if let Some(column) = vector(expr, &sources) {
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

/// A column that is a vector (`indkey`) or the OID of a function (`typinput`) is printed as Postgres does: `1 2`, `array_in`. Its name, if it was one.
fn vector(e: &mut Expr, sources: &[Source]) -> Option<String> {
    let (place, column) = match bare(e) {
        Expr::Identifier(i) => owner(sources, std::slice::from_ref(i)),
        Expr::CompoundIdentifier(parts) => owner(sources, parts),
        _ => None,
    }?;
    let relation = sources.get(place)?.relation?;
    let of = relation.columns.get(relation.column(&column)?)?;
    let printed = match of.type_name {
        "int2vector" | "oidvector" => call("array_to_string", vec![e.clone(), text(" ")]),
        "regproc" => call("fjord_regproc_text", vec![e.clone()]),
        _ => return None,
    };
    *e = printed;
    Some(column)
}

fn print(e: &mut Expr) {
    if let Expr::Function(f) = bare(e)
        && let Some(name) = last(&f.name).and_then(|n| printing(&n))
        && let Some(args) = arguments(f)
    {
        *e = call(name, args.into_iter().cloned().collect());
    }
}
