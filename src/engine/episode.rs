//! What a window's readings become: evidence, an episode, an alert.

use std::sync::Arc;
use std::time::Duration;

use super::chain::{Candidates, Stages};
use super::recovery::{Absent, Recovery};
use super::work::{Recall, Work};
use super::{Shared, Source};
use crate::alert::{
    self, Alert, Consulted, Contribution, Deviation, Evidence, Ground, MAX_CONSULTED, MAX_CONTRIBUTIONS,
    MAX_MATCHED, MAX_SAMPLES, MAX_VALUES, Matched, NearlyAllowed, Place, Sample, Stage, Withheld,
};
use crate::event::{Event, FieldId, Timestamp, Value, field, micros};
use crate::matching::observation::Tap;
use crate::rules::Severity;
use crate::windows::table::{Memo, Slot};
use crate::windows::travel::Stop;
use crate::windows::{Detail, Measure, Observed, Reading};

/// Events looked at again for evidence, of each episode or approach to one. Looking again costs a decoding.
const MAX_LOOKS: u8 = 32;
/// Bytes of a value that are kept as evidence, or of a part of a subject.
const MAX_VALUE_BYTES: usize = 256;

/// The fields of an event that say most to whoever looks at an alert.
const SAMPLED: [crate::event::FieldId; 18] = [
    field::SOURCE_IP,
    field::GEO_COUNTRY,
    field::GEO_CITY,
    field::AS_NUMBER,
    field::AS_ORGANISATION,
    field::USER_NAME,
    field::REQUEST_METHOD,
    field::URL_DOMAIN,
    field::URL_ORIGINAL,
    field::STATUS_CODE,
    field::RESPONSE_BYTES,
    field::REFERRER,
    field::USER_AGENT,
    field::EVENT_ACTION,
    field::EVENT_OUTCOME,
    field::EVENT_REASON,
    field::OBJECT_TYPE,
    field::OBJECT_ID,
];

/// What is noted beside a window.
#[derive(Debug, Default)]
pub struct Notes {
    /// The open episode, whose evidence is in it.
    pub episode: Option<Box<Alert>>,
    /// Evidence of an approach that may become an episode.
    approach: Evidence,
    /// What the timeline of a sequence is made of.
    candidates: Candidates,
    /// What has added to a risk, by time.
    contributions: Vec<Contribution>,
    looks: u8,
    /// Findings that opened nothing since the last episode, or since it was quiet.
    withheld: Withheld,
    /// Events of the approach that came after later ones.
    late: u32,
    /// Findings when the episode was last told.
    told: u64,
    last_seen: i64,
    quiet: i64,
    /// Whether the window says when the episode is over, however long nothing is found.
    is_held: bool,
}

impl Memo for Notes {
    fn holds_subject(&self, now: Timestamp) -> bool {
        self.episode.is_some()
            && (self.is_held || now.as_micros() <= self.last_seen.saturating_add(self.quiet))
    }

    fn heap_bytes(&self) -> usize {
        /// Id and subject.
        const TEXTS_OF_AN_ALERT: usize = 256;
        let evidence = self.episode.as_ref().map_or(&self.approach, |episode| &episode.evidence);
        let alert = self.episode.as_ref().map_or(0, |_| size_of::<Alert>() + TEXTS_OF_AN_ALERT);
        let deviation = evidence.deviation.as_ref().map_or(0, |_| size_of::<Deviation>());
        let values: usize = evidence.values.iter().map(|value| size_of::<String>() + value.len()).sum();
        alert
            + deviation
            + values
            + evidence.trip.as_ref().map_or(0, |_| size_of::<alert::Trip>() + 8)
            + evidence.consulted.as_ref().map_or(0, |consulted| consulted.bytes())
            + self.candidates.heap_bytes()
            + (self.contributions.capacity() + evidence.contributions.capacity()) * size_of::<Contribution>()
            + evidence.stages.iter().map(Stage::bytes).sum::<usize>()
            + evidence.matched.capacity() * size_of::<Matched>()
            + evidence.samples.iter().map(Sample::bytes).sum::<usize>()
    }
}

impl Notes {
    /// Whether an episode is open at this time.
    pub fn is_open_at(&self, now: Timestamp) -> bool {
        // Windows of a lower level are further on in time.
        self.holds_subject(now) && self.episode.as_ref().is_some_and(|episode| episode.opened_at <= now)
    }

