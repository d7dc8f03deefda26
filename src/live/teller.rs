//! What became of alerts, told to everybody: at once, or where there is a journal when it is kept there.
//!
//! So an alert that anybody has seen is there after a crash, by the same id. When the journal cannot keep it, it is told all
//! the same: better twice than never.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::metrics::AlertMetrics;
use crate::alert::Alert;
use crate::engine::Transition;
use crate::event::Timestamp;
use crate::intake;
use crate::journal::{self, Changes, Failed, Gap, Memory, StoredAlert, Writer};
use crate::stream::{Change, Hub};

/// Gaps that are looked at to see whether one is known.
const MAX_GAPS: usize = 10_000;

/// Something to tell.
pub type News = Vec<(Change, Alert)>;

/// What is told about transitions.
pub fn news_of(transitions: Vec<Transition>) -> News {
    let news = transitions.into_iter().map(|transition| match transition {
        Transition::Opened(alert) => (Change::Opened, alert),
        Transition::Escalated(alert, before) => (Change::Escalated { before }, alert),
        Transition::Resolved(alert) => (Change::Resolved, alert),
    });
    news.collect()
}

/// Tells what became of alerts.
pub struct Teller {
    voice: Voice,
    kept: Option<Kept>,
    /// All blocks up to this one were counted.
    counted_up_to: u64,
    /// Which of them the journal knows of.
    noted_up_to: u64,
}

/// How things are kept before they are told.
struct Kept {
    writer: Writer,
    metrics: journal::Metrics,
    /// In the order in which they happened. What waits are alerts, of which no more open than the engine allows.
    queue: mpsc::UnboundedSender<Waiting>,
}

struct Waiting {
    news: News,
    received: Timestamp,
    saved: oneshot::Receiver<Result<(), Failed>>,
}

/// Who is told.
#[derive(Clone)]
struct Voice {
    hub: Arc<Hub>,
    metrics: AlertMetrics,
}

impl Teller {
    /// Tells at once.
    pub fn direct(hub: Arc<Hub>, metrics: AlertMetrics) -> Self {
        Self { voice: Voice { hub, metrics }, kept: None, counted_up_to: 0, noted_up_to: 0 }
    }

    /// Tells what the journal has kept, on a task of the current runtime that ends when all was told after the teller is
    /// gone.
    pub fn through(
        writer: Writer,
        journal_metrics: journal::Metrics,
        hub: Arc<Hub>,
        metrics: AlertMetrics,
    ) -> (Self, JoinHandle<()>) {
        let voice = Voice { hub, metrics };
        let (queue, waiting) = mpsc::unbounded_channel();
        let task = tokio::spawn(tell_when_saved(waiting, voice.clone(), writer.clone()));
        let kept = Some(Kept { writer, metrics: journal_metrics, queue });
        (Self { voice, kept, counted_up_to: 0, noted_up_to: 0 }, task)
    }

    /// All blocks up to this one were counted, and what came of it is told.
    pub const fn counted(&mut self, block: u64) {
        self.counted_up_to = block;
    }

    /// Has the journal note how far was counted, when nothing had to be told lately, and its metrics follow it; for once a
    /// second.
    pub fn note(&mut self) {
        let Some(kept) = &self.kept else { return };
        kept.metrics.follow(&kept.writer.counts());
        if self.noted_up_to < self.counted_up_to {
            let changes = Changes { counted_up_to: self.counted_up_to, ..Changes::default() };
            if kept.writer.save(changes).is_ok() {
                self.noted_up_to = self.counted_up_to;
            }
        }
    }

    /// Whether what is remembered can be kept.
    pub const fn keeps_memory(&self) -> bool {
        self.kept.is_some()
    }

    /// Has the journal keep parts of what is remembered, by their numbers. All that was counted must be of whole blocks.
    pub fn keep_memory(&mut self, parts: impl Iterator<Item = (usize, Vec<u8>)>) {
        let Some(kept) = &self.kept else { return };
        let block = self.counted_up_to;
        let memories = parts.map(|(part, body)| Memory { part: part as u64, block, body }).collect();
        let changes = Changes { counted_up_to: block, memories, ..Changes::default() };
        // Refused, the one before it is as good, only older; the journal counts that.
        if kept.writer.save(changes).is_ok() {
            self.noted_up_to = block;
        }
    }

    /// Has the journal note times of which it has lost what came in, each once.
    pub fn note_lost(&self, journal: &journal::Journal, lost: &[(Timestamp, Timestamp)]) {
        let Some(kept) = self.kept.as_ref().filter(|_| !lost.is_empty()) else { return };
        let known = journal.gaps(MAX_GAPS).unwrap_or_default();
        for (from, to) in lost {
            let gap = Gap { source: "journal".to_owned(), from: *from, to: *to, reason: "lost".to_owned() };
            if !known.contains(&gap) && kept.writer.gap(gap).is_err() {
                tracing::warn!(%from, %to, "a time of which the journal has lost something cannot be noted");
            }
        }
    }

    /// Tells news; `received` is when the lines arrived that they come of.
    pub fn tell(&mut self, news: News, received: Timestamp) {
        if news.is_empty() {
            return;
        }
        let Some(kept) = &self.kept else { return self.voice.say(&news, received) };
        let (answer, saved) = oneshot::channel();
        let alerts = stored(&news);
        let changes =
            Changes { counted_up_to: self.counted_up_to, alerts, saved: Some(answer), ..Changes::default() };
        // Refused, it is told without having been kept; the journal counts that.
        if kept.writer.save(changes).is_ok() {
            self.noted_up_to = self.counted_up_to;
        }
        let _ = kept.queue.send(Waiting { news, received, saved });
    }
}

async fn tell_when_saved(mut waiting: mpsc::UnboundedReceiver<Waiting>, voice: Voice, writer: Writer) {
    while let Some(Waiting { news, received, saved }) = waiting.recv().await {
        match saved.await {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => {
                tracing::error!(%failed, alerts = news.len(), "alerts cannot be kept; they are told, and kept later");
                let _ = writer.save(Changes { alerts: stored(&news), ..Changes::default() });
            }
            Err(_) => {
                tracing::error!(alerts = news.len(), "alerts were not kept; they are told all the same")
            }
        }
        voice.say(&news, received);
    }
}

fn stored(news: &News) -> Vec<StoredAlert> {
    let stored = news.iter().filter_map(|(_, alert)| {
        let record = serde_json::to_vec(alert).ok()?;
        Some(StoredAlert {
            id: alert.id.clone(),
            rule_id: alert.rule.id.clone(),
            opened_at: alert.opened_at,
            resolved_at: alert.resolved_at,
            record,
        })
    });
    stored.collect()
}

impl Voice {
    fn say(&self, news: &News, received: Timestamp) {
        for (change, alert) in news {
            self.hub.publish_alert(*change, alert);
            self.metrics.add(*change, alert);
            match change {
                Change::Updated => continue,
                Change::Opened => {
                    let micros = intake::now().as_micros() - received.as_micros();
                    self.metrics.latency_seconds.observe(micros.max(0) as f64 / 1e6);
                }
                Change::Escalated { .. } | Change::Resolved => {}
            }
            tracing::info!(
                alert.id = alert.id,
                rule.name = alert.rule.name,
                severity = %alert.severity,
                mode = alert.mode.name(),
                subject = alert.subject_text(),
                observed = alert.observed,
                "alert {}",
                change.name(),
            );
        }
    }
}
