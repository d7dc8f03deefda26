//! Whether the service is alive, and whether it is ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether the service is alive and ready; ready until told what to wait for.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waits: BTreeMap<&'static str, String>,
    is_stopping: bool,
    has_engine_ended: bool,
}

impl Readiness {
    /// Not ready until [`Self::done`] with the same name; `reason` is for people. Again, it replaces the reason.
    pub fn wait_for(&self, name: &'static str, reason: impl Into<String>) {
        self.inner().waits.insert(name, reason.into());
    }

    /// What was waited for is there.
    pub fn done(&self, name: &'static str) {
        self.inner().waits.remove(name);
    }

    /// The service is stopping and will not be ready again.
    pub fn stop(&self) {
        self.inner().is_stopping = true;
    }

    /// To be held by the engine's thread while it lives; dropped, also by a panic, the service is dead.
    pub fn engine_life(self: &Arc<Self>) -> EngineLife {
        EngineLife(Arc::clone(self))
    }

    /// Whether the engine lives, or has not begun to.
    pub fn is_alive(&self) -> bool {
        !self.inner().has_engine_ended
    }

    /// Whether there is nothing to wait for.
    pub fn is_ready(&self) -> bool {
        let inner = self.inner();
        inner.waits.is_empty() && !inner.is_stopping && !inner.has_engine_ended
    }

    /// Why the service is not ready; nothing when it is.
    pub fn reasons(&self) -> Vec<String> {
        let inner = self.inner();
        let stopping = inner.is_stopping.then(|| "the service is stopping".to_owned());
        let ended = inner.has_engine_ended.then(|| "the engine has ended".to_owned());
        inner.waits.values().cloned().chain(stopping).chain(ended).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says, while it is there, that the engine's thread lives.
#[derive(Debug)]
pub struct EngineLife(Arc<Readiness>);

impl Drop for EngineLife {
    fn drop(&mut self) {
        self.0.inner().has_engine_ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_nothing_is_waited_for_and_dead_when_the_engine_panics() {
        let readiness = Arc::new(Readiness::default());
        readiness.wait_for("sources", "3 logs are being read from where they were left");
        assert_eq!((readiness.reasons().len(), readiness.is_ready()), (1, false));
        readiness.done("sources");
        assert!(readiness.reasons().is_empty() && readiness.is_ready() && readiness.is_alive());
        let life = readiness.engine_life();
        let thread = std::thread::spawn(move || {
            let _life = life;
            std::panic::resume_unwind(Box::new("the engine has a bug"));
        });
        assert!(thread.join().is_err());
        assert!(!readiness.is_alive() && !readiness.is_ready());
        assert_eq!(readiness.reasons(), ["the engine has ended"]);
    }
}
