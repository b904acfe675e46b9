//! What a proxy does to those who come, and to the bytes of one direction.

use std::time::Duration;

/// What happens to new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Accepted, and connected to the server.
    Open,
    /// Refused: nobody listens.
    Refused,
    /// Accepted and reset at once, which is counted.
    Slammed,
    /// Nobody answers: a connect waits for ever.
    Unreachable,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    Pass,
    /// Nothing moves, not even a close. What was sent waits here up to a bound, then in the sockets.
    Hold,
    /// Everything disappears, a close, too: with the other direction left alone, half open. A
    /// connection that has lost something gets nothing more in this direction, ever.
    Lose,
    /// Everything comes this much later, and in order.
    Delay(Duration),
    /// So many bytes per second, one by one if they are few.
    Throttle(u32),
    /// The connection is cut where, counted from now, this many bytes have passed and more would.
    CutAfter(u64, Cut),
    /// Each reply (each piece, where it is not RESP) is replaced by these bytes. For replies only.
    Replace(&'static [u8]),
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Reset,
    Close,
}

/// Which requests a scripted reply is for.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// All of them.
    Any,
    /// Those that a client's user sends, not those that greet a server or look at it.
    Data,
    Only(&'static [&'static str]),
}

impl To {
    pub fn is_for(self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Data => ![
                "HELLO", "AUTH", "CLIENT", "SELECT", "PING", "INFO", "COMMAND", "CLUSTER", "ROLE",
                "READONLY", "CONFIG",
            ]
            .contains(&name),
            Self::Only(names) => names.contains(&name),
        }
    }
}
