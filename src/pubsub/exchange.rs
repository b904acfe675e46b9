//! The way from publishers to subscribers: within this daemon, or by somebody else.

use std::fmt::Debug;

use async_trait::async_trait;

use super::{Message, PubSub, Space};
use crate::resp::refusal::Refusal;

/// Takes messages from those who publish to those who subscribe.
#[async_trait]
pub trait Exchange: Debug + Send + Sync + 'static {
    /// Sends a message on its way; how many received it. What comes back from afar is put into
    /// the inboxes here with [`PubSub::deliver`]. MUST keep the order of each publisher.
    ///
    /// # Errors
    /// The message was not sent.
    async fn publish(&self, here: &PubSub, message: Message) -> Result<u64, Refusal>;

    /// The first has come (`true`) who listens to this name, or the last has gone. Called under
    /// the lock of the name, so in the right order: MUST NOT block.
    fn listens(&self, space: Space, name: &[u8], anybody: bool);
}

/// Everybody who listens is here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

#[async_trait]
impl Exchange for Local {
    async fn publish(&self, here: &PubSub, message: Message) -> Result<u64, Refusal> {
        Ok(here.deliver(message))
    }

    fn listens(&self, _: Space, _: &[u8], _: bool) {}
}
