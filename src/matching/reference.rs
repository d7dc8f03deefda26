//! The meaning of a detection, written as plainly as it can be.
//!
//! Nothing is compiled, shared or remembered: every test looks at the event by itself. The compiled matcher must
//! agree with this on every event, which a property test checks; and to explain a verdict, part by part, this is
//! what is asked.

use crate::event::{Event, Schema, Value};
use crate::rules::detection::{Check, Expression, Relation, Test};
use crate::rules::pattern::fold_case;

/// Whether the event satisfies the expression.
pub fn holds(expression: &Expression, event: &Event<'_>, schema: &Schema) -> bool {
    match expression {
        Expression::All(parts) => parts.iter().all(|part| holds(part, event, schema)),
        Expression::Any(parts) => parts.iter().any(|part| holds(part, event, schema)),
        Expression::Not(inner) => !holds(inner, event, schema),
        Expression::Test(test) => test_holds(test, event, schema),
    }
}

/// Whether the event satisfies one test.
pub fn test_holds(test: &Test, event: &Event<'_>, schema: &Schema) -> bool {
    let missing = Value::Missing;
    let value_of = |name: &str| schema.find(name).map_or(&missing, |id| event.get(id));
    let Some(field) = &test.field else {
        return super::searched_by_keywords(event)
            .any(|value| one_of(value, &|value| check_text(&test.check, value)));
    };
    let value = value_of(field);
    match &test.check {
        Check::Text { .. } | Check::Regex(_) => one_of(value, &|value| check_text(&test.check, value)),
        Check::Null => matches!(value, Value::Missing | Value::Null),
        Check::Exists(wanted) => matches!(value, Value::Missing) != *wanted,
        Check::Number(comparison, number) => {
            one_of(value, &|value| value.to_number().is_some_and(|left| comparison.holds(left, *number)))
        }
        Check::Network(network) => one_of(value, &|value| {
            value
                .to_text()
                .and_then(|text| text.trim().parse::<std::net::IpAddr>().ok())
                .is_some_and(|address| network.contains(&address.to_canonical()))
        }),
        Check::Field { other, relation, cased } => one_of(value, &|left| {
            one_of(value_of(other), &|right| {
                let (Some(left), Some(right)) = (left.to_text(), right.to_text()) else { return false };
                let (left, right) = if *cased {
                    (left.into_owned(), right.into_owned())
                } else {
                    (fold_case(&left), fold_case(&right))
                };
                match relation {
                    Relation::Equals => left == right,
                    Relation::Contains => left.contains(&right),
                    Relation::StartsWith => left.starts_with(&right),
                    Relation::EndsWith => left.ends_with(&right),
                }
            })
        }),
        Check::TimePart(..) => super::program::Compiler::new(&mut schema.clone(), &mut Default::default())
            .compile(&Expression::Test(test.clone()))
            .node
            .holds(event, &|_| false),
    }
}

fn check_text(check: &Check, value: &Value<'_>) -> bool {
    let Some(text) = value.to_text() else { return false };
    match check {
        Check::Text { pattern, cased: true } => pattern.matches(&text),
        Check::Text { pattern, cased: false } => pattern.fold_case().matches(&fold_case(&text)),
        Check::Regex(regex) => regex.is_match(&text),
        _ => false,
    }
}

fn one_of(value: &Value<'_>, test: &dyn Fn(&Value<'_>) -> bool) -> bool {
    match value {
        Value::List(values) => values.iter().any(|value| one_of(value, test)),
        other => test(other),
    }
}
