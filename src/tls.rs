//! TLS for clients of RESP and of the admin HTTP.
//!
//! | module | owns |
//! |---|---|
//! | [`identity`] | certificate, key and CA, checked, as rustls needs them; pure |
//! | [`validity`] | until when a certificate is valid; pure |
//! | [`handshake`] | handshakes: their bound, their time limit, what came of them |
//!
//! The files are read with the configuration and checked with it, so a pair that is wrong is a wrong
//! configuration: it never replaces the one in use. A listener asks the settings at each handshake,
//! so a new pair is in use with the next connection, and those that are there go on.

pub mod handshake;
pub mod identity;
mod validity;

pub use handshake::{Handshakes, Outcome, accept};
pub use identity::{ClientCertificates, Identity, Pems, Wrong};

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests;
