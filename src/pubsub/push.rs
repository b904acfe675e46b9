//! What is pushed to a connection that did not just ask for it.

use std::sync::Arc;

use super::{Name, Space};
use crate::resp::reply::Reply;

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
}

impl Push {
    /// The subscription it came by.
    #[must_use]
    pub fn source(&self) -> (Space, &[u8]) {
        match self {
            Self::Message(message) => (message.space(), message.channel()),
            Self::Matched(pattern, _) => (Space::Pattern, pattern),
        }
    }

    /// What it counts for in an inbox, bytes.
    pub(super) fn cost(&self) -> usize {
        PUSH_COST
            + match self {
                Self::Message(message) => message.bytes.len(),
                Self::Matched(pattern, message) => pattern.len() + message.bytes.len(),
            }
    }

    /// Writes it in the protocol of the connection at the time it is sent.
    pub fn encode(&self, reply: &mut Reply<'_>) {
        let message = match self {
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
