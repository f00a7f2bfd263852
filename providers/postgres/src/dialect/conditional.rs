//! CASE, COALESCE, NULLIF and `||`: values are passed on, so what matters is that all branches are of one type at the source too.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Class, Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::PostgresDialect;
use super::compare::plain_comparable;
use super::types::{call, collate_c, describe, sound, texty, wider_there};

/// Why texts of CASE, COALESCE, `||` and UNION were rewritten.
pub(super) const MEET_AS_C: &str = "texts of several types or collations meet as text COLLATE \"C\"";

impl PostgresDialect {
    /// CASE WHEN a THEN b ... [ELSE z].
    pub(super) fn case(&self, args: &[Typed], result: &DataType) -> Judgement {
        if args.len() < 2 {
            return Judgement::no("CASE without a branch");
        }
        let pairs = args.len() / 2;
        let is_condition = |i: usize| i < pairs * 2 && i.is_multiple_of(2);
        if (0..args.len()).any(|i| is_condition(i) && args[i].ty.family != Family::Bool) {
            return Judgement::no("CASE with a condition that is not boolean at the source");
        }
        let values: Vec<&Typed> = (0..args.len()).filter(|i| !is_condition(*i)).map(|i| &args[i]).collect();
        let (unified, ty, rewritten) = match self.unify(&values, result) {
            Ok(u) => u,
            Err(reason) => return Judgement::no(reason),
        };
        let mut unified = unified.into_iter();
        let mut sent = vec![];
        for (i, arg) in args.iter().enumerate() {
            let next = if is_condition(i) { Some(arg.scalar.clone()) } else { unified.next().map(|t| t.scalar) };
            sent.extend(next);
        }
        finish(Op::Case, sent, RemoteType { nullable: true, ..ty }, rewritten)
    }

    /// COALESCE(a, ...).
    pub(super) fn coalesce(&self, args: &[Typed], result: &DataType) -> Judgement {
        let values: Vec<&Typed> = args.iter().collect();
        match self.unify(&values, result) {
            Ok((unified, ty, rewritten)) => {
                let nullable = args.iter().all(|a| a.ty.nullable);
                finish(Op::Coalesce, unified.into_iter().map(|t| t.scalar).collect(), RemoteType { nullable, ..ty }, rewritten)
            }
            Err(reason) => Judgement::no(reason),
        }
    }

    /// NULLIF(a, b): an equality, with its traps. Floats stay: DataFusion's NULLIF tells -0.0 from 0.0.
    pub(super) fn null_if(&self, a: &Typed, b: &Typed) -> Judgement {
        let made = |a: &Typed, b: &Typed, reason: String| {
            let ty = RemoteType { nullable: true, ..a.ty.clone() };
            let t = call(Op::NullIf, vec![a.scalar.clone(), b.scalar.clone()], ty);
            if reason.is_empty() { Judgement::exact(t.scalar, t.ty) } else { Judgement::rewritten(t.scalar, t.ty, reason) }
        };
        if a.literal().is_some() || matches!(b.literal(), Some(Value::Null)) {
            return Judgement::no("NULLIF of a literal is evaluated here");
        }
        if texty(&a.ty) && texty(&b.ty) {
            let forms = self.text_value(a).and_then(|a| self.equality_form(&a)).and_then(|left| {
                let right = self.text_value(b).and_then(|b| self.equality_form(&b))?;
                self.sendable(b.literal().unwrap_or(&Value::Null))?;
                Ok((self.reconcile(left, &right), right))
            });
            return match forms {
                Ok((left, right)) => made(&left.expr, &right.expr, left.reason.clone()),
                Err(reason) => Judgement::no(reason),
            };
        }
        match plain_comparable(&a.ty, &b.ty) {
            Ok(()) if a.ty.family == b.ty.family && !matches!(a.ty.family, Family::Float(_)) && !wider_there(&a.ty) => {
                made(a, b, String::new())
            }
            Ok(()) => Judgement::no("NULLIF of floats or of two number types is evaluated here"),
            Err(reason) => Judgement::no(reason),
        }
    }

