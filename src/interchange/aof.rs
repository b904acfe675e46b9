//! Redis' append-only files: the commands that led to the data, one behind the other.
//!
//! ```text
//! file     := [RDB file] (command | note)*
//! command  := "*" count CR LF ("$" length CR LF bytes CR LF)*
//! note     := "#" text LF                         (a time, under aof-timestamp-enabled)
//! manifest := ("file" name "seq" number "type" ("b" | "i" | "h") LF)*
//! ```
//!
//! Since Redis 7 there are several, in a directory with a manifest: a base, and increments to it.
//! The commands are run by their implementations here, on a store in memory, and what that holds
//! in the end is what the files mean.

mod commands;
mod elsewhere;
mod manifest;
mod queue;
mod replay;
mod unsure;

pub use commands::{Commands, Next};
pub use manifest::{ManifestError, parts};
pub use replay::{Replay, Replayed, Wrong};
