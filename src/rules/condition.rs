//! The `condition` of a detection: `selection and not 1 of filter_*`.
//!
//! `not` binds tighter than `and`, `and` tighter than `or`. `1 of` and `any of` are OR, `all of` is AND, over the
//! names that a pattern with stars, or `them`, stands for. Both leave out names that start with `_`, unless the
//! pattern itself does.

/// A condition over the names of a detection's searches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The search of this name matches.
    Name(String),
    /// All of these hold.
    All(Vec<Condition>),
    /// One of these holds at least.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
}

/// Nesting deeper than this is refused, so that no input can exhaust the stack.
const MAX_DEPTH: usize = 64;

/// Reads a condition. `names` are the searches there are. The error says what was expected.
pub fn parse(text: &str, names: &[&str]) -> Result<Condition, String> {
    if text.contains('|') {
        return Err("a condition without '|': aggregations are written as correlations".to_owned());
    }
    let tokens = tokens(text);
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, names };
    let condition = parser.any()?;
    match parser.peek() {
        None => Ok(condition),
        Some(token) => Err(format!("'and', 'or' or the end, not '{token}'")),
    }
}

fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(at) = rest.find(['(', ')']) {
            if at > 0 {
                tokens.push(&rest[..at]);
            }
            tokens.push(&rest[at..=at]);
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            tokens.push(rest);
        }
    }
    tokens
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    at: usize,
    depth: usize,
    names: &'a [&'a str],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let taken = self.peek().is_some_and(|token| token.eq_ignore_ascii_case(word));
        self.at += usize::from(taken);
        taken
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut alternatives = vec![self.all()?];
        while self.take("or") {
            alternatives.push(self.all()?);
        }
        Ok(single_or(alternatives, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.negation()?];
        while self.take("and") {
            parts.push(self.negation()?);
        }
        Ok(single_or(parts, Condition::All))
    }

    fn negation(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("a condition nested at most {MAX_DEPTH} deep"));
        }
        let condition = if self.take("not") {
            Condition::Not(Box::new(self.negation()?))
        } else if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                return Err("')' to close a '('".to_owned());
            }
            inner
        } else {
            self.operand()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn operand(&mut self) -> Result<Condition, String> {
        let Some(token) = self.peek() else {
            return Err("a name, 'not', '(' or '1 of', not the end".to_owned());
        };
        self.at += 1;
        let lower = token.to_ascii_lowercase();
        let next_is_of = self.peek().is_some_and(|next| next.eq_ignore_ascii_case("of"));
        if next_is_of && !self.names.contains(&token) {
            self.at += 1;
            let Some(pattern) = self.peek() else {
                return Err(format!("'them' or a name behind '{token} of'"));
            };
            self.at += 1;
            let names = self.expand(pattern)?;
            return match lower.as_str() {
                "1" | "any" => Ok(single_or(names, Condition::Any)),
                "all" => Ok(single_or(names, Condition::All)),
                _ => Err(format!("'1 of', 'any of' or 'all of', not '{token} of'")),
            };
        }
        if matches!(lower.as_str(), "and" | "or" | "of" | ")") {
            return Err(format!("a name, 'not', '(' or '1 of', not '{token}'"));
        }
        if self.names.contains(&token) {
            return Ok(Condition::Name(token.to_owned()));
        }
        Err(format!("one of the searches {}, not '{token}'", self.names.join(", ")))
    }

    fn expand(&self, pattern: &str) -> Result<Vec<Condition>, String> {
        let wanted =
            super::pattern::Pattern::parse(if pattern.eq_ignore_ascii_case("them") { "*" } else { pattern });
        let names: Vec<_> = self
            .names
            .iter()
            .filter(|name| wanted.matches(name) && (!name.starts_with('_') || pattern.starts_with('_')))
            .map(|name| Condition::Name((*name).to_owned()))
            .collect();
        if names.is_empty() {
            return Err(format!(
                "a pattern that stands for a search: '{pattern}' stands for none of {}",
                self.names.join(", ")
            ));
        }
        Ok(names)
    }
}

fn single_or(mut conditions: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        Some(last) => {
            conditions.push(last);
            many(conditions)
        }
        None => many(conditions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Condition {
        Condition::Name(text.to_owned())
    }

    #[test]
    fn not_binds_tighter_than_and_and_and_tighter_than_or() {
        let names = ["a", "b", "c"];
        assert_eq!(
            parse("a or not b and c", &names),
            Ok(Condition::Any(vec![
                name("a"),
                Condition::All(vec![Condition::Not(Box::new(name("b"))), name("c")])
            ]))
        );
        assert_eq!(
            parse("(a or b)and not(c)", &names),
            Ok(Condition::All(vec![
                Condition::Any(vec![name("a"), name("b")]),
                Condition::Not(Box::new(name("c")))
            ]))
        );
    }

    #[test]
    fn of_leaves_out_names_with_an_underscore_and_knows_stars_in_the_middle() {
        let names = ["sel_a_main", "sel_b_main", "_sel_main", "other"];
        assert_eq!(
            parse("1 of them", &names),
            Ok(Condition::Any(vec![name("sel_a_main"), name("sel_b_main"), name("other")]))
        );
        assert_eq!(
            parse("all of sel*main", &names),
            Ok(Condition::All(vec![name("sel_a_main"), name("sel_b_main")]))
        );
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (text, expected) in [
            ("a and", "not the end"),
            ("a b", "'and', 'or' or the end, not 'b'"),
            ("a and nothere", "one of the searches a, b, not 'nothere'"),
            ("2 of a*", "'1 of', 'any of' or 'all of'"),
            ("1 of z*", "stands for none of"),
            ("(a", "')'"),
            ("a | count() > 5", "correlations"),
            ("", "not the end"),
        ] {
            let error = parse(text, &["a", "b"]).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(parse(&"(".repeat(100_000), &["a"]).is_err(), "must not exhaust the stack");
        assert!(parse(&"not ".repeat(100_000), &["a"]).is_err(), "must not exhaust the stack");
    }
}
