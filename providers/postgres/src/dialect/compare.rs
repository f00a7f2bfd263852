//! Comparisons and IN lists.

use fjord_engine::pushdown::{Class, Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::PostgresDialect;
use super::text::ByteForm;
use super::types::{call, describe, sound, texty};

/// More elements than this are not sent in one list: the text of a query is bounded, and the planner at the source slows down.
const IN_LIST_MAX: usize = 100_000;

/// How a text-like column meets one literal under `=`.
enum Meeting {
    /// The type's own equality is that of the bytes for this literal.
    Plain(Typed),
    /// The type's own equality is coarser: it finds the rows by the index, a second conjunct makes them exact.
    Coarse(Typed),
    /// Only the text form compares.
    Text,
    /// No value of the type reads as this text.
    Never(String),
}

impl PostgresDialect {
    /// `a op b` for the six comparisons and IS [NOT] DISTINCT FROM.
    pub(super) fn compare(&self, op: &Op, a: &Typed, b: &Typed) -> Judgement {
        if a.literal().is_some() && b.literal().is_some() {
            return Judgement::no("two literals are compared here");
        }
        if matches!(a.literal(), Some(Value::Null)) || matches!(b.literal(), Some(Value::Null)) {
            return Judgement::no("a comparison with NULL is folded here");
        }
        if a.literal().is_some() {
            return self.compare(&mirrored(op), b, a);
        }
        if texty(&a.ty) && texty(&b.ty) {
            return self.compare_text(op, a, b).unwrap_or_else(Judgement::no);
        }
        match plain_comparable(&a.ty, &b.ty) {
            Ok(()) => exact(op, a, b),
            Err(reason) => Judgement::no(reason),
        }
    }

    fn compare_text(&self, op: &Op, a: &Typed, b: &Typed) -> Result<Judgement, String> {
        let equality = matches!(op, Op::Eq | Op::NotEq | Op::IsDistinctFrom | Op::IsNotDistinctFrom);
        if let Some(Value::Text(s)) = b.literal() {
            self.sendable(&Value::Text(s.clone()))?;
            // Order of canonical uuids is order of bytes; every other range goes through bytes of the text.
            if equality || (a.ty.family == Family::Uuid && canonical_uuid(s)) {
                match self.meet(a, s)? {
                    Meeting::Plain(literal) => return Ok(exact(op, a, &literal)),
                    Meeting::Coarse(literal) if *op == Op::Eq => return self.two_conjuncts(a, literal, b),
                    Meeting::Never(reason) => return Ok(never(op, a, reason)),
                    Meeting::Coarse(_) | Meeting::Text => {}
                }
            }
            let form = if equality { self.equality_form(a)? } else { self.byte_form(a)? };
            return Ok(rewritten_compare(op, &form, &ByteForm { expr: b.clone(), reason: String::new() }));
        }
        let same_type = a.ty.family == b.ty.family && a.ty.name == b.ty.name;
        match a.ty.family {
            Family::Uuid if same_type => return Ok(exact(op, a, b)),
            Family::Enum(_) if same_type && equality => return Ok(exact(op, a, b)),
            _ => {}
        }
        let (left, right) =
            if equality { (self.equality_form(a)?, self.equality_form(b)?) } else { (self.byte_form(a)?, self.byte_form(b)?) };
        let left = self.reconcile(left, &right);
        Ok(rewritten_compare(op, &left, &right))
    }

    fn meet(&self, a: &Typed, s: &str) -> Result<Meeting, String> {
        let literal = |ty: RemoteType| Typed { scalar: Scalar::Literal(Value::Text(s.into()), ty.clone()), ty };
        // Facts first: an unknown encoding or collation ends here.
        let form = self.equality_form(a)?;
        Ok(match &a.ty.family {
            // `name = 'unknown literal'` would cut the literal at 63 bytes and find rows that differ in the rest.
            Family::Text if a.ty.name == "name" && s.len() > 63 => Meeting::Never("a name has at most 63 bytes".into()),
            Family::Text if !form.changed() => Meeting::Plain(literal(text_type(&a.ty))),
            Family::Text => Meeting::Coarse(literal(text_type(&a.ty))),
            // Postgres ignores trailing blanks of a bpchar, and the reader strips them: no value reads as a text that ends in one.
            Family::Bpchar if s.ends_with(' ') => Meeting::Never("a bpchar is read without trailing blanks".into()),
            Family::Bpchar if self.bpchar_bytewise(&a.ty)? => Meeting::Plain(literal(text_type(&a.ty))),
            Family::Bpchar => Meeting::Coarse(literal(text_type(&a.ty))),
            Family::Citext => Meeting::Coarse(literal(text_type(&a.ty))),
            // A text that is no label raises 22P02 where it meets an enum.
            Family::Enum(labels) if labels.iter().any(|l| l == s) => Meeting::Plain(literal(text_type(&a.ty))),
            // Postgres takes other spellings of a uuid (upper case, braces); here it is the canonical text that is compared.
            Family::Uuid if canonical_uuid(s) => Meeting::Plain(literal(text_type(&a.ty))),
            Family::Uuid => Meeting::Never("a uuid reads as its canonical lower-case text".into()),
            _ => Meeting::Text,
        })
    }

    /// `a = 'x' AND a COLLATE "C" = 'x'`: the first conjunct keeps the index, the second makes it exact. Bytes that are equal are equal under
    /// every collation, so the pair is the second conjunct, NULLs included.
    fn two_conjuncts(&self, a: &Typed, literal: Typed, text: &Typed) -> Result<Judgement, String> {
        let form = self.byte_form(a)?;
        let bytes = comparison(&Op::Eq, &form.expr, text);
        let Some(first) = coarse_equal(a, &literal) else {
            return Ok(Judgement::rewritten(bytes.scalar, bytes.ty, form.reason));
        };
        let both = call(Op::And, vec![first.scalar, bytes.scalar], RemoteType::boolean(a.ty.nullable));
        Ok(Judgement::rewritten(
            both.scalar,
            both.ty,
            format!("{} compares coarser than bytes: equality made exact by a second conjunct", describe(&a.ty)),
        ))
    }

    /// `a [NOT] IN (list)`, NULLs in the list included.
    pub(super) fn in_list(&self, a: &Typed, list: &[Typed], negated: bool) -> Judgement {
        if list.len() > IN_LIST_MAX {
            return Judgement::no(format!("an IN list of {} elements is evaluated here", list.len()));
        }
        if a.literal().is_some() || list.iter().any(|l| l.literal().is_none()) {
            return self.in_as_comparisons(a, list, negated);
        }
        if texty(&a.ty) {
            return self.in_text(a, list, negated).unwrap_or_else(Judgement::no);
        }
        for element in list.iter().filter(|l| !matches!(l.literal(), Some(Value::Null))) {
            // DataFusion compares floats of an IN list by their bits: 0.0 does not find -0.0 there, while it does at the source.
            if element.literal().is_some_and(zero_or_nan) {
                return Judgement::no("an IN list with a zero or NaN among floats is compared by bits here");
            }
            if let Err(reason) = plain_comparable(&a.ty, &element.ty) {
                return Judgement::no(reason);
            }
        }
        let op = if negated { Op::NotIn } else { Op::In };
        let made = list_call(&op, a, list);
        Judgement::exact(made.scalar, made.ty)
    }

    fn in_text(&self, a: &Typed, list: &[Typed], negated: bool) -> Result<Judgement, String> {
        let (mut plain, mut coarse, mut text, mut nulls) = (vec![], vec![], vec![], vec![]);
        for element in list {
            match element.literal() {
                Some(Value::Text(s)) => {
                    self.sendable(&Value::Text(s.clone()))?;
                    match self.meet(a, s)? {
                        Meeting::Plain(literal) => plain.push(literal),
                        Meeting::Coarse(literal) => coarse.push((literal, element.clone())),
                        Meeting::Text => text.push(element.clone()),
                        Meeting::Never(_) => {}
                    }
                }
                Some(Value::Null) => nulls.push(element.clone()),
                _ => return Err("an IN list of mixed types is evaluated here".into()),
            }
        }
        let form = self.equality_form(a)?;
        let op = if negated { Op::NotIn } else { Op::In };
        // A NULL in the list makes the answer NULL instead of false: it goes with every part.
        let part = |left: &Typed, mut items: Vec<Typed>| {
            items.extend(nulls.iter().cloned());
            list_call(&op, left, &items)
        };
        let mut parts: Vec<Typed> = vec![];
        let rewritten = !coarse.is_empty() || !text.is_empty() || plain.len() + nulls.len() != list.len();
        let (has_coarse, has_text) = (!coarse.is_empty(), !text.is_empty());
        if !plain.is_empty() || (coarse.is_empty() && text.is_empty() && !nulls.is_empty()) {
            parts.push(part(a, plain));
        }
        if has_coarse || has_text {
            let (literals, texts): (Vec<_>, Vec<_>) = coarse.into_iter().unzip();
            let only_coarse = text.is_empty();
            let bytes = part(&form.expr, texts.into_iter().chain(text).collect());
            // NOT IN has only the byte-exact form: the coarse one rejects rows that are right.
            let sargable = (!negated && only_coarse).then(|| coarse_in(a, &literals, &nulls)).flatten();
            parts.push(match sargable {
                Some(first) => call(Op::And, vec![first.scalar, bytes.scalar], RemoteType::boolean(true)),
                None => bytes,
            });
        }
        let reason = if has_coarse {
            format!("{} compares coarser than bytes: IN made exact by its bytes", describe(&a.ty))
        } else if has_text {
            form.reason.clone()
        } else {
            "elements that no value can equal are left out".into()
        };
        Ok(match parts.len() {
            0 => never(if negated { &Op::NotEq } else { &Op::Eq }, a, "no value can equal an element of the list".into()),
            1 if !rewritten => Judgement::exact(parts[0].scalar.clone(), parts[0].ty.clone()),
            1 => Judgement::rewritten(parts[0].scalar.clone(), parts[0].ty.clone(), reason),
            _ => {
                let joined =
                    call(if negated { Op::And } else { Op::Or }, parts.into_iter().map(|p| p.scalar).collect(), RemoteType::boolean(true));
                Judgement::rewritten(joined.scalar, joined.ty, reason)
            }
        })
    }

    /// `a IN (b, c)` over expressions is `a = b OR a = c`; NOT IN is `a <> b AND a <> c`.
    fn in_as_comparisons(&self, a: &Typed, list: &[Typed], negated: bool) -> Judgement {
        if matches!(a.ty.family, Family::Float(_)) || list.iter().any(|l| matches!(l.literal(), Some(Value::Null))) {
            return Judgement::no("an IN list of expressions with floats or NULLs is evaluated here");
        }
        let op = if negated { Op::NotEq } else { Op::Eq };
        let judged: Vec<Judgement> = list.iter().map(|l| self.compare(&op, a, l)).collect();
        let mut parts = vec![];
        for j in &judged {
            match &j.expr {
                Some(e) if j.class.is_exact() => parts.push(e.scalar.clone()),
                _ => return Judgement::no(j.reason.clone()),
            }
        }
        let reason =
            judged.iter().map(|j| j.reason.as_str()).find(|r| !r.is_empty()).unwrap_or("IN over expressions is sent as comparisons");
        let ty = RemoteType::boolean(true);
        let scalar = match parts.len() {
            1 => parts.remove(0),
            _ => Scalar::call(if negated { Op::And } else { Op::Or }, parts, ty.clone()),
        };
        Judgement { class: Class::Rewritten, ..Judgement::rewritten(scalar, ty, reason) }
    }
}

/// Whether two types that are not text compare the same way on both sides.
///
/// Not here: intervals (Postgres takes a month as 30 days, DataFusion compares the parts), arrays (lower bounds and element collations), and pairs
/// for which Postgres would bring in a cast of its own (float with integer).
pub(super) fn plain_comparable(a: &RemoteType, b: &RemoteType) -> Result<(), String> {
    if !sound(a) || !sound(b) {
        return Err(format!("{} and {} are not compared at the source", describe(a), describe(b)));
    }
    let number = |f: &Family| matches!(f, Family::Int(_) | Family::Decimal(_));
    let fits = match (&a.family, &b.family) {
        (x, y) if number(x) && number(y) => true,
        (Family::Float(x), Family::Float(y)) | (Family::UInt(x), Family::UInt(y)) => x == y,
        (Family::Bool, Family::Bool)
        | (Family::Bytes, Family::Bytes)
        | (Family::Date, Family::Date)
        | (Family::Time, Family::Time)
        | (Family::Timestamp, Family::Timestamp)
        | (Family::TimestampTz, Family::TimestampTz) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("{} and {} are not compared the same way at the source", describe(a), describe(b))) }
}