    /// The episode, if something was found since it was last told.
    pub fn update(&mut self) -> Option<Alert> {
        let episode = self.episode.as_deref()?;
        let is_news = episode.evidence.findings != self.told;
        self.told = episode.evidence.findings;
        is_news.then(|| episode.clone())
    }

    /// Ends the episode if nothing has been found for long enough at this time.
    pub fn close_if_over(&mut self, now: Timestamp) -> Option<Alert> {
        if self.episode.is_none() || self.holds_subject(now) { None } else { self.close() }
    }

    /// Begins an episode that only its window can end. `quiet` is how long after its last finding it is over if the window
    /// goes first.
    pub fn hold(&mut self, episode: Alert, quiet: Duration) {
        (self.last_seen, self.quiet) = (episode.last_seen_at.as_micros(), micros(quiet));
        self.is_held = true;
        self.episode = Some(Box::new(episode));
    }

    /// Takes a finding into an episode that is held.
    pub fn go_on(&mut self, until: Timestamp, deviation: Deviation) {
        self.last_seen = self.last_seen.max(until.as_micros());
        let Some(episode) = &mut self.episode else { return };
        episode.last_seen_at = episode.last_seen_at.max(until);
        episode.evidence.findings += 1;
        let is_more = episode.evidence.deviation.as_ref().is_none_or(|most| {
            // A tick that was looked at while it grew says more when it is over.
            most.bits < deviation.bits || most.at == deviation.at
        });
        if is_more {
            episode.observed = deviation.observed;
            episode.evidence.deviation = Some(Box::new(deviation));
        }
    }

    /// Ends an episode that is held, at this time.
    pub fn release(&mut self, at: Timestamp) -> Option<Alert> {
        self.quiet = at.as_micros().saturating_sub(self.last_seen);
        self.close()
    }

    /// Ends the episode at the time at which it was over.
    pub fn close(&mut self) -> Option<Alert> {
        let mut alert = self.episode.take()?;
        alert.resolved_at = Some(Timestamp::from_micros(self.last_seen.saturating_add(self.quiet)));
        self.approach = Evidence::default();
        self.looks = 0;
        self.late = 0;
        self.told = 0;
        self.is_held = false;
        Some(*alert)
    }
}

/// An observation that was taken in, and how to look at its event again.
pub struct Taken<'a> {
    /// What is shared by all workers.
    pub shared: &'a Shared,
    /// The source of the event.
    pub source: &'a Source,
    /// The tap it came through.
    pub tap: &'a Tap,
    /// When it happened.
    pub at: Timestamp,
    /// The piece of work and the record.
    pub work: &'a Work,
    /// Number of the record.
    pub record: u32,
    /// The finding it is about, when it is about one.
    pub cause: Option<Cause>,
    /// What was taken in.
    pub observed: Observed,
}

/// A finding of one rule that another looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cause {
    /// The window that found it.
    pub window: u16,
    /// What it measured.
    pub observed: f64,
}

/// Keeps what the window has to say of the finding that opened the episode.
fn note_detail(evidence: &mut Evidence, detail: Detail) {
    match detail {
        Detail::New { known } => drop(evidence.known.get_or_insert(known)),
        Detail::Trip(trip) if evidence.trip.is_none() => {
            let place = |stop: Stop| Place {
                at: Timestamp::from_micros(stop.at),
                latitude: degrees(stop.position.latitude),
                longitude: degrees(stop.position.longitude),
                country: String::from_utf8(stop.position.country.to_vec())
                    .unwrap_or_default()
                    .replace('\0', ""),
            };
            evidence.trip = Some(Box::new(alert::Trip {
                from: place(trip.from),
                to: place(trip.to),
                km: trip.km.round(),
                hours: (trip.hours() * 100.0).round() / 100.0,
                km_per_hour: trip.km_per_hour.round(),
            }));
        }
        Detail::Trip(_) => {}
    }
}

/// Four decimals: what databases have.
fn degrees(degrees: f32) -> f64 {
    (f64::from(degrees) * 1e4).round() / 1e4
}

/// The start of a text, as much as is kept.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_VALUE_BYTES)]
}

/// What became of a reading.
#[derive(Default)]
pub struct Outcome {
    /// An episode that is over.
    pub resolved: Option<Alert>,
    /// An episode that has begun.
    pub opened: Option<Alert>,
    /// When an episode began, told before or not, and how much it matters.
    pub began: Option<(Timestamp, Severity)>,
    /// An episode that matters more than before, and how much it mattered.
    pub escalated: Option<(Alert, Severity)>,
    /// Whether an episode goes on that was told before.
    pub returned: bool,
    /// Whether an episode did not begin because the allowlist knows the event.
    pub allowed: bool,
    /// Whether an episode did not begin because there are too many.
    pub refused: bool,
    /// Whether an episode did not begin because another rule has said enough.
    pub inhibited: bool,
}

