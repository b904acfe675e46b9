//! Several Seawalls before one Redis, and what each of their readers may have seen.
//!
//! Clients of every Seawall, and one of Redis itself, write values that never come twice, and note
//! when each call began and ended ([`history`], [`clients`]). In which order Redis executed the
//! writes is in its append-only file ([`truth`]); a client that writes nothing but *ticks* ties that
//! order to the time. What a read may have seen follows from both ([`rules`]). Nothing there depends
//! on how busy the machine is: a moment that is known only from one side counts as the latest, or the
//! earliest, that it can have been.

pub mod clients;
pub mod history;
pub mod rules;
#[cfg(test)]
mod tests;
pub mod truth;
