//! Spikes that are planned: campaigns, each with an end, in which more than usual is what was meant.
//!
//! While one lasts, rules with a baseline find nothing above what is usual for the subjects that it is for, and do not learn
//! from it either: what is usual afterwards is what was usual before. That less comes than usual is found all the same.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::allowlist::End;
use crate::event::Timestamp;
use crate::rules::Rule;
use crate::rules::pattern::{Pattern, fold_case};

/// A campaign as the configuration has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignConfig {
    /// What people call it.
    pub name: String,
    /// When it begins: a time of TOML, or text in RFC 3339, with an offset.
    pub starts_at: End,
    /// When it is over. There is no campaign without an end.
    pub ends_at: End,
    /// Names or ids of the rules it is for; all that have a baseline when there are none.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Whom it is for: patterns by the name of a field that subjects are made of. All when there are none.
    #[serde(default)]
    pub subjects: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug)]
struct Campaign {
    starts_at: i64,
    ends_at: i64,
    rules: Vec<String>,
    subjects: Vec<(String, Vec<Pattern>)>,
}

/// All campaigns.
#[derive(Clone, Debug, Default)]
pub struct Campaigns(Vec<Campaign>);

impl Campaigns {
    /// Checks and compiles. The error says which one and what was expected.
    pub fn new(configured: &[CampaignConfig]) -> Result<Self, String> {
        let campaign = |config: &CampaignConfig| {
            let (starts_at, ends_at) = (config.starts_at.at("starts_at")?, config.ends_at.at("ends_at")?);
            if config.name.trim().is_empty() {
                return Err("a name".to_owned());
            }
            if ends_at <= starts_at {
                return Err("an end after the beginning".to_owned());
            }
            if let Some((name, _)) = config.subjects.iter().find(|(_, values)| values.is_empty()) {
                return Err(format!("a value of {name} at least"));
            }
            let patterns = |texts: &Vec<String>| {
                texts.iter().map(|text| Pattern::parse(text).fold_case()).collect::<Vec<_>>()
            };
            Ok(Campaign {
                starts_at: starts_at.as_micros(),
                ends_at: ends_at.as_micros(),
                rules: config.rules.clone(),
                subjects: config
                    .subjects
                    .iter()
                    .map(|(name, texts)| (name.clone(), patterns(texts)))
                    .collect(),
            })
        };
        let campaigns = configured.iter().map(|config| {
            campaign(config).map_err(|expected| format!("campaign '{}': expected {expected}", config.name))
        });
        Ok(Self(campaigns.collect::<Result<_, _>>()?))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From when to when more than usual is planned for a subject of a rule, if it is at this time, in microseconds.
    pub fn planned<'s>(
        &self,
        rule: &Rule,
        subject: impl Iterator<Item = (&'s str, &'s str)> + Clone,
        at: Timestamp,
    ) -> Option<(i64, i64)> {
        let at = at.as_micros();
        let names = [rule.name.as_deref(), rule.id.as_deref()];
        let is_for = |campaign: &&Campaign| {
            (campaign.starts_at..campaign.ends_at).contains(&at)
                && (campaign.rules.is_empty()
                    || campaign.rules.iter().any(|wanted| names.contains(&Some(wanted.as_str()))))
                && campaign.subjects.iter().all(|(name, patterns)| {
                    let part = subject.clone().find(|(field, _)| *field == name.as_str());
                    part.is_some_and(|(_, value)| {
                        let value = fold_case(value);
                        patterns.iter().any(|pattern| pattern.matches(&value))
                    })
                })
        };
        self.0.iter().find(is_for).map(|campaign| (campaign.starts_at, campaign.ends_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleSet;

    fn campaigns(text: &str) -> Result<Campaigns, String> {
        #[derive(Deserialize)]
        struct File {
            campaigns: Vec<CampaignConfig>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        Campaigns::new(&file.campaigns)
    }

    #[test]
    fn a_campaign_is_for_its_time_its_rules_and_its_subjects() {
        let text = "title: A\nname: a\nlogsource: {category: x}\ndetection: {s: {f: x}, condition: s}\n";
        let rule = RuleSet::from_texts(&[("r.yml".to_owned(), text.to_owned(), false)]).rules.remove(0);
        let head = "[[campaigns]]\nname = 'sale'\nstarts_at = 2026-11-27T06:00:00Z\nends_at = 2026-11-28T00:00:00+01:00\n";
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let subject = [("whatsapp.number", "1065"), ("whatsapp.template.category", "MARKETING")];
        for (more, time, is_planned) in [
            ("", "2026-11-27T06:00:00Z", true),
            ("", "2026-11-27T22:59:59Z", true),
            ("", "2026-11-27T23:00:00Z", false),
            ("", "2026-11-27T05:59:59Z", false),
            ("rules = ['a', 'b']", "2026-11-27T12:00:00Z", true),
            ("rules = ['b']", "2026-11-27T12:00:00Z", false),
            ("subjects = {'whatsapp.number' = ['10*']}", "2026-11-27T12:00:00Z", true),
            ("subjects = {'whatsapp.number' = ['2']}", "2026-11-27T12:00:00Z", false),
            ("subjects = {'whatsapp.template.category' = ['marketing']}", "2026-11-27T12:00:00Z", true),
            ("subjects = {'user.name' = ['*']}", "2026-11-27T12:00:00Z", false),
        ] {
            let campaigns = campaigns(&format!("{head}{more}\n")).unwrap();
            let planned = campaigns.planned(&rule, subject.into_iter(), at(time));
            assert_eq!(planned.is_some(), is_planned, "{more} {time}");
        }
    }

    #[test]
    fn a_campaign_has_an_end_after_its_beginning() {
        for (text, expected) in [
            ("name = 'x'\nstarts_at = 2026-11-27T06:00:00Z\n", "missing field `ends_at`"),
            (
                "name = 'x'\nstarts_at = 2026-11-27T06:00:00Z\nends_at = 2026-11-27T06:00:00Z\n",
                "an end after the beginning",
            ),
            ("name = ' '\nstarts_at = 2026-11-27T06:00:00Z\nends_at = 2026-11-28T06:00:00Z\n", "a name"),
            (
                "name = 'x'\nstarts_at = 2026-11-27\nends_at = 2026-11-28T06:00:00Z\n",
                "in starts_at, not '2026-11-27'",
            ),
            (
                "name = 'x'\nstarts_at = 2026-11-27T06:00:00Z\nends_at = 2026-11-28T06:00:00Z\nsubjects = {a = []}\n",
                "a value of a at least",
            ),
        ] {
            let error = campaigns(&format!("[[campaigns]]\n{text}")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
