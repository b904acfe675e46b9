//! The daemon: wires the actors of `seawall-actors` to the outside world.

pub mod acl;
pub mod audience;
pub mod boot;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod descriptors;
pub mod exit;
pub mod glob;
pub mod http;
pub mod interchange;
pub mod loading;
pub mod pubsub;
pub mod resp;
pub mod slow;
pub mod stats;
pub mod telemetry;
pub mod tier;
pub mod tls;
pub mod tracking;
