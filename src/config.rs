//! Configuration: read from its sources, validated whole, handed out typed, changed live.
//!
//! ```text
//! defaults ─┐
//! file ─────┤                                      ┌─ appliers (may refuse)
//! profile ──┼─ merge ─ values ─ validate ─ Settings ┤
//! environment                                      └─ watch<Arc<Settings>>
//! CONFIG SET┘
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`keys`] | the one table of keys |
//! | [`value`], [`units`], [`address`] | reading and writing one value |
//! | [`sources`] | the layers and their merge; pure |
//! | [`validate`], [`settings`] | the rules over several keys, the typed result; pure |
//! | [`diff`] | what a reload changes; pure |
//! | [`files`] | what is in the files that settings name |
//! | [`load`] | the IO |
//! | [`control`] | the running configuration |
//! | [`render`] | the same table as TOML and as documentation; pure |
//!
//! Architecture invariant: nothing outside reads a configuration file or an environment variable
//! of Seawall's; everything takes [`Settings`].

pub mod address;
pub mod control;
pub mod diff;
pub mod directives;
pub mod events;
pub mod files;
pub mod keys;
pub mod load;
pub mod machine;
pub mod problem;
pub mod render;
pub mod secret;
pub mod settings;
pub mod sources;
pub mod units;
pub mod validate;
pub mod value;

pub use address::Address;
pub use control::{Applier, Commit, ConfigControl, ReloadError, ReloadOutcome, SetError};
pub use diff::Change;
pub use keys::Apply;
pub use load::{Loaded, Loader};
pub use problem::{ConfigErrors, Problem, Source};
pub use secret::Secret;
pub use settings::Settings;

#[cfg(test)]
mod tests;
