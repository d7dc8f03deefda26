//! Which requests are logins, and how they ended.
//!
//! An access log does not say so; the method, the path and the status do. Every line is asked, so most must be
//! turned away at once: by the method, and then by a hash of the last segment of the path.
//!
//! A path is read as the most lenient of servers reads it: in any case, without path parameters, blanks and dots at
//! the end of segments, and with `.` and `..` resolved. Whoever guesses passwords chooses how it is spelled.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use smallvec::SmallVec;

use super::login_paths::{ENDPOINTS, FORMS, OTHERS};
use super::target;

/// Segments that take no memory of their own; few paths have more.
const FEW_SEGMENTS: usize = 24;

type Segments<'p> = SmallVec<[&'p str; FEW_SEGMENTS]>;

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The credentials were refused.
    Failure,
    /// The credentials were good.
    Success,
    /// The status does not tell: a form that answers 200 either way.
    Unknown,
}

impl Outcome {
    /// As `event.outcome` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Success => "success",
            Self::Unknown => "unknown",
        }
    }

    /// As `event.action` has it.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Failure => "authn_login_fail",
            Self::Success => "authn_login_success",
            Self::Unknown => "authn_login_attempt",
        }
    }
}

/// Requests that are logins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Path, in any case: `*` is any text within a segment, `**` any number of segments.
    pub path: String,
    /// Methods.
    #[serde(default = "post")]
    pub methods: Vec<String>,
    /// Statuses that mean that the credentials were good.
    #[serde(default = "form_success")]
    pub success: Vec<u16>,
    /// Statuses that mean that they were refused. Any other status leaves it open.
    #[serde(default = "refused")]
    pub failure: Vec<u16>,
    /// Query parameters that name the user.
    #[serde(default = "user_parameters")]
    pub user: Vec<String>,
    /// What in a query means that it is no login: the last parameter of a name, as `action=logout`, or else any text.
    #[serde(default)]
    pub unless_query: Vec<String>,
}

fn post() -> Vec<String> {
    vec!["POST".into()]
}

fn form_success() -> Vec<u16> {
    vec![302, 303]
}

fn refused() -> Vec<u16> {
    vec![400, 401, 403, 422, 423, 429]
}

fn user_parameters() -> Vec<String> {
    ["username", "user", "login", "email", "user_name", "userid", "user_id", "account", "j_username"]
        .map(String::from)
        .into()
}

fn defaults() -> impl Iterator<Item = Pattern> {
    let form = |path: &str| Pattern {
        path: path.into(),
        methods: post(),
        success: form_success(),
        failure: refused(),
        user: user_parameters(),
        unless_query: Vec::new(),
    };
    let endpoint = move |path: &str| Pattern {
        methods: vec!["POST".into(), "PUT".into()],
        success: vec![200, 201, 202, 204, 302, 303],
        ..form(path)
    };
    // A refused login is the page again.
    let page_again = |path: &str| Pattern { failure: [vec![200], refused()].concat(), ..form(path) };
    let wordpress = Pattern {
        unless_query: ["lostpassword", "retrievepassword", "resetpass", "register", "postpass", "logout"]
            .map(|action| format!("action={action}"))
            .into(),
        ..page_again("/**/wp-login.php")
    };
    // PHP answers below the name of a script as well.
    let wordpress_below = Pattern { path: "/**/wp-login.php/**".into(), ..wordpress.clone() };
    let keycloak = page_again("/**/login-actions/authenticate");
    [wordpress, wordpress_below, keycloak, form("/**/login.php/**")]
        .into_iter()
        .chain(ENDPOINTS.iter().map(move |path| endpoint(path)))
        .chain(FORMS.iter().map(move |path| form(path)))
}

/// How the patterns stand in a configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Whether the patterns that come with the program hold too, after these.
    #[serde(default = "yes")]
    defaults: bool,
    #[serde(default)]
    patterns: Vec<Pattern>,
    /// Paths that are no logins, whatever the patterns say.
    #[serde(default)]
    except: Vec<String>,
}

fn yes() -> bool {
    true
}

