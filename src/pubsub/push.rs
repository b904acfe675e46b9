//! What is pushed to a connection that did not just ask for it.

use std::sync::Arc;

use super::{Name, Space};
use crate::resp::reply::{Proto, Reply};

/// What a push costs an inbox besides its bytes.
const PUSH_COST: usize = 64;

/// A published message. One copy, however many receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    space: Space,
    /// Channel, then payload.
    bytes: Box<[u8]>,
    channel_len: usize,
}

impl Message {
    /// A message to a channel.
    #[must_use]
    pub fn new(space: Space, channel: &[u8], payload: &[u8]) -> Self {
        let bytes = [channel, payload].concat().into_boxed_slice();
        Self { space, bytes, channel_len: channel.len() }
    }

    /// The kind of its channel.
    #[must_use]
    pub const fn space(&self) -> Space {
        self.space
    }

    /// Its channel.
    #[must_use]
    pub fn channel(&self) -> &[u8] {
        self.bytes.get(..self.channel_len).unwrap_or_default()
    }

    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.channel_len..).unwrap_or_default()
    }
}

/// One push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// A message to a channel that is subscribed to.
    Message(Arc<Message>),
    /// A message to a channel that a pattern matches.
    Matched(Name, Arc<Message>),
    /// Keys that the client has read and that have changed.
    Invalidate {
        /// The keys; `None`: every key.
        keys: Option<Arc<[Box<[u8]>]>>,
        /// Another connection has read them.
        redirected: bool,
    },
    /// The connection of this id, which invalidations were to go to, is gone.
    RedirectionBroken(u64),
}

/// The channel of invalidations for subscribers in RESP2.
const INVALIDATE: &[u8] = b"__redis__:invalidate";

impl Push {
    /// The subscription it came by, if it came by one.
    #[must_use]
    pub fn source(&self) -> Option<(Space, &[u8])> {
        match self {
            Self::Message(message) => Some((message.space(), message.channel())),
            Self::Matched(pattern, _) => Some((Space::Pattern, pattern)),
            Self::Invalidate { .. } | Self::RedirectionBroken(_) => None,
        }
    }

    /// What it counts for in an inbox, bytes.
    pub(super) fn cost(&self) -> usize {
        PUSH_COST
            + match self {
                Self::Message(message) => message.bytes.len(),
                Self::Matched(pattern, message) => pattern.len() + message.bytes.len(),
                Self::Invalidate { keys, .. } => {
                    keys.iter().flat_map(|keys| keys.iter()).map(|key| key.len() + 16).sum()
                }
                Self::RedirectionBroken(_) => 0,
            }
    }

    /// Writes it in the protocol of the connection at the time it is sent. `subscribed` says whether
    /// that has subscribed to anything.
    pub fn encode(&self, reply: &mut Reply<'_>, subscribed: bool) {
        let message = match self {
            Self::Invalidate { keys, redirected } => {
                return invalidate(keys.as_deref(), *redirected && subscribed, reply);
            }
            Self::RedirectionBroken(client) => {
                // RESP2 has no form for it.
                if reply.proto() == Proto::V3 {
                    reply.push(2);
                    reply.bulk(b"tracking-redir-broken");
                    reply.int(i64::try_from(*client).unwrap_or(i64::MAX));
                }
                return;
            }
            Self::Message(message) => {
                reply.push(3);
                let kind = if message.space() == Space::Shard { "smessage" } else { "message" };
                reply.bulk(kind.as_bytes());
                message
            }
            Self::Matched(pattern, message) => {
                reply.push(4);
                reply.bulk(b"pmessage");
                reply.bulk(pattern);
                message
            }
        };
        reply.bulk(message.channel());
        reply.bulk(message.payload());
    }
}

/// An invalidation: a push in RESP3; in RESP2 a message, for a subscriber whom another connection
/// has sent its invalidations; and else nothing that the client could understand.
fn invalidate(keys: Option<&[Box<[u8]>]>, as_message: bool, reply: &mut Reply<'_>) {
    if reply.proto() == Proto::V3 {
        reply.push(2);
        reply.bulk(b"invalidate");
    } else if as_message {
        reply.push(3);
        reply.bulk(b"message");
        reply.bulk(INVALIDATE);
    } else {
        return;
    }
    match keys {
        Some(keys) => {
            reply.array(keys.len());
            keys.iter().for_each(|key| reply.bulk(key));
        }
        None => reply.null(),
    }
}
