//! What every room needs to be looked at from outside.

mod occasional;

pub use occasional::Occasional;
