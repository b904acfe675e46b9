//! What a link does beside its commands.

use std::sync::Arc;

use redis::{PushInfo, PushKind};

use super::link::LinkMsg;
use super::subscriptions::{self, Subscriptions};
use super::tracker::{self, Tracking};
use crate::supervise::Handle;

/// What a link hears on its connection, if it listens there.
#[derive(Debug, Clone)]
pub(super) enum Duty {
    /// Nothing: it carries commands.
    Commands,
    /// What others change. It carries commands, too.
    Track(Arc<Tracking>),
    /// What is published.
    Listen(Subscriptions),
}

impl Duty {
    /// A link's name among its siblings in the tree.
    pub fn name(&self, id: usize) -> String {
        let path = match self {
            Self::Commands => return format!("redis-link-{id}"),
            Self::Track(_) => tracker::PATH,
            Self::Listen(_) => subscriptions::PATH,
        };
        path.rsplit('/').next().unwrap_or(path).to_owned()
    }

    /// Whether there is to be a connection now.
    pub fn needs_connection(&self) -> bool {
        match self {
            Self::Commands | Self::Track(_) => true,
            Self::Listen(subscriptions) => subscriptions.needs_connection(),
        }
    }

    /// Waits until there is to be one.
    pub async fn needed(&self) {
        if let Self::Listen(subscriptions) = self {
            subscriptions.needed().await;
        }
    }

    /// Connection number `epoch` is about to be put into service.
    pub fn begins(&self, epoch: u64) {
        match self {
            Self::Commands => {}
            Self::Track(tracking) => tracking.begins(epoch),
            Self::Listen(subscriptions) => subscriptions.begins(epoch),
        }
    }

    /// There is no connection.
    pub fn lost(&self, why: &str) {
        match self {
            Self::Commands => {}
            Self::Track(tracking) => tracking.lost(why),
            Self::Listen(subscriptions) => subscriptions.lost(why),
        }
    }

    /// The links have ended for good.
    pub fn ends(&self) {
        match self {
            // Subscriptions outlive the links: they are told themselves that there are none.
            Self::Commands | Self::Listen(_) => {}
            Self::Track(tracking) => tracking.ends(),
        }
    }
}

/// Where a connection puts what it hears.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    pub duty: Duty,
    pub handle: Handle<LinkMsg>,
    /// The connection's number, once it is in service.
    pub epoch: u64,
}

impl Ear {
    /// Called by the connection itself: never blocks.
    pub fn hear(&self, push: PushInfo) {
        if push.kind == PushKind::Disconnection {
            let why = "Redis closed the connection".to_owned();
            // An actor that is down has no connection to lose.
            let _ = self.handle.cast(LinkMsg::Broken { epoch: self.epoch, why });
            return;
        }
        match &self.duty {
            Duty::Commands => {}
            Duty::Track(tracking) => tracking.hear(push, self.epoch),
            Duty::Listen(subscriptions) => subscriptions.hear(self.epoch, push),
        }
    }
}
