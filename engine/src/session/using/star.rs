//! `*`, `l.*` and `r.*` over joins by USING.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Ident, ObjectName, ObjectNamePart, Select, SelectItem, SelectItemQualifiedWildcardKind, TableWithJoins, VisitMut, VisitorMut,
};

use super::{Joins, constraint, last, name_of, normalized};

/// `*` over joins by USING: the merged columns, those of the last join first, and then each table's others.
pub(super) struct Star {
    pub(super) merged: Vec<(String, Vec<Ident>)>,
    /// Each table, and which of the merged columns it has.
    pub(super) tables: Vec<(Vec<Ident>, Vec<String>)>,
}

impl Star {
    pub(super) fn of(from: &[TableWithJoins]) -> Option<Star> {
        let [from] = from else { return None };
        let mut tables = vec![(name_of(&from.relation)?, vec![])];
        let mut merged: Vec<(String, Vec<Ident>)> = vec![];
        for join in &from.joins {
            let table = name_of(&join.relation)?;
            let mut has = vec![];
            let mut first = vec![];
            match constraint(join) {
                Some((ast::JoinConstraint::Natural, _)) => return None,
                Some((ast::JoinConstraint::Using(columns), _)) => {
                    for column in columns.iter().filter_map(last).map(normalized) {
                        match merged.iter().position(|(c, _)| *c == column) {
                            Some(i) => first.push(merged.remove(i)),
                            None if tables.len() == 1 => {
                                tables[0].1.push(column.clone());
                                first.push((column.clone(), tables[0].0.clone()));
                            }
                            // One of the tables before has it; only their columns would tell which.
                            None => return None,
                        }
                        has.push(column);
                    }
                }
                _ => {}
            }
            first.append(&mut merged);
            merged = first;
            tables.push((table, has));
        }
        (!merged.is_empty()).then_some(Star { merged, tables })
    }
    pub(super) fn items(&self) -> Vec<SelectItem> {
        let quoted = |c: &String| Ident::with_quote('"', c.clone());
        let merged = self.merged.iter().map(|(column, table)| {
            SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(table.iter().cloned().chain([quoted(column)]).collect()))
        });
        let tables = self.tables.iter().map(|(table, has)| {
            let mut options = ast::WildcardAdditionalOptions::default();
            if let Some((first, more)) = has.split_first() {
                options.opt_except =
                    Some(ast::ExceptSelectItem { first_element: quoted(first), additional_elements: more.iter().map(quoted).collect() });
            }
            let table = ObjectName(table.iter().cloned().map(ObjectNamePart::Identifier).collect());
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options)
        });
        merged.chain(tables).collect()
    }
}

/// Two tables whose merged columns nobody asks for, only `l.*` or `r.*`: the same as a join by ON.
pub(super) fn by_condition(select: &mut Select) {
    let joins = Joins::of(&select.from);
    let Some(star) = joins.star.as_ref().filter(|s| joins.outer && s.tables.len() == 2) else { return };
    let tables = select.projection.iter().any(|i| matches!(i, SelectItem::QualifiedWildcard(..)));
    if !tables || select.projection.iter().any(|i| matches!(i, SelectItem::Wildcard(_))) {
        return;
    }
    struct Mentions<'a>(&'a Joins);
    impl VisitorMut for Mentions<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, e: &mut ast::Expr) -> ControlFlow<()> {
            match e {
                ast::Expr::Identifier(i) if self.0.concerns(i) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let condition = star.merged.iter().map(|(column, _)| {
        let side = |i: usize| {
            let table: &[Ident] = star.tables.get(i).map_or(&[], |(t, _)| t);
            ast::Expr::CompoundIdentifier(table.iter().cloned().chain([Ident::with_quote('"', column.clone())]).collect())
        };
        ast::Expr::BinaryOp { left: Box::new(side(0)), op: ast::BinaryOperator::Eq, right: Box::new(side(1)) }
    });
    let and = |a, b| ast::Expr::BinaryOp { left: Box::new(a), op: ast::BinaryOperator::And, right: Box::new(b) };
    let Some(condition) = condition.reduce(and) else { return };
    if select.visit(&mut Mentions(&joins)).is_break() {
        return;
    }
    if let Some(join) = select.from.first_mut().and_then(|f| f.joins.first_mut()) {
        use ast::JoinOperator as J;
        if let J::Join(c) | J::Inner(c) | J::Left(c) | J::LeftOuter(c) | J::Right(c) | J::RightOuter(c) | J::FullOuter(c) =
            &mut join.join_operator
        {
            *c = ast::JoinConstraint::On(condition);
        }
    }
}
