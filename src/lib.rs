//! The daemon: wires the actors of `seawall-actors` to the outside world.

pub mod resp;
pub mod stats;
pub mod telemetry;
