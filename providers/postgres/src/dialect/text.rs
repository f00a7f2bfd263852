//! Text and what is read as text: forms whose equality or order is that of the bytes.

use fjord_engine::pushdown::{Equality, Family, Order, RemoteType, Typed, Value};

use super::PostgresDialect;
use super::types::{as_text, collate_c, describe, sound, texty};

/// An expression in a form that compares by bytes, and why it had to change (empty if it did not).
#[derive(Debug, Clone)]
pub(super) struct ByteForm {
    pub(super) expr: Typed,
    pub(super) reason: String,
}

impl ByteForm {
    fn same(a: &Typed) -> ByteForm {
        ByteForm { expr: a.clone(), reason: String::new() }
    }
    /// It had to be rewritten.
    pub(super) fn changed(&self) -> bool {
        !self.reason.is_empty()
    }
}

impl PostgresDialect {
    /// A literal that the server's encoding or text type cannot hold would raise there (NUL: 22021; a letter outside of LATIN1: 22P05).
    pub(super) fn sendable(&self, value: &Value) -> Result<(), String> {
        match value {
            Value::Text(s) if s.contains('\0') => Err("a text with a NUL character cannot exist in Postgres: compared here".into()),
            Value::Text(s) if !self.facts.encoding_utf8 && !s.is_ascii() => {
                Err("the server's encoding is not UTF8 and may not hold the literal".into())
            }
            Value::List(items) => items.iter().try_for_each(|v| self.sendable(v)),
            _ => Ok(()),
        }
    }

    /// A form whose *equality* is that of the bytes.
    ///
    /// Without it: a nondeterministic collation or citext finds `ABC` for 'abc', a bpchar equals what differs in trailing blanks.
    pub(super) fn equality_form(&self, a: &Typed) -> Result<ByteForm, String> {
        if a.literal().is_some() {
            return self.byte_form(a);
        }
        match (&a.ty.family, self.facts_of(&a.ty)?) {
            (Family::Text, Some((Equality::Bytewise, _))) => Ok(ByteForm::same(a)),
            _ => self.byte_form(a),
        }
    }

    /// A form whose equality *and order* are those of the bytes.
    ///
    /// Without it: en_US sorts `a` before `B` and MIN, MAX, `<` and ORDER BY follow; an enum sorts by its labels' positions.
    pub(super) fn byte_form(&self, a: &Typed) -> Result<ByteForm, String> {
        if a.literal().is_some() && texty(&a.ty) {
            return Ok(ByteForm::same(a));
        }
        let facts = self.facts_of(&a.ty)?;
        match (&a.ty.family, facts) {
            // A literal beside a `name` is cut at 63 bytes, which moves the bound of a range.
            (Family::Text, _) if a.ty.name == "name" => {
                Ok(ByteForm { expr: collate_c(&as_text(a)), reason: "name is compared as text, which does not cut the literal".into() })
            }
            (Family::Text, Some((Equality::Bytewise, Order::Bytes))) => Ok(ByteForm::same(a)),
            (Family::Text, _) => {
                let why = match facts {
                    Some((Equality::Coarser, _)) => "is nondeterministic",
                    _ => "has an order of its own",
                };
                Ok(ByteForm { expr: collate_c(a), reason: format!("{} {why}: made byte-wise by COLLATE \"C\"", describe(&a.ty)) })
            }
            // Hexadecimal digits order as the bytes they stand for, and hyphens have fixed places: a uuid compares as its canonical text does.
            (Family::Uuid, _) => Ok(ByteForm { expr: collate_c(&as_text(a)), reason: "uuid is compared as its canonical text".into() }),
            _ => Ok(ByteForm {
                expr: collate_c(&as_text(a)),
                reason: format!("{} compares by rules of its own: compared as ::text COLLATE \"C\"", describe(&a.ty)),
            }),
        }
    }

    /// Both operands so that they can meet: two different implicit collations under one operator raise 42P22 at the source.
    pub(super) fn reconcile(&self, mut a: ByteForm, b: &ByteForm) -> ByteForm {
        let name = |t: &Typed| t.ty.text.as_ref().map(|f| f.collation.clone());
        let (left, right) = (name(&a.expr), name(&b.expr));
        if a.expr.literal().is_none() && b.expr.literal().is_none() && left != right {
            a = ByteForm {
                expr: collate_c(&a.expr),
                reason: if a.changed() { a.reason } else { "columns of different collations meet under COLLATE \"C\"".into() },
            };
        }
        a
    }

    /// The collation facts, `None` where the type needs none; an error where bytes at the source are not known to be ours.
    fn facts_of(&self, ty: &RemoteType) -> Result<Option<(Equality, Order)>, String> {
        if !texty(ty) {
            return Err(format!("{} is not compared at the source", describe(ty)));
        }
        if !self.facts.encoding_utf8 && ty.family != Family::Uuid {
            return Err("the server's encoding is not UTF8: its text has other bytes".into());
        }
        match (&ty.family, &ty.text) {
            (Family::Text | Family::Bpchar, Some(facts)) if facts.equality == Equality::Unknown => {
                Err(format!("the collation of {} is not known well enough", describe(ty)))
            }
            // The padding of a bpchar is the family's own matter: the reader strips what its comparison ignores.
            (Family::Bpchar, Some(facts)) => Ok(Some((facts.equality, facts.order))),
            (Family::Text, Some(facts)) => Ok(Some((if facts.pads { Equality::Coarser } else { facts.equality }, facts.order))),
            (Family::Text | Family::Bpchar, None) => Err(format!("the collation of {} is not known", describe(ty))),
            _ => Ok(None),
        }
    }

    /// A bpchar whose own equality differs from bytes only in the trailing blanks that the reader strips.
    pub(super) fn bpchar_bytewise(&self, ty: &RemoteType) -> Result<bool, String> {
        Ok(matches!(self.facts_of(ty)?, Some((Equality::Bytewise, _))))
    }

    /// As a text *value*, for CASE, COALESCE and `||`: what is read as text here must be text there.
    pub(super) fn text_value(&self, a: &Typed) -> Result<Typed, String> {
        if !sound(&a.ty) || !texty(&a.ty) {
            return Err(format!("{} does not become a text at the source", describe(&a.ty)));
        }
        if a.literal().is_some() {
            return Ok(a.clone());
        }
        match a.ty.family {
            // `name` would carry its 63-byte limit along; other text types are text already.
            Family::Text if a.ty.name != "name" => {
                self.facts_of(&a.ty)?;
                Ok(a.clone())
            }
            _ => {
                self.facts_of(&a.ty)?;
                Ok(collate_c(&as_text(a)))
            }
        }
    }
}
