//! The admin HTTP: health, readiness, metrics and the tree, for probes, scrapers and people.
//!
//! | path | answers |
//! |---|---|
//! | `/healthz` | 200 while the process lives |
//! | `/readyz` | 200, or 503 with the reasons, as JSON |
//! | `/metrics` | OpenMetrics text, see `docs/metrics.md` |
//! | `/tree` | the supervision tree, as text or JSON |
//! | `/` | a list of the above |
//!
//! Architecture invariant: it reads through [`View`] and changes nothing. No answer waits for
//! an actor, so it answers while any of them hangs.

pub mod metrics;
mod routes;
mod server;
mod view;

pub use server::{AdminHttp, Args, Limits, Listen, Msg, Tls};
pub use view::{Degraded, Node, TreeView, View};

#[cfg(test)]
mod tests;
