//! One regular expression as an automaton whose states are worked out as texts need them.
//!
//! A general engine falls back to slower ones when states become many, and starts anew at every literal it finds;
//! both can be provoked by the text. This one reads each byte of a text once, from the start to the first place where
//! the expression is found. When its memory for states is full it forgets them and goes on.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;

/// Memory for states, for each expression and each thread that uses it at a time. Few texts get as far as an
/// expression, and those are alike: some kilobytes do.
pub const CACHE_BYTES: usize = 256 << 10;

type NewCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// An expression, compiled.
pub struct Automaton {
    dfa: Arc<DFA>,
    caches: Pool<Cache, NewCache>,
}

impl Automaton {
    /// Compiles a pattern; `None` when it takes more than `max_bytes`.
    pub fn build(pattern: &str, max_bytes: usize) -> Option<Self> {
        let limits = thompson::Config::new()
            .nfa_size_limit(Some(max_bytes))
            .which_captures(WhichCaptures::None)
            .utf8(false);
        let states = DFA::config()
            .cache_capacity(CACHE_BYTES)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(None);
        let dfa = DFA::builder()
            .configure(states)
            .thompson(limits)
            .syntax(syntax::Config::new().utf8(false))
            .build(pattern)
            .ok()?;
        let dfa = Arc::new(dfa);
        let new_cache = {
            let dfa = Arc::clone(&dfa);
            Box::new(move || dfa.create_cache()) as NewCache
        };
        Some(Self { dfa, caches: Pool::new(new_cache) })
    }

    /// Whether the expression is found in the text.
    pub fn is_match(&self, text: &str) -> bool {
        let mut cache = self.caches.get();
        // An automaton without bytes to quit at, that never gives up, has no error to tell.
        self.dfa
            .try_search_fwd(&mut cache, &Input::new(text).earliest(true))
            .is_ok_and(|found| found.is_some())
    }
}
