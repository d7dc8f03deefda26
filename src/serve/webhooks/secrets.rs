//! Reads secrets from files and variables, and refuses those that keep nobody out.

use std::path::{Path, PathBuf};

use super::signature::Secret;
use crate::serve::auth::warn_if_others_can_read;

/// Shortest secret: of random letters and digits, 16 are not guessed.
const MIN_CHARS: usize = 16;
/// Longest secret.
const MAX_CHARS: usize = 1024;
/// Most secrets of a webhook: each may be tried on each body.
const MAX_SECRETS: usize = 16;
/// Longest name of a secret.
const MAX_NAME_CHARS: usize = 64;

/// What stands in documentation, in examples, and as the default of programs. Compared without case, `-` and `_`.
const WELL_KNOWN: [&str; 17] = [
    "0123456789abcdef",
    "appsecret",
    "changeme",
    "changemeplease",
    "default",
    "meatyhamhock",
    "mysecret",
    "otrosecreto",
    "password",
    "secret",
    "testappsecret",
    "thisismysecuretoken",
    "verifytoken",
    "yourappsecret",
    "yourauthtoken",
    "yoursecret",
    "yourverifytoken",
];

/// Where secrets stand.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The file; when there is none, the variable counts.
    pub file: Option<&'p Path>,
    /// The environment variable.
    pub variable: &'p str,
}

/// Why secrets cannot be used. Says nothing of the secrets themselves.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secrets in {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// There is none.
    #[error(
        "there is no secret for {webhook}: put it into a file that the configuration names, or into {variable}"
    )]
    Missing {
        /// The webhook.
        webhook: String,
        /// The variable.
        variable: String,
    },
    /// One is no good.
    #[error("secret {number} of {webhook} {fault}")]
    Unfit {
        /// The webhook.
        webhook: String,
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong.
        fault: Fault,
    },
    /// There are too many.
    #[error("{webhook} has more than {MAX_SECRETS} secrets")]
    TooMany {
        /// The webhook.
        webhook: String,
    },
}

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It stands in documentation.
    #[error("is one that everybody knows from examples: take the real one")]
    WellKnown,
    /// It is too short or too long, or has blanks or letters beyond ASCII.
    #[error("must have {MIN_CHARS} to {MAX_CHARS} characters, all of them visible ASCII")]
    Unfit,
    /// All its characters are the same.
    #[error("is one character again and again")]
    Monotonous,
    /// It has a name that is none.
    #[error(
        "has a name that is none: expected NAME=SECRET with letters, digits, '.', '_' and '-' in the name"
    )]
    BadName,
    /// It has the name of another.
    #[error("has the name of another")]
    SameName,
}

impl Place<'_> {
    /// What stands there; `None` when there is nothing. A file that others can read is warned about.
    pub fn read(self, webhook: &str) -> Result<Option<String>, SecretError> {
        let Some(path) = self.file else {
            return Ok(std::env::var(self.variable).ok().filter(|text| !text.trim().is_empty()));
        };
        let unreadable = |error| SecretError::Unreadable { path: path.to_owned(), error };
        warn_if_others_can_read(path, &format!("the secrets of {webhook}"));
        std::fs::read_to_string(path).map(Some).map_err(unreadable)
    }

    /// The secrets that stand there: one a line, each may be `NAME=SECRET`, and lines that begin with `#` are left out.
    /// One without a name is called by its number. There is one at least.
    pub fn secrets(self, webhook: &str) -> Result<Vec<Secret>, SecretError> {
        let text = self.read(webhook)?.unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut secrets: Vec<Secret> = Vec::new();
        for (at, line) in lines.enumerate() {
            let number = at + 1;
            let unfit = |fault| SecretError::Unfit { webhook: webhook.to_owned(), number, fault };
            let (name, value) = named(line).map_err(unfit)?;
            check(value).map_err(unfit)?;
            let name = name.map_or_else(|| number.to_string().into(), Into::into);
            if secrets.iter().any(|secret| secret.name == name) {
                return Err(unfit(Fault::SameName));
            }
            if secrets.len() == MAX_SECRETS {
                return Err(SecretError::TooMany { webhook: webhook.to_owned() });
            }
            secrets.push(Secret { name, value: value.as_bytes().into() });
        }
        if secrets.is_empty() {
            let (webhook, variable) = (webhook.to_owned(), self.variable.to_owned());
            return Err(SecretError::Missing { webhook, variable });
        }
        Ok(secrets)
    }

    /// The one secret that stands there, as it is; `None` when there is nothing.
    pub fn token(self, webhook: &str) -> Result<Option<String>, SecretError> {
        let Some(text) = self.read(webhook)? else { return Ok(None) };
        let unfit = |fault| SecretError::Unfit { webhook: webhook.to_owned(), number: 1, fault };
        check(text.trim()).map_err(unfit)?;
        Ok(Some(text.trim().to_owned()))
    }
}

