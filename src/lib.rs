//! Watchbell watches a business's WhatsApp deployment and rings within a second when something is wrong.
//!
//! ```text
//! source -> intake -> decode -> Event -> match -> Observation -> windows -> Reading -> episode -> Alert -> stream
//!                     \_____________ pure _____________/ \_____________ pure ______________/
//! ```
//!
//! # Map
//! Rooms in the order in which an event goes through them. The number is the level: a file names only rooms with a
//! smaller number, so imports fall one way.
//!
//! | level | room | what it is |
//! |---|---|---|
//! | 0 | [`event`] | the [`Event`](event::Event): what happened, in ECS names; time; the schema of fields |
//! | 0 | [`pseudonym`] | keyed pseudonyms in place of people, messages and what they say |
//! | 1 | [`geo`] | where an address is: databases that the operator has |
//! | 1 | [`whatsapp`] | what the WhatsApp Business Platform tells a webhook, as normalised lines |
//! | 1 | [`decode`] | a line of a log becomes an event, or says why it cannot; one file a format |
//! | 1 | [`clock`] | how far the times in a log are believed |
//! | 1 | [`rules`] | Sigma documents: read, checked, linked |
//! | 2 | [`intake`] | the bounded way from sources to the engine |
//! | 3 | [`journal`] | the durable order of what arrived, and what is kept beside it |
//! | 3 | [`sources`] | files that are followed, syslog, standard input: whole lines into the intake |
//! | 2 | [`windows`] | sliding windows over event time, and the bounded table that keeps them |
//! | 2 | [`allowlist`] | what is known to be fine |
//! | 2 | [`score`] | what alerts found of what is labelled, and whom they were about for nothing |
//! | 3 | [`campaign`] | spikes that are planned |
//! | 2 | [`alert`] | an episode of findings, and the record of why |
//! | 3 | [`matching`] | detections compiled; which rules an event matches and what they want counted |
//! | 4 | [`facts`] | what must be remembered to be seen in messaging: derived events, for rules to look at |
//! | 4 | [`engine`] | all of the above, on all cores: lines in, alerts out |
//! | 5 | [`stream`] | what happens, told to subscribers: filters, bounded queues |
//! | 6 | [`live`] | the engine's thread: what sources bring is counted, and what came of it told |
//! | 7 | [`serve`] | HTTP: metrics, health, the stream as a websocket, lines that are pushed |
//! | 5 | [`replay`] | logs read afterwards, merged by time |
//! | 5 | [`rule_test`] | the tests that stand beside rules |
//! | 0 | [`telemetry`] | registering metrics; lines of the service's own log of which there must not be many |
//! | 0 | [`chance`] | numbers that nobody outside can know |
//! | 0 | [`unpack`] | bytes as they are, or out of gzip |
//! | 0 | [`generate`] | traffic with staged attacks, for demonstrations, tests and measurements |
//! | 8 | [`config`] | the configuration file: a list of what each room wants to know |
//! | 9 | [`app`] | the service as a value: binds, wires, and takes down |
//! | 10 | [`cli`] | the command line |
//!
//! # Invariants
//! - Time is an argument. Nothing up to `engine` reads a clock, opens a file or a socket, or sleeps.
//! - One engine: `replay`, the tests of rules and whatever runs live call the same code.
//! - The result is decided by the input alone, to the byte, whatever the number of threads.
//! - Everything that grows with traffic has a bound, a policy when it is reached, and a count of what was lost.
//! - Input never panics. A line that cannot be read is counted by reason and loses nothing else.
//!
//! # Where a change goes
//!
//! | to add | you touch |
//! |---|---|
//! | a log format | `decode/<format>.rs`, a variant of [`decode::Format`] and its arms |
//! | a detection | a file under `rules/` and its test beside it; no code |
//! | a Sigma modifier | `rules/detection.rs`, `matching/program.rs`, `matching/reference.rs`, `matching/tests.rs` |
//! | a measure of windows | `windows/<measure>.rs`, a variant of [`windows::Measure`] |
//! | to what is usual | `windows/baseline/`; what is asked of it is in `rules/baseline.rs` |
//! | something staged | `generate/kinds/` |
//! | a source | `sources/<source>.rs`, a variant of [`sources::Config`] and its arm in `start` |
//! | an endpoint | `serve/<endpoint>.rs`, a line in `serve/routes.rs` |
//! | a command | `cli/<command>.rs` |

pub mod alert;
pub mod allowlist;
pub mod app;
pub mod campaign;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod engine;
pub mod event;
pub mod facts;
pub mod generate;
pub mod geo;
pub mod intake;
pub mod journal;
pub mod live;
pub mod matching;
pub mod pseudonym;
pub mod replay;
pub mod rule_test;
pub mod rules;
pub mod score;
pub mod serve;
pub mod sources;
pub mod stream;
pub mod telemetry;
pub mod unpack;
pub mod whatsapp;
pub mod windows;
