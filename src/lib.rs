//! The daemon: wires the actors of `seawall-actors` to the outside world.

pub mod http;
pub mod resp;
pub mod stats;
pub mod telemetry;