impl From<Config> for Patterns {
    fn from(config: Config) -> Self {
        let mut except = config.except;
        let mut patterns = config.patterns;
        let own = patterns.len();
        if config.defaults {
            patterns.extend(defaults());
        }
        let others = if config.defaults { OTHERS } else { &[] };
        except.extend(others.iter().map(|path| String::from(*path)));
        Self::new(patterns, own, &except)
    }
}

/// All patterns, ready to be asked. The first that matches decides.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Config")]
pub struct Patterns {
    methods: Vec<Box<str>>,
    entries: Vec<Entry>,
    /// By last segment in lower case; indices of entries.
    by_last: HashMap<Box<str>, Vec<u32>, foldhash::fast::FixedState>,
    /// Entries whose last segment is a wildcard.
    open: Vec<u32>,
    longest_last: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    segments: Vec<Segment>,
    /// `None`: not a login.
    login: Option<Pattern>,
}

#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Literal(Box<str>),
    Glob(Box<str>),
    Many,
}

impl Default for Patterns {
    fn default() -> Self {
        Config { defaults: true, patterns: Vec::new(), except: Vec::new() }.into()
    }
}

/// What the patterns say of a request.
#[derive(Debug, PartialEq)]
pub(super) struct Login {
    pub outcome: Outcome,
    /// The user named by the query.
    pub user: Option<String>,
}

impl Patterns {
    /// The first `own` patterns are the user's and go before the exceptions.
    fn new(patterns: Vec<Pattern>, own: usize, except: &[String]) -> Self {
        let mut this = Self {
            methods: Vec::new(),
            entries: Vec::new(),
            by_last: HashMap::default(),
            open: Vec::new(),
            longest_last: 0,
        };
        let mut patterns = patterns.into_iter();
        for pattern in patterns.by_ref().take(own) {
            this.add_login(pattern);
        }
        except.iter().for_each(|path| this.add(path, None));
        patterns.for_each(|pattern| this.add_login(pattern));
        this
    }

    fn add_login(&mut self, pattern: Pattern) {
        for method in &pattern.methods {
            if !self.methods.iter().any(|known| **known == **method) {
                self.methods.push(method.as_str().into());
            }
        }
        let path = pattern.path.clone();
        self.add(&path, Some(pattern));
    }

    fn add(&mut self, path: &str, login: Option<Pattern>) {
        let segments: Vec<_> = segments(path)
            .into_iter()
            .map(|segment| match segment {
                "**" => Segment::Many,
                glob if glob.contains('*') => Segment::Glob(glob.to_ascii_lowercase().into()),
                literal => Segment::Literal(literal.to_ascii_lowercase().into()),
            })
            .collect();
        let index = self.entries.len() as u32;
        match segments.last() {
            Some(Segment::Literal(last)) => {
                self.longest_last = self.longest_last.max(last.len());
                self.by_last.entry(last.clone()).or_default().push(index);
            }
            _ => self.open.push(index),
        }
        self.entries.push(Entry { segments, login });
    }

    /// Whether a request with this method may be a login at all.
    #[inline]
    pub(super) fn know_method(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known.eq_ignore_ascii_case(method))
    }

    /// What the request is, if it is a login. The path must be normal, as [`target::normalize`] makes it.
    pub(super) fn find(&self, method: &str, path: &str, query: Option<&str>, status: u16) -> Option<Login> {
        let parts = segments(path);
        let last = parts.last().copied().unwrap_or_default();
        let named: &[u32] = if last.len() <= self.longest_last {
            self.by_last.get(lower(last).as_ref()).map_or(&[], Vec::as_slice)
        } else {
            &[]
        };
        let matches = |index: &&u32| {
            self.entries.get(**index as usize).is_some_and(|entry| {
                let method_fits = entry
                    .login
                    .as_ref()
                    .is_none_or(|login| login.methods.iter().any(|known| known.eq_ignore_ascii_case(method)));
                method_fits && path_matches(&entry.segments, &parts)
            })
        };
        let first = named.iter().find(matches).into_iter().chain(self.open.iter().find(matches)).min()?;
        let pattern = self.entries.get(*first as usize)?.login.as_ref()?;
        if query.is_some_and(|query| pattern.unless_query.iter().any(|text| says(query, text))) {
            return None;
        }
        let outcome = if pattern.failure.contains(&status) {
            Outcome::Failure
        } else if pattern.success.contains(&status) {
            Outcome::Success
        } else {
            Outcome::Unknown
        };
        Some(Login { outcome, user: query.and_then(|query| target::parameter(query, &pattern.user)) })
    }
}

