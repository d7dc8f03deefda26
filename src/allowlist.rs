//! What is known to be fine: networks, users, agents, paths and values of any field, each with a reason and an end.
//!
//! Asked twice: before a match is counted, so that a monitor's probes never fill a window, and again before an alert
//! opens, for what was allowed meanwhile. An entry without an end is for ever, and one without rules is for all.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::event::{Event, FieldId, Schema, Timestamp, Value, field};
use crate::rules::detection::network;
use crate::rules::fault::Place;
use crate::rules::nearest::did_you_mean;
use crate::rules::pattern::{Pattern, fold_case};
use crate::rules::{Rule, RuleSet};

/// An entry as the configuration has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct EntryConfig {
    /// Address ranges, such as `10.0.0.0/8`.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Accounts, as patterns with `*` and `?`.
    #[serde(default)]
    pub users: Vec<String>,
    /// User agents, as patterns.
    #[serde(default)]
    pub agents: Vec<String>,
    /// Request paths, as patterns.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Values of fields, as patterns, by the name of the field: hosts, partners, numbers. Of a list each element must be known.
    #[serde(default)]
    pub fields: BTreeMap<String, Vec<String>>,
    /// Names or ids of the rules it is for; all when there are none.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Why this is fine. Asked for, because somebody will wonder.
    pub reason: String,
    /// When it ends, as a time of TOML or text in RFC 3339, with an offset; never when absent.
    #[serde(default)]
    pub expires_at: Option<End>,
    /// Where it stands, when that is known.
    #[serde(skip)]
    pub place: Option<Place>,
}

/// When something ends, in either way to write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum End {
    /// `"2027-01-31T00:00:00Z"`
    Text(String),
    /// `2027-01-31T00:00:00Z`
    Time(toml::value::Datetime),
}

/// An entry: an event is allowed when it is in every kind of list that the entry has.
#[derive(Clone, Debug)]
pub struct Entry {
    networks: Vec<IpNet>,
    users: Vec<Pattern>,
    agents: Vec<Pattern>,
    paths: Vec<Pattern>,
    fields: Vec<Field>,
    rules: Vec<String>,
    expires_at: Option<Timestamp>,
    /// How errors call it.
    called: String,
    /// Why.
    pub reason: String,
}

/// Values of a field.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    /// Where it is in events; by [`Allowlist::resolve`].
    id: Option<FieldId>,
    patterns: Vec<Pattern>,
}

impl Field {
    fn allows(&self, value: &Value<'_>) -> bool {
        match value {
            Value::List(values) => !values.is_empty() && values.iter().all(|value| self.allows(value)),
            value => value.to_text().is_some_and(|text| one_matches(&self.patterns, Some(&text))),
        }
    }
}

/// All entries.
#[derive(Clone, Debug, Default)]
pub struct Allowlist {
    entries: Vec<Entry>,
}