fn comparison(op: &Op, a: &Typed, b: &Typed) -> Typed {
    let nullable = !matches!(op, Op::IsDistinctFrom | Op::IsNotDistinctFrom) && (a.ty.nullable || b.ty.nullable);
    call(op.clone(), vec![a.scalar.clone(), b.scalar.clone()], RemoteType::boolean(nullable))
}

fn exact(op: &Op, a: &Typed, b: &Typed) -> Judgement {
    let made = comparison(op, a, b);
    Judgement::exact(made.scalar, made.ty)
}

fn rewritten_compare(op: &Op, a: &ByteForm, b: &ByteForm) -> Judgement {
    let made = comparison(op, &a.expr, &b.expr);
    match (a.changed(), b.changed()) {
        (false, false) => Judgement::exact(made.scalar, made.ty),
        (true, _) => Judgement::rewritten(made.scalar, made.ty, a.reason.clone()),
        (false, true) => Judgement::rewritten(made.scalar, made.ty, b.reason.clone()),
    }
}

/// What is false for every value, and NULL for NULL: a bare `false` would return the NULL rows too once a NOT stands above.
fn never(op: &Op, a: &Typed, reason: String) -> Judgement {
    let value = match op {
        Op::Eq => false,
        Op::NotEq => true,
        Op::IsDistinctFrom | Op::IsNotDistinctFrom => {
            return Judgement::no(format!("{reason}: IS DISTINCT FROM is evaluated here"));
        }
        _ => return Judgement::no(reason),
    };
    let ty = RemoteType::boolean(true);
    let present = Scalar::call(Op::IsNotNull, vec![a.scalar.clone()], RemoteType::boolean(false));
    let outcome = Scalar::Literal(Value::Bool(value), RemoteType::boolean(false));
    Judgement::rewritten(Scalar::call(Op::Case, vec![present, outcome], ty.clone()), ty, reason)
}

