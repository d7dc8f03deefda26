//! What a regular expression in a rule means, where dialects differ.
//!
//! Sigma means PCRE as it is by default: `\w`, `\d`, `\s`, `\b` and their negations know ASCII letters, digits, white
//! space and words alone. All else is about characters, not bytes: `.` and `[^a]` are one character, `ä` and `Ä` are the
//! same without case, and `\p{...}` has the whole of Unicode.
//!
//! That is told to the compiler by writing the expression anew, with the classes spelled out.

use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem, RepetitionKind,
    RepetitionRange, Span, Visitor, parse::Parser,
};

/// From this on an upper bound of a repetition is left out of the loose reading.
pub const MIN_LOOSENED: u32 = 16;

/// Two readings of an expression.
pub struct Dialect {
    /// As it is meant.
    pub exact: String,
    /// Without upper bounds of repetitions; `None` when it has no such bounds.
    pub loose: Option<String>,
}

impl Dialect {
    /// Reads an expression. The error is for lookaround, back references, and what is none.
    pub fn of(source: &str) -> Result<Self, String> {
        let parsed = Parser::new().parse(source).map_err(|error| error.to_string())?;
        let spelled = ast::visit(&parsed, Spelling::default()).unwrap_or_default();
        let exact = spelled.applied(source, |replacement| replacement.exact.clone());
        let loose = spelled.loosens.then(|| spelled.applied(source, |replacement| replacement.loose.clone()));
        Ok(Self { exact, loose })
    }
}

/// What to write instead of parts of an expression, in their order.
#[derive(Default)]
struct Spelling {
    replacements: Vec<Replacement>,
    loosens: bool,
}

struct Replacement {
    span: Span,
    exact: String,
    loose: String,
}

impl Spelling {
    fn replace(&mut self, span: Span, text: &str) {
        self.replacements.push(Replacement { span, exact: text.to_owned(), loose: text.to_owned() });
    }

    fn class(&mut self, class: &ClassPerl) {
        let spelled = match (&class.kind, class.negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Space, false) => r"[\t\n\x0B\x0C\r\x20]",
            (ClassPerlKind::Space, true) => r"[^\t\n\x0B\x0C\r\x20]",
            (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
        };
        self.replace(class.span, spelled);
    }

    fn applied(&self, source: &str, text: impl Fn(&Replacement) -> String) -> String {
        let mut spelled = String::with_capacity(source.len() * 2);
        let mut at = 0;
        for replacement in &self.replacements {
            spelled.push_str(&source[at..replacement.span.start.offset]);
            spelled.push_str(&text(replacement));
            at = replacement.span.end.offset;
        }
        spelled.push_str(&source[at..]);
        spelled
    }
}

impl Visitor for Spelling {
    type Output = Self;
    type Err = std::convert::Infallible;

    fn finish(mut self) -> Result<Self, Self::Err> {
        // What is put in at the end of a class stands before what replaces the repetition behind it.
        self.replacements
            .sort_by_key(|replacement| (replacement.span.start.offset, replacement.span.end.offset));
        Ok(self)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::ClassPerl(class) => self.class(class),
            // Looking for the other case of all characters that are no letters takes milliseconds, and finds none.
            Ast::ClassBracketed(class) if is_without_case(&class.kind) => {
                self.replace(Span::splat(class.span.start), "(?-i:");
                self.replace(Span::splat(class.span.end), ")");
            }
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText => {}
                AssertionKind::WordBoundary => self.replace(assertion.span, r"(?-u:\b)"),
                AssertionKind::NotWordBoundary => self.replace(assertion.span, r"(?-u:\B)"),
                AssertionKind::WordBoundaryStart | AssertionKind::WordBoundaryStartAngle => {
                    self.replace(assertion.span, r"(?-u:\b{start})")
                }
                AssertionKind::WordBoundaryEnd | AssertionKind::WordBoundaryEndAngle => {
                    self.replace(assertion.span, r"(?-u:\b{end})")
                }
                AssertionKind::WordBoundaryStartHalf => self.replace(assertion.span, r"(?-u:\b{start-half})"),
                AssertionKind::WordBoundaryEndHalf => self.replace(assertion.span, r"(?-u:\b{end-half})"),
            },
            Ast::Repetition(repetition) => {
                if let RepetitionKind::Range(RepetitionRange::Bounded(min, max)) = repetition.op.kind
                    && max >= MIN_LOOSENED
                    && min < max
                {
                    let lazy = if repetition.greedy { "" } else { "?" };
                    self.loosens = true;
                    self.replacements.push(Replacement {
                        span: repetition.op.span,
                        exact: format!("{{{min},{max}}}{lazy}"),
                        loose: format!("{{{min},}}{lazy}"),
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        if let ClassSetItem::Perl(class) = item {
            self.class(class);
        }
        Ok(())
    }
}

/// Whether a class has no letters by name.
fn is_without_case(class: &ClassSet) -> bool {
    let has_none = |item: &ClassSetItem| match item {
        ClassSetItem::Perl(_) => true,
        ClassSetItem::Literal(literal) => literal.c.is_ascii() && !literal.c.is_ascii_alphabetic(),
        _ => false,
    };
    match class {
        ClassSet::Item(ClassSetItem::Union(union)) => union.items.iter().all(has_none),
        ClassSet::Item(item) => has_none(item),
        ClassSet::BinaryOp(_) => false,
    }
}
