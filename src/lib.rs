//! x
pub mod alert;
pub mod allowlist;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod engine;
pub mod event;
pub mod generate;
pub mod matching;
pub mod replay;
pub mod rule_test;
pub mod rules;
pub mod windows;