impl Allowlist {
    /// Checks and compiles entries. The error says which entry and what was expected.
    pub fn new(configured: &[EntryConfig]) -> Result<Self, String> {
        let entries = configured.iter().enumerate().map(|(index, entry)| {
            let called = match &entry.place {
                Some(place) => format!("{place}: allowlist entry {}", index + 1),
                None => format!("allowlist entry {}", index + 1),
            };
            Entry::new(entry, called.clone()).map_err(|expected| format!("{called}: expected {expected}"))
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// Finds out where the fields are in events that have this schema.
    pub fn resolve(&mut self, schema: &mut Schema) {
        for field in self.entries.iter_mut().flat_map(|entry| &mut entry.fields) {
            field.id = Some(schema.intern(&field.name));
        }
    }

    /// Whether an entry is about where clients are.
    pub fn asks_for_places(&self) -> bool {
        let mut fields = self.entries.iter().flat_map(|entry| &entry.fields);
        fields.any(|field| field.id.is_some_and(FieldId::is_geo))
    }

    /// What is wrong with entries that are for rules which are not there: they allow nothing of those.
    pub fn faults(&self, rules: &RuleSet) -> Vec<String> {
        let names: Vec<&str> = rules
            .rules
            .iter()
            .flat_map(|rule| rule.name.iter().chain(&rule.id))
            .map(String::as_str)
            .collect();
        let known: HashSet<&str> = names.iter().copied().collect();
        let unknown = self.entries.iter().flat_map(|entry| entry.rules.iter().map(move |rule| (entry, rule)));
        unknown
            .filter(|(_, rule)| !known.contains(rule.as_str()))
            .map(|(entry, rule)| {
                let nearest = did_you_mean(rule, names.iter().copied());
                format!("{}: no rule is called '{rule}'{nearest}", entry.called)
            })
            .collect()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Entries that would allow an event, for a rule, at its time, but for one thing: the reason of each, and that thing.
    /// One that has nothing in common with the event is not near.
    pub fn near<'l>(
        &'l self,
        event: &Event<'_>,
        rule: &Rule,
        at: Timestamp,
    ) -> impl Iterator<Item = (&'l str, &'static str)> {
        self.entries
            .iter()
            .filter_map(move |entry| Some((entry.reason.as_str(), entry.fails_on(event, rule, at)?)))
    }

    /// The entry that allows an event, for a rule, at its time.
    pub fn find(&self, event: &Event<'_>, rule: &Rule, at: Timestamp) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.allows(event, rule, at))
    }
}

impl End {
    /// The time. The error names the key that it stands under.
    pub fn at(&self, key: &str) -> Result<Timestamp, String> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Time(time) => time.to_string(),
        };
        Timestamp::parse_rfc3339(&text).ok_or_else(|| {
            format!("a time with its offset, such as 2027-01-31T00:00:00Z, in {key}, not '{text}'")
        })
    }
}

impl Entry {
    fn new(entry: &EntryConfig, called: String) -> Result<Self, String> {
        if entry.reason.trim().is_empty() {
            return Err("a reason".to_owned());
        }
        let empty =
            [&entry.networks, &entry.users, &entry.agents, &entry.paths].iter().all(|list| list.is_empty());
        if empty && entry.fields.is_empty() {
            return Err("networks, users, agents, paths or fields".to_owned());
        }
        if let Some((name, _)) = entry.fields.iter().find(|(_, values)| values.is_empty()) {
            return Err(format!("a value of {name} at least"));
        }
        let patterns = |texts: &[String]| -> Vec<Pattern> {
            texts.iter().map(|text| Pattern::parse(text).fold_case()).collect()
        };
        let fields = entry.fields.iter().map(|(name, values)| Field {
            name: name.clone(),
            id: None,
            patterns: patterns(values),
        });
        let expires_at = entry.expires_at.as_ref().map(|end| end.at("expires_at")).transpose()?;
        Ok(Self {
            networks: entry.networks.iter().map(|text| network(text)).collect::<Result<_, _>>()?,
            users: patterns(&entry.users),
            agents: patterns(&entry.agents),
            paths: patterns(&entry.paths),
            fields: fields.collect(),
            rules: entry.rules.clone(),
            expires_at,
            called,
            reason: entry.reason.clone(),
        })
    }

    fn allows(&self, event: &Event<'_>, rule: &Rule, at: Timestamp) -> bool {
        !self.has_ended(at)
            && self.is_for(rule)
            && self.has_client(event)
            && one_matches(&self.users, event.text(field::USER_NAME))
            && one_matches(&self.agents, event.text(field::USER_AGENT))
            && one_matches(&self.paths, event.text(field::URL_PATH))
            && self.fields.iter().all(|field| field.id.is_some_and(|id| field.allows(event.get(id))))
    }