/// `NAME=SECRET`, or a secret alone. What fills up base 64 at the end is no mark of a name.
fn named(line: &str) -> Result<(Option<&str>, &str), Fault> {
    let Some(equals) = line.trim_end_matches('=').find('=') else { return Ok((None, line)) };
    let (name, value) = (&line[..equals], &line[equals + 1..]);
    let is_name = !name.is_empty()
        && name.len() <= MAX_NAME_CHARS
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if is_name { Ok((Some(name), value)) } else { Err(Fault::BadName) }
}

/// Whether a secret keeps anybody out.
fn check(secret: &str) -> Result<(), Fault> {
    let plain: String =
        secret.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect();
    if WELL_KNOWN.contains(&plain.as_str()) {
        return Err(Fault::WellKnown);
    }
    let is_fit =
        (MIN_CHARS..=MAX_CHARS).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_fit {
        return Err(Fault::Unfit);
    }
    let mut bytes = secret.bytes();
    let first = bytes.next();
    if bytes.all(|byte| Some(byte) == first) { Err(Fault::Monotonous) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "8f14e45fceea167a5a36dedd4bea2543";

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let place = Place { file: Some(file.path()), variable: "WATCHBELL_NO_SUCH_VARIABLE" };
        let secrets = place.secrets("webhooks.whatsapp").map_err(|error| error.to_string())?;
        let pair =
            |secret: Secret| (secret.name.to_string(), String::from_utf8(secret.value.into()).unwrap());
        Ok(secrets.into_iter().map(pair).collect())
    }

    #[test]
    fn secrets_stand_one_a_line_and_may_have_names() {
        let base64 = "c2VjcmV0IHdvcmRzIHRoYXQgYXJl==";
        for (text, expected) in [
            (format!("{GOOD}\n"), vec![("1", GOOD)]),
            (format!("# the app\nnew={GOOD}\n\n  {base64}\r\n"), vec![("new", GOOD), ("2", base64)]),
            (format!("old={base64}"), vec![("old", base64)]),
        ] {
            let found = read(&text).unwrap();
            let found: Vec<(&str, &str)> =
                found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_keeps_nobody_out_is_refused_without_being_told() {
        let many: String = (10..=26).map(|number| format!("{GOOD}{number}\n")).collect();
        for (text, expected) in [
            ("", "there is no secret for webhooks.whatsapp"),
            ("# nothing\n \n", "WATCHBELL_NO_SUCH_VARIABLE"),
            ("secret", "everybody knows"),
            ("Your_App_Secret", "everybody knows"),
            ("prod=THISISMYSECURETOKEN", "everybody knows"),
            ("0123456789abcde", "must have 16 to 1024"),
            ("production-key=tooshort", "must have 16 to 1024"),
            ("with a blank in between", "must have 16 to 1024"),
            ("mit-umläuten-ist-es-keiner", "must have 16 to 1024"),
            ("aaaaaaaaaaaaaaaaaaaaaaaa", "again and again"),
            (&format!("{GOOD}\nx={GOOD}\nx={GOOD}1"), "secret 3 of webhooks.whatsapp has the name"),
            (&format!("a b={GOOD}"), "a name that is none"),
            (&format!("={GOOD}"), "a name that is none"),
            (&many, "more than 16 secrets"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains(GOOD) && !error.contains("tooshort"), "{error}");
        }
        let missing = Place { file: Some(Path::new("/nowhere/secrets")), variable: "X" };
        assert!(matches!(missing.secrets("x"), Err(SecretError::Unreadable { .. })));
    }

    #[test]
    fn a_token_is_taken_as_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let place = Place { file: Some(file.path()), variable: "X" };
        std::fs::write(file.path(), format!("a={GOOD}\n")).unwrap();
        assert_eq!(place.token("x").unwrap(), Some(format!("a={GOOD}")));
        for bad in ["", "meatyhamhock", "short"] {
            std::fs::write(file.path(), bad).unwrap();
            assert!(place.token("x").is_err(), "{bad}");
        }
        let none = Place { file: None, variable: "WATCHBELL_NO_SUCH_VARIABLE" };
        assert_eq!(none.token("x").unwrap(), None);
    }
}