/// The names on the way to what a path names, whatever else is written between them.
fn segments(path: &str) -> Segments<'_> {
    // No early exit: this way it is a vector comparison.
    let is_plain = !path.bytes().fold(false, |odd, byte| odd | matches!(byte, b';' | b'.' | b' '));
    if is_plain {
        return path.split('/').filter(|segment| !segment.is_empty()).collect();
    }
    let mut segments = Segments::new();
    for segment in path.split('/') {
        let name = segment.split_once(';').map_or(segment, |(name, _parameters)| name);
        if name == ".." {
            segments.pop();
            continue;
        }
        let name = name.trim_start_matches(' ').trim_end_matches([' ', '.']);
        if !name.is_empty() {
            segments.push(name);
        }
    }
    segments
}

/// Whether a query says `text`. Of a parameter that comes twice the last counts, as in PHP: otherwise a login could
/// be called something else by a parameter that nobody reads.
fn says(query: &str, text: &str) -> bool {
    let Some((name, _)) = text.split_once('=') else { return query.contains(text) };
    let is_named = |pair: &&str| pair.split_once('=').is_some_and(|(given, _)| given == name);
    query.rsplit('&').find(is_named) == Some(text)
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a path fits, by backtracking to the last `**` only: earlier ones need no other choice.
fn path_matches(pattern: &[Segment], parts: &[&str]) -> bool {
    let (mut at, mut part) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while part < parts.len() {
        let fits = match pattern.get(at) {
            Some(Segment::Many) => {
                again = Some((at, part));
                at += 1;
                continue;
            }
            Some(Segment::Literal(literal)) => literal.eq_ignore_ascii_case(parts[part]),
            Some(Segment::Glob(glob)) => glob_matches(glob.as_bytes(), parts[part].as_bytes()),
            None => false,
        };
        if fits {
            (at, part) = (at + 1, part + 1);
        } else if let Some((many, taken)) = again {
            again = Some((many, taken + 1));
            (at, part) = (many + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|segment| *segment == Segment::Many)
}

fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut byte) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while byte < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                again = Some((at, byte));
                at += 1;
            }
            Some(wanted) if *wanted == text[byte].to_ascii_lowercase() => (at, byte) = (at + 1, byte + 1),
            _ => match again {
                Some((star, taken)) => {
                    again = Some((star, taken + 1));
                    (at, byte) = (star + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(request: &str) -> Option<Outcome> {
        let mut words = request.split(' ');
        let (method, target, status) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let patterns = Patterns::default();
        if !patterns.know_method(method) {
            return None;
        }
        patterns.find(method, path, query, status.parse().unwrap()).map(|login| login.outcome)
    }

    #[test]
    fn logins_of_real_servers() {
        use Outcome::{Failure, Success, Unknown};
        for (request, expected) in [
            ("POST /login 302", Some(Success)),
            ("POST /login 303", Some(Success)),
            ("POST /login 200", Some(Unknown)),
            ("POST /login 401", Some(Failure)),
            ("POST /login/ 429", Some(Failure)),
            ("POST /Login 401", Some(Failure)),
            ("POST /login 500", Some(Unknown)),
            ("POST /login 404", Some(Unknown)),
            ("GET /login 200", None),
            ("HEAD /login 401", None),
            ("POST /wp-login.php 200", Some(Failure)),
            ("POST /blog/wp-login.php 302", Some(Success)),
            ("POST /wp-login.php?action=lostpassword 302", None),
            ("POST /xmlrpc.php 200", None),
            ("POST /oauth/token 200", Some(Success)),
            ("POST /oauth2/token 400", Some(Failure)),
            ("POST /realms/shop/protocol/openid-connect/token 401", Some(Failure)),
            ("POST /connect/token 200", Some(Success)),
            ("POST /api/login 200", Some(Success)),
            ("POST /api/v1/login 401", Some(Failure)),
            ("POST /api/v1/auth/login 401", Some(Failure)),
            ("POST /api/v1/auth 200", Some(Success)),
            ("POST /api/auth/callback/credentials 401", Some(Failure)),
            ("POST /api/auth/logout 200", None),
            ("POST /api/auth/refresh 401", None),
            ("POST /rest/user/login 401", Some(Failure)),
            ("PUT /api/session 201", Some(Success)),
            ("PUT /login 302", None),
            ("POST /users/sign_in 422", Some(Failure)),
            ("POST /accounts/login/ 302", Some(Success)),
            ("POST /admin/login/?next=/admin/ 302", Some(Success)),
            ("POST /administrator/index.php 303", Some(Success)),
            ("POST /owa/auth.owa 302", Some(Success)),
            ("POST /app/j_security_check 302", Some(Success)),
            ("POST /login.jsp;jsessionid=AB12 302", Some(Success)),
            ("POST /wp-login.php?x=action=logout 302", Some(Success)),
            ("POST /wp-login.php?action=logout&action=login 302", Some(Success)),
            ("POST /wp-login.php/x/y 200", Some(Failure)),
            ("POST /login.php/x 302", Some(Success)),
            ("POST //login 401", Some(Failure)),
            ("POST /a/../login 401", Some(Failure)),
            ("POST /login/x/.. 401", Some(Failure)),
            ("POST /login/. 401", Some(Failure)),
            ("POST /login. 401", Some(Failure)),
            ("POST /login/./ 401", Some(Failure)),
            ("POST /x/././././login 401", Some(Failure)),
            ("POST /login;a=b/;c 401", Some(Failure)),
            ("POST /;x=y/login 401", Some(Failure)),
            ("POST /x/..;/login 401", Some(Failure)),
            ("POST /LOGIN 401", Some(Failure)),
            ("post /login 401", Some(Failure)),
            ("POST /login/../orders 401", None),
            ("POST /index.php 302", None),
            ("POST /api/orders 401", None),
            ("POST /loginx 401", None),
            ("POST / 401", None),
            ("POST  401", None),
        ] {
            assert_eq!(outcome(request), expected, "{request}");
        }
    }

    #[test]
    fn a_login_cannot_be_hidden_by_a_long_way_to_it() {
        for way in ["/x", "/.", "/", "/x/.."] {
            assert_eq!(
                outcome(&format!("POST {}/login 401", way.repeat(10_000))),
                Some(Outcome::Failure),
                "{way}"
            );
        }
    }

    #[test]
    fn the_user_is_in_the_query_or_not_known() {
        let login =
            Patterns::default().find("POST", "/login", Some("a=b&email=jo%40shop.example"), 401).unwrap();
        assert_eq!(login.user.as_deref(), Some("jo@shop.example"));
    }

    #[test]
    fn patterns_of_a_configuration_come_first() {
        let patterns: Patterns = toml::from_str(
            r#"
            except = ["/demo/login"]
            [[patterns]]
            path = "/knock/*-door"
            methods = ["GET"]
            success = [204]
            failure = [418]
            "#,
        )
        .unwrap();
        let find =
            |method, path, status| patterns.find(method, path, None, status).map(|login| login.outcome);
        assert_eq!(find("GET", "/knock/back-door", 418), Some(Outcome::Failure));
        assert_eq!(find("GET", "/knock/back-door", 204), Some(Outcome::Success));
        assert_eq!(find("POST", "/login", 302), Some(Outcome::Success));
        assert_eq!(find("POST", "/demo/login", 302), None);
        assert!(toml::from_str::<Patterns>("paterns = []").is_err());
    }

    #[test]
    fn globs() {
        for (glob, path, expected) in [
            ("/a/**/b", "/a/b", true),
            ("/a/**/b", "/a/x/b/y/b", true),
            ("/a/**/b", "/a/x", false),
            ("/a/*/b", "/a/b", false),
            ("/a/*", "/a/x/y", false),
            ("/a/v*x/c", "/a/v1x/c", true),
            ("/**", "/", true),
        ] {
            let patterns = Patterns::new(
                vec![Pattern {
                    path: glob.into(),
                    methods: post(),
                    success: vec![],
                    failure: vec![],
                    user: vec![],
                    unless_query: vec![],
                }],
                1,
                &[],
            );
            assert_eq!(patterns.find("POST", path, None, 200).is_some(), expected, "{glob} {path}");
        }
    }
}