    /// The one thing that keeps the entry from allowing an event that it has something else in common with.
    fn fails_on(&self, event: &Event<'_>, rule: &Rule, at: Timestamp) -> Option<&'static str> {
        let lists = [
            (!self.networks.is_empty(), self.has_client(event), "the address is another"),
            (
                !self.users.is_empty(),
                one_matches(&self.users, event.text(field::USER_NAME)),
                "the user is another",
            ),
            (
                !self.agents.is_empty(),
                one_matches(&self.agents, event.text(field::USER_AGENT)),
                "the agent is another",
            ),
            (
                !self.paths.is_empty(),
                one_matches(&self.paths, event.text(field::URL_PATH)),
                "the path is another",
            ),
        ];
        let fields = self.fields.iter().map(|field| {
            let holds = field.id.is_some_and(|id| field.allows(event.get(id)));
            (true, holds, "one of its fields has another value")
        });
        let asked: Vec<_> = lists.into_iter().chain(fields).filter(|(is_asked, ..)| *is_asked).collect();
        let has_common = asked.iter().any(|(_, holds, _)| *holds);
        let ended = (true, !self.has_ended(at), "it has ended");
        let other = (true, self.is_for(rule), "it is for other rules");
        let mut fails = asked.into_iter().chain([ended, other]).filter(|(_, holds, _)| !*holds);
        let (.., but) = fails.next().filter(|_| has_common)?;
        fails.next().is_none().then_some(but)
    }

    fn has_ended(&self, at: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| at >= end)
    }

    fn is_for(&self, rule: &Rule) -> bool {
        let names = [rule.name.as_deref(), rule.id.as_deref()];
        self.rules.is_empty() || self.rules.iter().any(|wanted| names.contains(&Some(wanted.as_str())))
    }

    fn has_client(&self, event: &Event<'_>) -> bool {
        self.networks.is_empty() || event.client.is_some_and(|address| self.has_address(address))
    }

    fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

fn one_matches(patterns: &[Pattern], text: Option<&str>) -> bool {
    if patterns.is_empty() {
        return true;
    }
    let Some(text) = text.map(fold_case) else { return false };
    patterns.iter().any(|pattern| pattern.matches(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        let text = "title: A\nname: a\nlogsource: {category: x}\ndetection: {s: {f: x}, condition: s}\n";
        RuleSet::from_texts(&[("r.yml".to_owned(), text.to_owned(), false)]).rules.remove(0)
    }

    fn allowlist(text: &str) -> Result<Allowlist, String> {
        #[derive(Deserialize)]
        struct File {
            allowlist: Vec<EntryConfig>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        Allowlist::new(&file.allowlist)
    }

    #[test]
    fn an_entry_allows_what_is_in_all_its_lists_until_it_ends() {
        let list = allowlist(
            "[[allowlist]]\nnetworks = ['10.0.0.0/8']\nagents = ['Monitor/*']\nreason = 'uptime'\nexpires_at = '2026-01-01T00:00:00Z'\n",
        )
        .unwrap();
        let schema = Schema::new();
        let mut event = Event::new(&schema);
        event.client = "::ffff:10.1.2.3".parse().ok();
        let at = Timestamp::parse_rfc3339("2025-12-31T23:59:59Z").unwrap();
        assert!(list.find(&event, &rule(), at).is_none(), "the agent is missing");
        event.set_text(field::USER_AGENT, "monitor/1.0");
        assert_eq!(list.find(&event, &rule(), at).map(|entry| entry.reason.as_str()), Some("uptime"));
        assert!(list.find(&event, &rule(), at.after(std::time::Duration::from_secs(1))).is_none());
    }

    #[test]
    fn values_of_any_field_can_be_known_and_of_a_list_each_must_be() {
        let mut list = allowlist(
            "[[allowlist]]\nreason = 'ours'\n[allowlist.fields]\n'whatsapp.content.hosts' = ['shop.example', '*.shop.example']\n'whatsapp.number' = ['1065']\n",
        )
        .unwrap();
        let mut schema = Schema::new();
        list.resolve(&mut schema);
        let [hosts, number] = ["whatsapp.content.hosts", "whatsapp.number"].map(|name| schema.intern(name));
        for (values, of, is_allowed) in [
            (vec!["shop.example"], 1065, true),
            (vec!["shop.example", "WWW.shop.example"], 1065, true),
            (vec!["shop.example", "evil.example"], 1065, false),
            (vec!["myshop.example"], 1065, false),
            (vec![], 1065, false),
            (vec!["shop.example"], 1066, false),
        ] {
            let mut event = Event::new(&schema);
            event.set(hosts, Value::List(values.iter().map(|host| Value::text(host)).collect()));
            event.set(number, Value::Int(of));
            let near: Vec<_> = list.near(&event, &rule(), Timestamp::default()).collect();
            let nearly =
                if is_allowed { vec![] } else { vec![("ours", "one of its fields has another value")] };
            assert_eq!(near, nearly, "{values:?} of {of}");
            assert_eq!(
                list.find(&event, &rule(), Timestamp::default()).is_some(),
                is_allowed,
                "{values:?} {of}"
            );
        }
        let event = Event::new(&schema);
        assert!(list.find(&event, &rule(), Timestamp::default()).is_none(), "what is not there is not known");
        let error = allowlist("[[allowlist]]\nreason = 'x'\nfields = {a = []}\n").unwrap_err();
        assert!(error.contains("a value of a at least"), "{error}");
    }

    #[test]
    fn an_entry_can_be_for_some_rules() {
        let list = |name: &str| {
            allowlist(&format!("[[allowlist]]\nusers = ['*']\nrules = ['{name}']\nreason = 'x'\n")).unwrap()
        };
        let schema = Schema::new();
        let mut event = Event::new(&schema);
        event.set_text(field::USER_NAME, "ann");
        assert!(list("a").find(&event, &rule(), Timestamp::default()).is_some());
        assert!(list("b").find(&event, &rule(), Timestamp::default()).is_none());
    }

    #[test]
    fn an_end_is_a_time_of_toml_or_text_and_has_an_offset() {
        let end = |text: &str| {
            allowlist(&format!("[[allowlist]]\nusers = ['a']\nreason = 'x'\nexpires_at = {text}\n"))
                .map(|list| list.entries[0].expires_at)
        };
        let expected = Timestamp::parse_rfc3339("2027-01-31T00:00:00Z");
        for same in [
            "'2027-01-31T00:00:00Z'",
            "2027-01-31T00:00:00Z",
            "2027-01-31 00:00:00Z",
            "2027-01-31T01:00:00+01:00",
            "2027-01-31T00:00:00.000Z",
        ] {
            assert_eq!(end(same), Ok(expected), "{same}");
        }
        for wrong in ["2027-01-31", "2027-01-31T00:00:00", "'tomorrow'", "00:00:00"] {
            assert!(end(wrong).unwrap_err().contains("with its offset"), "{wrong}");
        }
    }

    #[test]
    fn a_rule_that_is_not_there_is_told() {
        let list = allowlist(
            "[[allowlist]]\nusers = ['a']\nrules = ['a']\nreason = 'x'\n[[allowlist]]\nusers = ['a']\nrules = ['brute_force_by_adress', 'a', 'other']\nreason = 'x'\n",
        )
        .unwrap();
        let mut rules = RuleSet { rules: vec![rule()], ..RuleSet::default() };
        let mut named = rule();
        named.name = Some("brute_force_by_address".to_owned());
        rules.rules.push(named);
        assert_eq!(
            list.faults(&rules),
            [
                "allowlist entry 2: no rule is called 'brute_force_by_adress'; did you mean 'brute_force_by_address'?",
                "allowlist entry 2: no rule is called 'other'"
            ]
        );
    }

    #[test]
    fn errors_name_the_entry() {
        assert!(allowlist("[[allowlist]]\nreason = 'x'\n").unwrap_err().contains("entry 1"));
        assert!(
            allowlist("[[allowlist]]\nnetworks = ['10.0.0.0/99']\nreason = 'x'\n")
                .unwrap_err()
                .contains("a network")
        );
        assert!(allowlist("[[allowlist]]\nusers = ['a']\n").unwrap_err().contains("reason"));
    }
}
