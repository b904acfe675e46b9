//! The Seawall daemon: wires the actors of `seawall-actors` to the outside world.

pub mod cli;
pub mod config;
pub mod exit;