    /// `a || b || ...`: NULL if any is NULL, on both sides. Other types have been cast to text before, each by the rules of casts.
    pub(super) fn concat(&self, args: &[Typed]) -> Judgement {
        if args.len() < 2 || args.iter().any(|a| !texty(&a.ty)) {
            return Judgement::no("|| of something that is not text is evaluated here");
        }
        let values: Vec<&Typed> = args.iter().collect();
        match self.unify(&values, &DataType::Utf8) {
            Ok((unified, ty, rewritten)) => {
                let nullable = args.iter().any(|a| a.ty.nullable);
                let ty = RemoteType { name: "text".into(), nullable, ..ty };
                finish(Op::Concat, unified.into_iter().map(|t| t.scalar).collect(), ty, rewritten)
            }
            Err(reason) => Judgement::no(reason),
        }
    }

    /// All values in one type: the values, the type, and whether they had to change.
    pub(super) fn unify(&self, values: &[&Typed], result: &DataType) -> Result<(Vec<Typed>, RemoteType, bool), String> {
        let is_null = |t: &Typed| matches!(t.literal(), Some(Value::Null));
        for v in values {
            if let Some(value) = v.literal() {
                self.sendable(value)?;
            }
        }
        let first = values.iter().find(|v| !is_null(v)).ok_or("only NULLs: evaluated here")?;
        if values.iter().any(|v| !is_null(v) && (!sound(&v.ty) || wider_there(&v.ty) || v.ty.arrow != *result)) {
            return Err(format!("branches of {} and other types are evaluated here", describe(&first.ty)));
        }
        if texty(&first.ty) {
            return self.unify_text(values);
        }
        if matches!(first.ty.family, Family::Interval | Family::Array(_) | Family::Other) {
            return Err(format!("{} is not passed through CASE or COALESCE at the source", describe(&first.ty)));
        }
        let family_of = |f: &Family| std::mem::discriminant(f);
        if values.iter().any(|v| !is_null(v) && family_of(&v.ty.family) != family_of(&first.ty.family)) {
            return Err("branches of different types are evaluated here".into());
        }
        let ty = first.ty.clone();
        let typed = values.iter().map(|v| if is_null(v) { null_of(&ty) } else { (*v).clone() }).collect();
        Ok((typed, ty, false))
    }

    /// Texts of different collations make a text whose collation is undefined: comparing it raises 42P22. They meet under COLLATE "C".
    fn unify_text(&self, values: &[&Typed]) -> Result<(Vec<Typed>, RemoteType, bool), String> {
        let mut out = vec![];
        let mut rewritten = false;
        for v in values {
            let text = self.text_value(v)?;
            rewritten |= text != **v;
            out.push(text);
        }
        let mut collations = out.iter().filter(|t| t.literal().is_none()).map(|t| t.ty.text.as_ref().map(|f| f.collation.clone()));
        let first = collations.next();
        let mixed = collations.any(|c| Some(c) != first);
        if mixed {
            rewritten = true;
            out = out.iter().map(|t| if t.literal().is_none() { collate_c(t) } else { t.clone() }).collect();
        }
        let ty = match out.iter().find(|t| t.literal().is_none()) {
            Some(t) => RemoteType { name: "text".into(), ..t.ty.clone() },
            // Literals alone have the database's default collation, of which we know nothing here.
            None => {
                out = out.iter().map(collate_c).collect();
                super::types::c_text(true)
            }
        };
        Ok((out, ty, rewritten))
    }
}

fn null_of(ty: &RemoteType) -> Typed {
    let ty = RemoteType { nullable: true, ..ty.clone() };
    Typed { scalar: Scalar::Literal(Value::Null, ty.clone()), ty }
}

fn finish(op: Op, args: Vec<Scalar>, ty: RemoteType, rewritten: bool) -> Judgement {
    let made = Judgement::exact(Scalar::call(op, args, ty.clone()), ty);
    if rewritten { Judgement { class: Class::Rewritten, reason: MEET_AS_C.into(), ..made } } else { made }
}
