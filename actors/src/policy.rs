//! Pure machines that decide when to try again: backoff, restart intensity, breaker.
//!
//! Architecture invariant: nothing here reads a clock, draws a random number of its own, spawns
//! or knows an actor. Time and randomness are passed in.

pub mod backoff;
pub mod breaker;
pub mod intensity;
mod window;

pub use backoff::{Backoff, InvalidBackoff};
pub use breaker::{Breaker, BreakerOptions, BreakerSettings, InvalidBreaker};
pub use intensity::Intensity;
