//! Relations, subqueries, whole queries.

use super::{Generator, Visible};
use crate::ast::{Body, Expr, From, Key, Order, Piece, Query, SETS, Select, quoted};
use crate::types::{Family, Kind, Ty};

/// Subqueries in subqueries.
const DEPTH_MAX: usize = 2;
/// Rows that a relation of a join may have.
const JOINED_ROWS_MAX: usize = 100;

/// An output column.
struct Output {
    ty: Ty,
    magnitude: f64,
}

const DIRECTIONS: &[&str] = &["", "", " ASC", " DESC", " DESC", " NULLS FIRST", " DESC NULLS LAST", " ASC NULLS LAST"];

impl Generator<'_> {
    /// A query as a user sends it, and the types of its columns.
    pub(super) fn top(&mut self) -> (Query, Vec<Ty>) {
        let mut with = vec![];
        if self.rng.chance(12) {
            self.feature("WITH");
            for _ in 0..self.rng.between(1, 2) {
                let name = self.name("cte");
                let (query, outputs) = self.query(1, None);
                let columns = self.visible(&query, &outputs);
                with.push((name.clone(), query));
                self.ctes.push((name, columns));
            }
        }
        if self.rng.chance(5) {
            let (query, types) = self.star();
            return (Query { with, ..query }, types);
        }
        let (mut query, outputs) = self.query(0, None);
        query.with = with;
        let types: Vec<Ty> = outputs.iter().map(|o| o.ty).collect();
        if self.rng.chance(35) {
            self.sort(&mut query, &types, false);
        } else if self.rng.chance(10) {
            self.feature("LIMIT without ORDER BY");
            query.limit = Some(self.rng.below(6) as u64);
        }
        (query, types)
    }

    /// ORDER BY ordinals, and often LIMIT and OFFSET. `total`: equal rows are the same row.
    fn sort(&mut self, query: &mut Query, types: &[Ty], total: bool) {
        let mut ordinals: Vec<usize> = (1..=types.len()).filter(|i| types[i - 1].is_ordered()).collect();
        if ordinals.is_empty() || total && ordinals.len() < types.len() {
            return;
        }
        self.rng.shuffle(&mut ordinals);
        if !total && self.rng.chance(60) {
            ordinals.truncate(self.rng.between(1, 2));
        }
        self.feature("ORDER BY");
        let limited = total || self.rng.chance(50);
        for n in ordinals {
            let ty = types[n - 1];
            // Only which rows come at all matters to the third oracle's rows; the order of keys is looked at where it is the same.
            if limited {
                self.order(ty, ty);
            }
            let direction = *self.rng.pick(DIRECTIONS);
            query.order.push(Order { key: Key::Ordinal(n), direction });
        }
        if limited {
            self.feature("ORDER BY LIMIT");
            query.limit = Some(self.rng.between(if total { 1 } else { 0 }, 8) as u64);
            if self.rng.chance(35) {
                self.feature("OFFSET");
                query.offset = Some(self.rng.below(5) as u64);
            }
        }
    }

    fn star(&mut self) -> (Query, Vec<Ty>) {
        self.feature("SELECT *");
        let (from, scope) = self.relations(1);
        if matches!(from, From::Join { ref using, .. } if !using.is_empty()) {
            self.ours("SELECT * over USING");
        }
        let filter = self.rng.chance(60).then(|| self.boolean(&scope, 2, true));
        let all = Expr::text(Ty::Bool, "*");
        let types = scope.iter().map(|c| c.ty).collect();
        (Query::of(Select { items: vec![(all, None)], from: Some(from), filter, ..Select::default() }), types)
    }

    /// A query with columns of these types, or any.
    fn query(&mut self, depth: usize, wanted: Option<&[Ty]>) -> (Query, Vec<Output>) {
        let (query, outputs) = if depth < DEPTH_MAX && self.rng.chance(8) { self.set(depth, wanted) } else { self.select(depth, wanted) };
        if depth > 0 && self.rng.chance(12) {
            let mut limited = query;
            let types: Vec<Ty> = outputs.iter().map(|o| o.ty).collect();
            self.sort(&mut limited, &types, true);
            return (limited, outputs);
        }
        (query, outputs)
    }

    fn set(&mut self, depth: usize, wanted: Option<&[Ty]>) -> (Query, Vec<Output>) {
        let op = *self.rng.pick(&["UNION ALL", "UNION ALL", "UNION", "UNION", "INTERSECT", "EXCEPT"]);
        let (left, outputs) = self.select(depth + 1, wanted);
        let types: Vec<Ty> = outputs.iter().map(|o| o.ty).collect();
        if op != "UNION ALL" && !types.iter().all(|t| Self::groups(*t)) {
            return (left, outputs);
        }
        let (right, others) = self.select(depth + 1, Some(&types));
        self.feature(op);
        let mut merged = vec![];
        for (a, b) in outputs.iter().zip(&others) {
            if op != "UNION ALL" {
                self.merges(a.ty);
            }
            let kind = a.ty.kind().with(b.ty.kind());
            if matches!(kind, Kind::Citext | Kind::Bpchar | Kind::Enum | Kind::Nondeterministic | Kind::Mixed) {
                self.ours("one result of several text types");
            }
            let ty = if let Ty::Text(_) = a.ty { Ty::Text(kind) } else { a.ty };
            merged.push(Output { ty, magnitude: a.magnitude.max(b.magnitude) });
        }
        let body = Body::Set(op, Box::new(left), Box::new(right));
        (Query { with: vec![], body, order: vec![], limit: None, offset: None }, merged)
    }

    fn select(&mut self, depth: usize, wanted: Option<&[Ty]>) -> (Query, Vec<Output>) {
        let (from, scope) = self.relations(depth);
        let mut s = Select::default();
        if self.rng.chance(75) {
            self.feature("WHERE");
            s.filter = Some(self.boolean(&scope, 3, true));
        }
        let unique = scope.iter().find(|c| c.unique).cloned();
        let mut outputs = vec![];
        match self.rng.weighted(&[55, 28, 12, 7]) {
            1 => self.grouped(&mut s, &scope, wanted),
            mode => {
                let types = match wanted {
                    Some(t) => t.to_vec(),
                    None => (0..self.rng.between(1, 4)).map(|_| self.rng.pick(&scope).ty).collect(),
                };
                for ty in types {
                    let e = if self.rng.chance(60) { self.value(ty, &scope, 0) } else { self.value(ty, &scope, 2) };
                    s.items.push((e, None));
                }
                if mode == 2 && s.items.iter().all(|(e, _)| Self::groups(e.ty)) {
                    self.feature("DISTINCT");
                    s.distinct = true;
                    for (e, _) in &s.items {
                        self.merges(e.ty);
                    }
                }
                if let (3, Some(unique), None) = (mode, unique, wanted) {
                    let e = self.window(&scope, &unique);
                    s.items.push((e, None));
                }
                if depth == 0 && wanted.is_none() && mode == 0 && self.rng.chance(9) {
                    let subquery = match self.rng.chance(35).then(|| self.subquery_condition(&scope)).flatten() {
                        Some(condition) => {
                            self.feature("EXISTS, IN or comparison with a subquery in SELECT");
                            condition
                        }
                        None => self.scalar_subquery(&scope),
                    };
                    s.items.push((subquery, None));
                }
            }
        }
        for (e, _) in &s.items {
            outputs.push(Output { ty: e.ty, magnitude: e.magnitude });
        }
        s.from = Some(from);
        let mut query = Query::of(s);
        if depth > 0 || self.rng.chance(30) {
            self.alias(&mut query);
        }
        (query, outputs)
    }

    /// Names for the columns, so that an outer query can name them; `id` and `k` again, so that names meet.
    fn alias(&mut self, query: &mut Query) {
        let Body::Select(s) = &mut query.body else { return };
        let mut taken = vec![];
        for (e, name) in &mut s.items {
            let common = *self.rng.pick(&["id", "k", "n"]);
            let chosen = if self.rng.chance(40) && !taken.contains(&common.to_string()) && e.ty == Ty::I4 {
                common.to_string()
            } else {
                self.names += 1;
                format!("c{}", self.names)
            };
            taken.push(chosen.clone());
            *name = Some(chosen);
        }
    }

    fn grouped(&mut self, s: &mut Select, scope: &[Visible], wanted: Option<&[Ty]>) {
        self.feature("GROUP BY");
        let groupable: Vec<Visible> = scope.iter().filter(|c| Self::groups(c.ty)).cloned().collect();
        if let Some(types) = wanted {
            // A key for each column: an aggregate rarely has the wanted type.
            for ty in types {
                let e = self.value(*ty, scope, 0);
                if Self::groups(e.ty) && !matches!(e.pieces[..], [Piece::Literal { .. }]) {
                    self.merges(e.ty);
                    s.group.push(e.clone());
                    s.items.push((e, None));
                } else {
                    let e = self.literal(*ty);
                    s.items.push((e, None));
                }
            }
        } else {
            let keys = self.rng.weighted(&[25, 50, 25]);
            for _ in 0..keys {
                if groupable.is_empty() {
                    break;
                }
                let c = self.rng.pick(&groupable).clone();
                let e = if self.rng.chance(75) { Expr::text(c.ty, c.sql).bounded(c.magnitude) } else { self.value(c.ty, scope, 1) };
                if matches!(e.pieces[..], [Piece::Literal { .. }]) || !Self::groups(e.ty) {
                    continue;
                }
                self.merges(e.ty);
                s.group.push(e.clone());
                s.items.push((e, None));
            }
            let columns = s.group.iter().all(|e| matches!(e.pieces[..], [Piece::Text(_)]));
            // A key that comes twice in one of these: COMPAT.md.
            let mut texts: Vec<String> = s.group.iter().map(|e| format!("{e:?}")).collect();
            texts.sort();
            texts.dedup();
            if !s.group.is_empty() && columns && texts.len() == s.group.len() && self.rng.chance(25) {
                s.sets = *self.rng.pick(&["ROLLUP", "CUBE", SETS]);
                self.feature(if s.sets == SETS { SETS } else { "ROLLUP, CUBE" });
                if self.rng.chance(40) {
                    self.feature("grouping()");
                    let key = self.rng.pick(&s.group).clone();
                    s.items.push((Expr::of(Ty::I4, "grouping({})", vec![key]), None));
                }
            }
            for _ in 0..self.rng.between(if s.items.is_empty() { 1 } else { 0 }, 2) {
                let e = self.aggregate(scope);
                s.items.push((e, None));
            }
        }
        if self.rng.chance(20) {
            self.feature("HAVING");
            let e = self.aggregate(scope);
            let ty = if matches!(e.ty, Ty::Text(_)) { Ty::Text(Kind::Plain) } else { e.ty };
            let literal = self.literal(ty);
            let op = *self.rng.pick(&["=", "<>", ">", "<="]);
            if ty != Ty::Bool {
                self.order(e.ty, e.ty);
                s.having = Some(Expr::of(Ty::Bool, &format!("({{}} {op} {{}})"), vec![e, literal]));
            }
        }
        if s.group.is_empty() && s.having.is_none() && s.items.iter().all(|(e, _)| matches!(e.pieces[..], [Piece::Literal { .. }])) {
            // Without key and aggregate it would be no grouping at all.
            s.having = Some(Expr::text(Ty::Bool, "count(*) >= 0"));
        }
    }

    /// The columns of a subquery under its alias.
    fn visible(&self, query: &Query, outputs: &[Output]) -> Vec<Visible> {
        let mut at = query;
        while let Body::Set(_, left, _) = &at.body {
            at = left;
        }
        let Body::Select(s) = &at.body else { return vec![] };
        let name = |i: usize| s.items.get(i).and_then(|(_, n)| n.clone());
        let column =
            |(i, o): (usize, &Output)| Some(Visible { sql: name(i)?, ty: o.ty, magnitude: o.magnitude, raw: false, unique: false });
        outputs.iter().enumerate().filter_map(column).collect()
    }

    /// FROM: a relation, or a join of two or three.
    fn relations(&mut self, depth: usize) -> (From, Vec<Visible>) {
        let count = match self.rng.weighted(&[55, 33, 12]) {
            0 => 1,
            1 => 2,
            _ if depth == 0 => 3,
            _ => 2,
        };
        if count == 1 {
            return self.relation(depth, usize::MAX, true);
        }
        let (mut from, mut scope) = self.relation(depth, JOINED_ROWS_MAX, false);
        for _ in 1..count {
            let (right, other) = self.relation(depth.max(1), JOINED_ROWS_MAX, false);
            (from, scope) = self.join(from, scope, right, other);
        }
        (from, scope)
    }

    fn join(&mut self, left: From, a: Vec<Visible>, right: From, b: Vec<Visible>) -> (From, Vec<Visible>) {
        let mut kind = *self.rng.pick(&["JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let end = |c: &Visible, name: &str| c.sql.rsplit_once('.').is_some_and(|(_, n)| n == name);
        let has = |list: &[Visible], name: &str| list.iter().filter(|c| end(c, name) && c.ty == Ty::I4).count() == 1;
        let mut using = vec![];
        let mut on = None;
        let shared = if self.rng.chance(50) { "id" } else { "k" };
        if self.rng.chance(15) && has(&a, shared) && has(&b, shared) {
            self.feature("JOIN USING");
            using.push(shared.to_string());
        } else {
            on = self.join_condition(&a, &b, kind);
            if on.is_none() {
                kind = "CROSS JOIN";
            }
        }
        self.feature(kind);
        let both = |f: fn(&From) -> bool, l: &From, r: &From| f(l) && f(r);
        if both(|f| matches!(f, From::Table { file: false, .. }), &left, &right) {
            self.feature("join of two source tables");
        }
        if let (From::Table { name: l, .. }, From::Table { name: r, .. }) = (&left, &right)
            && l == r
        {
            self.feature("self join (every column name twice)");
        }
        let file = |f: &From| matches!(f, From::Table { file: true, .. });
        if file(&left) != file(&right) {
            self.feature("join of a source and a file");
        }
        let scope = a.into_iter().chain(b).map(|c| Visible { unique: false, ..c }).collect();
        (From::Join { kind, left: Box::new(left), right: Box::new(right), on, using }, scope)
    }

    fn join_condition(&mut self, a: &[Visible], b: &[Visible], kind: &str) -> Option<Expr> {
        if kind == "JOIN" && self.rng.chance(5) {
            return None;
        }
        let rare = |c: &&Visible| c.ty == Ty::I4 && c.magnitude == 1000.0;
        let mut pairs = vec![];
        for x in a {
            for y in b.iter().filter(|y| y.ty.family() == x.ty.family() && y.ty.is_ordered() && y.ty != Ty::Bool) {
                if matches!(x.ty.family(), Family::Own(_)) && x.ty != y.ty {
                    continue;
                }
                pairs.push((x, y));
            }
        }
        let keyed: Vec<_> = pairs.iter().filter(|(x, y)| rare(x) && rare(y)).copied().collect();
        let list = if !keyed.is_empty() && self.rng.chance(55) { &keyed } else { &pairs };
        if list.is_empty() {
            return None;
        }
        let (x, y) = *self.rng.pick(list);
        if matches!(x.ty.family(), Family::Float) {
            self.feature("join on floats");
        }
        if matches!(x.ty, Ty::Text(_)) {
            self.feature("join on texts");
        }
        let op = *self.rng.pick(&["=", "=", "=", "=", "=", "=", "=", "=", "<", "IS NOT DISTINCT FROM"]);
        if op == "<" {
            self.order(x.ty, y.ty)
        } else {
            self.equality(x.ty, y.ty)
        }
        let column = |c: &Visible| Expr::text(c.ty, c.sql.clone());
        let mut list = vec![Expr::of(Ty::Bool, &format!("({{}} {op} {{}})"), vec![column(x), column(y)])];
        if self.rng.chance(20) && !pairs.is_empty() {
            let (x, y) = *self.rng.pick(&pairs);
            self.feature("join on two columns");
            self.equality(x.ty, y.ty);
            list.push(Expr::of(Ty::Bool, "{} = {}", vec![column(x), column(y)]));
        }
        if self.rng.chance(20) {
            self.feature("further condition in ON");
            let both: Vec<Visible> = a.iter().chain(b).cloned().collect();
            list.push(self.boolean(&both, 1, false));
        }
        Some(Expr::new(Ty::Bool, vec![Piece::List(list, " AND ")]))
    }

    /// A table, a file, a common table expression or a subquery.
    fn relation(&mut self, depth: usize, rows_max: usize, alone: bool) -> (From, Vec<Visible>) {
        if !self.ctes.is_empty() && self.rng.chance(40) {
            let (name, columns) = self.rng.pick(&self.ctes).clone();
            if !columns.is_empty() {
                let alias = self.name("a");
                let columns = columns.into_iter().map(|c| Visible { sql: format!("{alias}.{}", c.sql), ..c }).collect();
                return (From::Cte(name, alias), columns);
            }
        }
        if depth < DEPTH_MAX && self.rng.chance(15) {
            let (query, outputs) = self.query(depth + 1, None);
            let columns = self.visible(&query, &outputs);
            if !columns.is_empty() {
                self.feature("derived table");
                let alias = self.name("s");
                let columns = columns.into_iter().map(|c| Visible { sql: format!("{alias}.{}", c.sql), ..c }).collect();
                return (From::Sub(Box::new(query), alias), columns);
            }
        }
        self.table(rows_max, alone)
    }

    fn table(&mut self, rows_max: usize, alone: bool) -> (From, Vec<Visible>) {
        let world = self.world;
        let small: Vec<_> = world.tables.iter().filter(|t| t.rows.len() <= rows_max).collect();
        let t = if small.is_empty() { &world.tables[0] } else { *self.rng.pick(&small) };
        if t.rows.is_empty() {
            self.feature("empty table");
        }
        // A bare name is that of the table; everything else has an alias of its own.
        let alias = (!alone || self.rng.chance(70)).then(|| self.name("a"));
        let prefix = alias.as_ref().map_or(String::new(), |a| format!("{a}."));
        let simple = |n: &str| n.chars().all(|c| c.is_ascii_lowercase()) && !matches!(n, "select" | "order");
        let columns = t.columns.iter().map(|c| Visible {
            sql: format!("{prefix}{}", if simple(&c.name) { c.name.clone() } else { quoted(&c.name) }),
            ty: c.ty,
            magnitude: c.magnitude,
            raw: true,
            unique: c.unique && alone,
        });
        (From::Table { name: t.name.clone(), file: t.file, alias }, columns.collect())
    }

    /// A condition between a subquery's table and what is around it.
    fn correlated(&mut self, sc: &[Visible], inner: &[Visible]) -> Option<Expr> {
        let outer: Vec<&Visible> = sc.iter().filter(|c| c.sql.contains('.') && !c.sql.starts_with('"')).collect();
        let mut pairs = vec![];
        for x in inner {
            for y in outer.iter().filter(|y| y.ty.family() == x.ty.family() && x.ty.is_ordered() && x.ty != Ty::Bool) {
                if !matches!(x.ty.family(), Family::Own(_)) || x.ty == y.ty {
                    pairs.push((x.clone(), (*y).clone()));
                }
            }
        }
        if pairs.is_empty() {
            return None;
        }
        let (x, y) = self.rng.pick(&pairs).clone();
        self.equality(x.ty, y.ty);
        Some(Expr::of(Ty::Bool, "{} = {}", vec![Expr::text(x.ty, x.sql), Expr::text(y.ty, y.sql)]))
    }

    /// EXISTS, IN, comparison with a scalar.
    pub(super) fn subquery_condition(&mut self, sc: &[Visible]) -> Option<Expr> {
        let (from, inner) = self.table(JOINED_ROWS_MAX, false);
        let mut s = Select { from: Some(from), ..Select::default() };
        let own = if self.rng.chance(60) { Some(self.boolean(&inner, 1, false)) } else { None };
        match self.rng.below(3) {
            0 => {
                let condition = self.correlated(sc, &inner);
                self.feature(if condition.is_some() { "EXISTS, correlated" } else { "EXISTS" });
                let list: Vec<Expr> = condition.into_iter().chain(own).collect();
                s.filter = (!list.is_empty()).then(|| Expr::new(Ty::Bool, vec![Piece::List(list, " AND ")]));
                s.items = vec![(Expr::text(Ty::I4, "1"), None)];
                let not = if self.rng.chance(40) { "NOT " } else { "" };
                Some(Expr::new(Ty::Bool, vec![Piece::Text(format!("{not}EXISTS ")), Piece::Query(Box::new(Query::of(s)))]))
            }
            1 => {
                let candidates: Vec<(Visible, Visible)> = sc
                    .iter()
                    .filter(|x| x.ty.is_ordered() && x.ty != Ty::Bool)
                    .flat_map(|x| inner.iter().filter(|y| y.ty == x.ty).map(|y| (x.clone(), y.clone())))
                    .collect();
                if candidates.is_empty() {
                    return None;
                }
                let (x, y) = self.rng.pick(&candidates).clone();
                self.equality(x.ty, y.ty);
                let not = if self.rng.chance(40) { "NOT " } else { "" };
                self.feature(if not.is_empty() { "IN subquery" } else { "NOT IN subquery" });
                s.filter = own;
                s.items = vec![(Expr::text(y.ty, y.sql), None)];
                let pieces = vec![
                    Piece::Text("(".into()),
                    Piece::Expr(Expr::text(x.ty, x.sql)),
                    Piece::Text(format!(" {not}IN ")),
                    Piece::Query(Box::new(Query::of(s))),
                    Piece::Text(")".into()),
                ];
                Some(Expr::new(Ty::Bool, pieces))
            }
            _ => {
                let numbers: Vec<&Visible> = sc.iter().filter(|c| c.ty.is_integer()).collect();
                if numbers.is_empty() {
                    return None;
                }
                let x = (*self.rng.pick(&numbers)).clone();
                let condition = self.correlated(sc, &inner);
                self.feature(if condition.is_some() { "scalar subquery, correlated" } else { "scalar subquery" });
                let list: Vec<Expr> = condition.into_iter().chain(own).collect();
                s.filter = (!list.is_empty()).then(|| Expr::new(Ty::Bool, vec![Piece::List(list, " AND ")]));
                s.items = vec![(self.counted(&inner), None)];
                let op = *self.rng.pick(&["=", "<", ">", ">=", "<>"]);
                let pieces = vec![
                    Piece::Text("(".into()),
                    Piece::Expr(Expr::text(x.ty, x.sql)),
                    Piece::Text(format!(" {op} ")),
                    Piece::Query(Box::new(Query::of(s))),
                    Piece::Text(")".into()),
                ];
                Some(Expr::new(Ty::Bool, pieces))
            }
        }
    }

    /// An aggregate of integers: a scalar subquery returns exactly one row.
    fn counted(&mut self, inner: &[Visible]) -> Expr {
        let numbers: Vec<&Visible> = inner.iter().filter(|c| c.ty.is_integer()).collect();
        if numbers.is_empty() || self.rng.chance(30) {
            return Expr::text(Ty::I8, "count(*)");
        }
        let c = (*self.rng.pick(&numbers)).clone();
        let name = *self.rng.pick(&["min", "max", "sum", "count"]);
        Expr::of(Ty::I8, &format!("{name}({{}})"), vec![Expr::text(c.ty, c.sql)])
    }

    fn scalar_subquery(&mut self, sc: &[Visible]) -> Expr {
        let (from, inner) = self.table(JOINED_ROWS_MAX, false);
        self.feature("scalar subquery in SELECT");
        let own = self.rng.chance(50).then(|| self.boolean(&inner, 1, false));
        let correlated = if self.rng.chance(40) { self.correlated(sc, &inner) } else { None };
        if correlated.is_some() {
            self.feature("scalar subquery in SELECT, correlated");
        }
        let list: Vec<Expr> = correlated.into_iter().chain(own).collect();
        let filter = (!list.is_empty()).then(|| Expr::new(Ty::Bool, vec![Piece::List(list, " AND ")]));
        let items = vec![(self.counted(&inner), None)];
        let s = Select { items, from: Some(from), filter, ..Select::default() };
        Expr::new(Ty::I8, vec![Piece::Query(Box::new(Query::of(s)))])
    }
}
