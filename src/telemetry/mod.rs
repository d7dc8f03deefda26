//! What every room needs to be looked at from outside.

mod occasional;
mod register;

pub use occasional::Occasional;
pub use register::Register;