fn list_call(op: &Op, a: &Typed, list: &[Typed]) -> Typed {
    let mut args = vec![a.scalar.clone()];
    args.extend(list.iter().map(|l| l.scalar.clone()));
    let nullable = a.ty.nullable || list.iter().any(|l| l.ty.nullable);
    call(op.clone(), args, RemoteType::boolean(nullable))
}

/// The type's own, coarser equality. citext's operator is an extension's: with our empty search_path a bare `=` would be that of text, without the
/// index. It is named with its schema, or left out where that is not known.
fn coarse_equal(a: &Typed, literal: &Typed) -> Option<Typed> {
    match &a.ty.family {
        Family::Citext => {
            let op = Op::Source(format!("citext_eq:{}", citext_schema(&a.ty.name)?));
            Some(call(op, vec![a.scalar.clone(), literal.scalar.clone()], RemoteType::boolean(a.ty.nullable)))
        }
        _ => Some(comparison(&Op::Eq, a, literal)),
    }
}

fn coarse_in(a: &Typed, literals: &[Typed], nulls: &[Typed]) -> Option<Typed> {
    match &a.ty.family {
        // `IN` cannot name an operator's schema: one equality per element, as long as they are few.
        Family::Citext if literals.len() <= 100 && nulls.is_empty() => {
            let parts = literals.iter().map(|l| coarse_equal(a, l).map(|t| t.scalar)).collect::<Option<Vec<_>>>()?;
            match parts.len() {
                1 => parts.into_iter().next().map(|scalar| Typed { scalar, ty: RemoteType::boolean(true) }),
                _ => Some(call(Op::Or, parts, RemoteType::boolean(true))),
            }
        }
        Family::Citext => None,
        _ => {
            let mut items = literals.to_vec();
            items.extend(nulls.iter().cloned());
            Some(list_call(&Op::In, a, &items))
        }
    }
}