/// Whether an episode may begin.
#[derive(Clone, Copy, Debug)]
pub enum Opening<'r> {
    /// It may.
    Allowed,
    /// There are too many already.
    Refused,
    /// One of another rule is open about the same subject.
    Inhibited,
    /// It may if it was there when this was counted before.
    IfKnown(&'r Recovery),
    /// It may, and is none that has begun if it is one of these.
    Return(&'r Absent),
}

impl Taken<'_> {
    /// Judges a reading and notes what follows from it.
    pub fn judge(&self, slot: &mut Slot<Notes>, reading: Reading, opening: Opening<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let planned = &self.shared.plan.windows[usize::from(slot.rule)];
        let stages = self.shared.rules[planned.rule].stages.as_ref();
        if let Some(stages) = stages {
            self.note_candidates(slot.memo.get_or_insert_with(Box::default), stages, planned.spec.horizon());
        }
        if matches!(planned.spec.measure, Measure::Risk(_)) {
            self.note_contribution(slot.memo.get_or_insert_with(Box::default), planned.spec.horizon());
        }
        if !reading.holds && slot.memo.is_none() && !planned.spec.is_half_way(reading.measured) {
            return outcome;
        }
        let notes = slot.memo.get_or_insert_with(Box::default);
        let begin = reading.first.before(planned.spec.span);
        outcome.resolved = notes.close_if_over(reading.first);
        let mut event: Option<Event<'_>> = None;
        let is_late = slot.window.latest().is_some_and(|latest| self.at < latest);
        if reading.holds {
            if notes.episode.is_none()
                && reading.first.as_micros() > notes.last_seen.saturating_add(notes.quiet)
            {
                notes.withheld = Withheld::default();
            }
            notes.last_seen = notes.last_seen.max(reading.last.as_micros());
            notes.quiet = micros(self.shared.rules[planned.rule].quiet);
            if notes.episode.is_none() {
                outcome.refused = matches!(opening, Opening::Refused);
                outcome.inhibited = matches!(opening, Opening::Inhibited);
                notes.withheld.refused += u32::from(outcome.refused);
                notes.withheld.inhibited += u32::from(outcome.inhibited);
                if outcome.refused || outcome.inhibited {
                    return outcome;
                }
                let event = event.insert(self.recall());
                if self.shared.is_allowed_at(event, planned.rule, self.at) {
                    outcome.allowed = true;
                    notes.withheld.allowed += 1;
                    return outcome;
                }
                let mut episode = self.open(planned.rule, event, reading, begin);
                let mut evidence = std::mem::take(&mut notes.approach);
                if evidence.samples.first().is_some_and(|sample| sample.at < begin) {
                    evidence.samples.retain(|sample| sample.at >= begin);
                }
                evidence.window = (begin, reading.first);
                evidence.first_seen_at =
                    evidence.samples.first().map_or(self.at, |sample| sample.at.min(self.at));
                evidence.consulted = Some(Box::new(self.consulted(planned.rule, event, notes)));
                episode.evidence = evidence;
                if let Opening::IfKnown(recovery) = opening
                    && !recovery.recognise(&mut episode)
                {
                    return outcome;
                }
                if let Opening::Return(absent) = opening {
                    outcome.returned = absent.recognise(&mut episode);
                }
                outcome.began = Some((episode.opened_at, episode.severity));
                notes.episode = Some(Box::new(episode));
                notes.looks = notes.looks.min(MAX_LOOKS / 2);
            }
        } else {
            if notes.episode.is_some() || !planned.spec.is_half_way(reading.measured) {
                return outcome;
            }
            let stale = notes.approach.samples.first().is_some_and(|sample| sample.at < begin);
            if stale {
                notes.approach = Evidence::default();
                notes.looks = 0;
                notes.late = 0;
            }
        }
        match notes.episode.as_mut().and_then(|episode| episode.evidence.consulted.as_mut()) {
            Some(consulted) => consulted.late_events += u32::from(is_late),
            None => notes.late += u32::from(is_late),
        }
        if reading.holds
            && let Some(episode) = &mut notes.episode
            && let Some(detail) = slot.window.detail()
        {
            note_detail(&mut episode.evidence, detail);
        }
        let opened =
            reading.holds && notes.episode.as_ref().is_some_and(|episode| episode.evidence.findings == 0);
        self.note(notes, reading, event);
        let before = stages.filter(|_| reading.holds).and_then(|stages| {
            let from = reading.first.before(planned.spec.span);
            self.rise(notes, stages, (from, reading.last))
        });
        // What goes on is told with the next updates.
        if opened && !outcome.returned {
            outcome.opened = notes.update();
        } else if let Some(before) = before
            && !matches!(opening, Opening::IfKnown(_))
        {
            outcome.escalated = notes.update().map(|alert| (alert, before));
        }
        outcome
    }

    /// What was asked beside the window before an episode begins.
    fn consulted(&self, rule: usize, event: &Event<'_>, notes: &mut Notes) -> Consulted {
        let Shared { plan, rules, allowlist, .. } = self.shared;
        let near = allowlist.near(event, &rules[rule].rule, self.at).take(MAX_CONSULTED);
        let inhibitors = plan.windows[usize::from(self.tap.window)].inhibited_by.iter().take(MAX_CONSULTED);
        Consulted {
            allowlist_entries: allowlist.len(),
            nearly_allowed: near
                .map(|(reason, but)| NearlyAllowed { reason: cut(reason).to_owned(), but })
                .collect(),
            inhibitors: inhibitors
                .map(|window| Arc::clone(&rules[plan.windows[usize::from(*window)].rule].name))
                .collect(),
            withheld: std::mem::take(&mut notes.withheld),
            late_events: std::mem::take(&mut notes.late),
        }
    }

    /// Whether the allowlist keeps an episode of a rule from beginning.
    pub fn is_allowed(&self, rule: usize) -> bool {
        !self.shared.allowlist.is_empty() && self.shared.is_allowed_at(&self.recall(), rule, self.at)
    }

    /// Keeps what has added to a risk, the last of it.
    fn note_contribution(&self, notes: &mut Notes, horizon: i64) {
        let Some(cause) = self.cause else { return };
        let rule = &self.shared.rules[self.shared.plan.windows[usize::from(cause.window)].rule].name;
        let place = notes.contributions.partition_point(|other| other.at <= self.at);
        let contribution = Contribution { rule: Arc::clone(rule), score: cause.observed, at: self.at };
        notes.contributions.insert(place, contribution);
        let oldest =
            notes.contributions.last().map_or(i64::MIN, |last| last.at.as_micros().saturating_sub(horizon));
        let many = notes.contributions.len().saturating_sub(MAX_CONTRIBUTIONS);
        let old = notes.contributions.partition_point(|other| other.at.as_micros() < oldest);
        notes.contributions.drain(..many.max(old));
    }

    /// Keeps the event for the stages that it may be of. Unlike other evidence that is done for every event: of which a
    /// chain is made is known at its end.
    fn note_candidates(&self, notes: &mut Notes, stages: &Stages, horizon: i64) {
        let Observed::Rules(rules) = self.observed else { return };
        let event = self.recall();
        for place in stages.places(rules) {
            let stage = Stage {
                rule: stages.rule(place),
                subject: stages.subject(place, &event, &self.shared.schema, cut),
                event: self.sample(&event, stages.fields(place)),
            };
            notes.candidates.take(place, stage, horizon);
        }
    }

    /// Brings the timeline of the episode, and how much it matters, up to what was found; how much it mattered if that was
    /// less.
    fn rise(&self, notes: &mut Notes, stages: &Stages, span: (Timestamp, Timestamp)) -> Option<Severity> {
        let episode = notes.episode.as_deref_mut()?;
        if (episode.evidence.stages.len() as f64) < episode.observed {
            let chain = notes.candidates.chain(stages, span.0, span.1);
            if chain.len() > episode.evidence.stages.len() {
                episode.evidence.stages = chain;
            }
        }
        let planned = &self.shared.plan.windows[usize::from(self.tap.window)];
        let severity = self.shared.rules[planned.rule].rule.severity_at(episode.observed);
        (severity > episode.severity).then(|| std::mem::replace(&mut episode.severity, severity))
    }

    /// The event, decoded again.
    pub fn recall(&self) -> Event<'_> {
        Recall::new(self.shared).event(self.work, self.source, self.record)
    }

    fn open(&self, rule: usize, event: &Event<'_>, reading: Reading, begin: Timestamp) -> Alert {
        let described = &self.shared.rules[rule];
        let names = &self.shared.plan.windows[usize::from(self.tap.window)].group_by;
        let whole: Vec<(String, String)> = names.iter().cloned().zip(self.tap.subject(event)).collect();
        // The id is of the whole subject: two long ones that begin alike are two.
        let id = Alert::id_of(&described.name.id, &self.source.tenant, &whole, reading.first);
        let subject = whole.into_iter().map(|(name, value)| (name, cut(&value).to_owned())).collect();
        Alert {
            id,
            rule: Arc::clone(&described.name),
            severity: described.rule.severity_at(reading.measured),
            mode: described.mode,
            tenant: self.source.tenant.clone(),
            subject,
            opened_at: reading.first,
            last_seen_at: reading.last,
            resolved_at: None,
            observed: reading.measured,
            condition: Arc::clone(&described.condition),
            evidence: Evidence { window: (begin, reading.first), ..Evidence::default() },
        }
    }

    /// Brings the episode up to date and keeps the event as evidence if there is room.
    fn note(&self, notes: &mut Notes, reading: Reading, event: Option<Event<'_>>) {
        let looks = notes.looks;
        let evidence = match &mut notes.episode {
            Some(episode) => {
                if reading.holds {
                    episode.evidence.findings += 1;
                    episode.last_seen_at = episode.last_seen_at.max(reading.last);
                    if reading.measured > episode.observed {
                        episode.observed = reading.measured;
                    }
                }
                &mut episode.evidence
            }
            None => &mut notes.approach,
        };
        if !notes.contributions.is_empty() {
            evidence.contributions.clone_from(&notes.contributions);
        } else if let Some(cause) = self.cause {
            self.note_cause(evidence, cause);
        }
        if let Some(rule) = self.tap.one_of {
            self.note_matched(evidence, rule);
        }
        let counts_values = self.tap.counts_values();
        let room =
            evidence.samples.len() < MAX_SAMPLES || (counts_values && evidence.values.len() < MAX_VALUES);
        if !room || (looks >= MAX_LOOKS && event.is_none()) {
            return;
        }
        let event = event.unwrap_or_else(|| self.recall());
        notes.looks = looks.saturating_add(1);
        let mut new_value = !counts_values;
        if let Some(value) = self.tap.value(&event) {
            let value = cut(&value).to_owned();
            if evidence.values.len() < MAX_VALUES && !evidence.values.contains(&value) {
                evidence.values.push(value);
                new_value = true;
            }
        }
        if evidence.samples.len() < MAX_SAMPLES && (new_value || evidence.samples.is_empty()) {
            evidence.samples.push(self.sample(&event, &self.tap.fields));
        }
    }

    /// Keeps the highest measure of each rule whose findings are the grounds.
    fn note_cause(&self, evidence: &mut Evidence, cause: Cause) {
        let described = &self.shared.rules[self.shared.plan.windows[usize::from(cause.window)].rule];
        match evidence.grounds.iter_mut().find(|ground| ground.rule == described.name.name) {
            Some(ground) => ground.observed = ground.observed.max(cause.observed),
            None => evidence.grounds.push(Ground {
                rule: described.name.name.clone(),
                observed: cause.observed,
                condition: described.condition.text.clone(),
            }),
        }
    }

    fn note_matched(&self, evidence: &mut Evidence, rule: usize) {
        let name = &self.shared.rules[rule].name;
        let known = evidence.matched.iter_mut().find(|matched| Arc::ptr_eq(&matched.rule, name));
        if let Some(matched) = known {
            matched.events += 1;
        } else if evidence.matched.len() < MAX_MATCHED {
            evidence.matched.push(Matched { rule: Arc::clone(name), events: 1 });
        }
    }

    /// The event, with these fields beside those that say most.
    pub fn sample(&self, event: &Event<'_>, more: &[FieldId]) -> Sample {
        let mut fields = serde_json::Map::new();
        for id in SAMPLED.iter().chain(more) {
            let name = self.shared.schema.name(*id);
            match event.get(*id) {
                Value::Missing | Value::Null => {}
                Value::Int(number) => drop(fields.insert(name.to_owned(), (*number).into())),
                value => {
                    let text = value.to_text().unwrap_or_default();
                    fields.insert(name.to_owned(), cut(&text).into());
                }
            }
        }
        let fields = serde_json::value::to_raw_value(&fields).unwrap_or_default();
        Sample {
            source: Arc::clone(&self.source.name),
            line: self.work.line(self.record),
            at: self.at,
            fields,
        }
    }
}
