//! What connections, commands and HTTP share: one `Arc<Daemon>`.

mod life;

use seawall_actors::clock::Clock;

pub use life::{Life, Saving, StopMode};

use crate::resp::backend::Backend;
use crate::resp::clients::Clients;

/// The daemon as connections and commands see it.
#[derive(Debug)]
pub struct Daemon {
    /// Everyone who is connected.
    pub clients: Clients,
    /// When it started, who it is, how it is asked to stop.
    pub life: Life,
    /// Where wall time comes from.
    pub clock: Clock,
    /// Configuration, shards, statistics, log and tree, as commands about the server ask them.
    pub backend: Box<dyn Backend>,
}