/// The schema of `public.citext`, `"My Schema".citext`; `None` where the name has none.
fn citext_schema(name: &str) -> Option<String> {
    let (schema, _) = name.rsplit_once('.')?;
    let schema = schema.trim();
    Some(match schema.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => schema.to_string(),
    })
}

/// The type under which a literal is written beside a column: the column's own, so that the parser resolves it to that.
fn text_type(column: &RemoteType) -> RemoteType {
    let mut ty = column.clone();
    ty.nullable = false;
    ty
}

fn zero_or_nan(value: &Value) -> bool {
    match value {
        Value::Float32(bits) => f32::from_bits(*bits) == 0.0 || f32::from_bits(*bits).is_nan(),
        Value::Float64(bits) => f64::from_bits(*bits) == 0.0 || f64::from_bits(*bits).is_nan(),
        _ => false,
    }
}

/// `a op b` with the sides exchanged.
fn mirrored(op: &Op) -> Op {
    match op {
        Op::Lt => Op::Gt,
        Op::LtEq => Op::GtEq,
        Op::Gt => Op::Lt,
        Op::GtEq => Op::LtEq,
        other => other.clone(),
    }
}

/// 8-4-4-4-12 lower-case hexadecimal digits: the only spelling that a uuid is read as.
pub(super) fn canonical_uuid(s: &str) -> bool {
    s.len() == 36
        && s.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}
