//! The way from publishers to subscribers: within this daemon, or by somebody else.

use std::fmt::Debug;

use async_trait::async_trait;

use super::{Message, Name, PubSub, Space};
use crate::resp::refusal::Refusal;

/// Takes messages from those who publish to those who subscribe.
#[async_trait]
pub trait Exchange: Debug + Send + Sync + 'static {
    /// Sends a message on its way; how many received it, as far as whoever takes it there knows.
    /// MUST keep the order of each publisher, if he waits for each answer.
    ///
    /// # Errors
    /// The message was not sent.
    async fn publish(&self, here: &PubSub, message: Message) -> Result<u64, Refusal>;

    /// The first has come (`true`) who listens to this name, or the last has gone. Called under
    /// the lock of the name, so in the right order: MUST NOT block.
    fn listens(&self, space: Space, name: &Name, anybody: bool);

    /// Waits until what is sent from now on gets to those who listen to these names, a bounded
    /// time at most.
    ///
    /// # Errors
    /// It never will: somebody refuses one of them.
    async fn confirmed(&self, space: Space, names: &[&[u8]]) -> Result<(), Refusal>;
}

/// Everybody who listens is here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

#[async_trait]
impl Exchange for Local {
    async fn publish(&self, here: &PubSub, message: Message) -> Result<u64, Refusal> {
        Ok(here.deliver(message))
    }

    fn listens(&self, _: Space, _: &Name, _: bool) {}

    async fn confirmed(&self, _: Space, _: &[&[u8]]) -> Result<(), Refusal> {
        Ok(())
    }
}
