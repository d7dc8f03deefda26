//! Which alert tells of which attack, and which of none.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::found::Found;
use super::label::Label;
use super::who::{Partners, Who};

/// An alert may open so long after the last line of what it is about.
const GRACE: Duration = Duration::from_secs(5 * 60);
/// What webhooks tell comes later.
const MESSAGING_GRACE: Duration = Duration::from_secs(15 * 60);
/// And some of it has no time of its own, and is given that of what came before.
const MESSAGING_DOUBT: Duration = Duration::from_secs(60);

/// A label, and whom an alert about it may name.
#[derive(Debug)]
pub struct Case {
    /// The label.
    pub label: Label,
    /// The label's subject; of a label about an account, the addresses that attacked it too.
    pub named: HashSet<Who>,
    /// All who had part in it: addresses, and accounts they tried.
    pub involved: HashSet<Who>,
    /// The alerts that tell of it, by place among all, in the order in which they opened.
    pub told_by: Vec<usize>,
}

/// What alerts are worth.
#[derive(Debug)]
pub struct Judgement {
    /// By label, in the order of the labels.
    pub cases: Vec<Case>,
    /// Alerts that tell of no attack and name nobody who had part in one, by place among all.
    pub false_alarms: Vec<usize>,
}

/// Judges alerts. `partners` says who had to do with whom: out of the lines where they are known, or of evidence.
pub fn judge(labels: Vec<Label>, alerts: &[Found], partners: &Partners) -> Judgement {
    let mut cases: Vec<Case> = labels.into_iter().map(|label| Case::new(label, partners)).collect();
    let mut by_name: HashMap<&Who, Vec<usize>> = HashMap::new();
    for (place, case) in cases.iter().enumerate() {
        case.named.iter().for_each(|who| by_name.entry(who).or_default().push(place));
    }
    let of_all = |wanted: fn(&Case) -> bool| -> Vec<usize> {
        (0..cases.len()).filter(|place| wanted(&cases[*place])).collect()
    };
    let (shared, messaging) = (of_all(Case::is_shared), of_all(Case::is_messaging));
    let mut told: Vec<(usize, usize)> = Vec::new();
    for (number, alert) in alerts.iter().enumerate() {
        let named = alert.whom.iter().filter_map(|who| by_name.get(who)).flatten();
        let wide = shared.iter().filter(|_| alert.names_nobody());
        let of_webhooks = messaging.iter().filter(|_| alert.is_messaging);
        let candidates: BTreeSet<usize> = named.chain(wide).chain(of_webhooks).copied().collect();
        told.extend(
            candidates
                .into_iter()
                .filter(|place| cases[*place].is_told_of_by(alert))
                .map(|place| (place, number)),
        );
    }
    let tells: HashSet<usize> = told
        .iter()
        .filter(|(place, _)| !cases[*place].label.is_innocent)
        .map(|(_, number)| *number)
        .collect();
    let attacks = || cases.iter().filter(|case| !case.label.is_innocent);
    let guilty: HashSet<&Who> = attacks().flat_map(|case| &case.involved).collect();
    let is_false = |number: &usize| {
        let alert = &alerts[*number];
        // What is about the whole service may be set off by somebody innocent amid an attack.
        let is_under_attack =
            || attacks().any(|case| case.label.start <= alert.opened_at && case.label.end >= alert.begin);
        let is_about_guilty = alert.whom.iter().any(|who| who.is_somebody() && guilty.contains(who));
        let is_excused = alert.names_nobody() && is_under_attack();
        !(tells.contains(number) || is_about_guilty || is_excused)
    };
    let false_alarms = (0..alerts.len()).filter(is_false).collect();
    for (place, number) in told {
        cases[place].told_by.push(number);
    }
    for case in &mut cases {
        case.told_by.sort_by_key(|number| (alerts[*number].opened_at, *number));
    }
    Judgement { cases, false_alarms }
}

impl Case {
    fn new(label: Label, partners: &Partners) -> Self {
        let others = || label.subject.iter().flat_map(|who| partners.of(who)).cloned();
        let involved: HashSet<Who> = label.subject.iter().cloned().chain(others()).collect();
        let is_about_account = label.subject.iter().any(|who| matches!(who, Who::Account(_)));
        let named = if is_about_account { involved.clone() } else { label.subject.clone() };
        Self { label, named, involved, told_by: Vec::new() }
    }

    fn is_told_of_by(&self, alert: &Found) -> bool {
        let Label { start, end, .. } = self.label;
        if self.is_messaging() {
            // Rules about webhooks name what a webhook names, which may be another name of the same business.
            return alert.is_messaging
                && !self.contradicts(alert)
                && (start.before(MESSAGING_DOUBT)..=end.after(MESSAGING_GRACE)).contains(&alert.opened_at);
        }
        alert.opened_at <= end.after(GRACE)
            && alert.resolved_at.is_none_or(|resolved_at| resolved_at >= start)
            && (!self.named.is_disjoint(&alert.whom) || (self.is_shared() && self.is_wide(alert)))
    }

    /// Whether several addresses share the work.
    pub fn is_shared(&self) -> bool {
        self.named.iter().filter(|who| matches!(who, Who::Address(_))).count() > 1
    }

    fn is_messaging(&self) -> bool {
        self.label.subject.iter().any(Who::is_messaging)
    }

    /// Whether an alert is about another value of a field of the subject.
    fn contradicts(&self, alert: &Found) -> bool {
        self.label.subject.iter().any(|who| match who {
            Who::Other(field, value) => {
                alert.subject.iter().any(|(other, found)| other == field && found != value)
            }
            _ => false,
        })
    }

    /// Whether an alert is about the whole service and about attacks such as this, as far as the names say. One that is
    /// open already takes in whoever comes next, and its evidence is of the first.
    fn is_wide(&self, alert: &Found) -> bool {
        let (rule, kind) = (alert.rule.as_str(), self.label.kind.as_str());
        let on_logins = ["brute_force", "password_spray", "credential_stuffing"];
        let is_of_its_kind = if on_logins.iter().any(|start| kind.starts_with(start)) {
            rule.contains("distributed_login") || rule.starts_with("distributed_")
        } else {
            rule.ends_with("_distributed")
        };
        alert.names_nobody() && is_of_its_kind
    }
}
