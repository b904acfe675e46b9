//! Pure machines that decide when to try again, and when to say so: backoff, restart intensity,
//! breaker, reminder.
//!
//! Architecture invariant: nothing here reads a clock, draws a random number of its own, spawns
//! or knows an actor. Time and randomness are passed in.

pub mod backoff;
pub mod breaker;
pub mod intensity;
mod reminder;
mod window;

pub use backoff::{Backoff, InvalidBackoff};
pub use breaker::{Breaker, BreakerOptions, BreakerSettings, InvalidBreaker};
pub use intensity::Intensity;
pub use reminder::Reminder;
