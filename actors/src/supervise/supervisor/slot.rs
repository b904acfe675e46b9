//! What a supervisor knows about a child beside what its machine knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorRef;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::SupervisorMsg;
use super::outage::Outage;
use crate::supervise::change::Added;
use crate::supervise::event::StopHow;
use crate::supervise::node::Node;

/// See the module.
pub(super) struct Slot {
    pub node: Arc<Node>,
    /// Asks the keeper for an orderly stop. Dropped with the supervisor: then it kills.
    pub order: Option<oneshot::Sender<()>>,
    timer: Option<Timer>,
    /// When it last ended.
    pub ended: Option<Instant>,
    /// Whether its breaker holds it down, and for how long.
    pub outage: Outage,
    /// Whether it had to be killed for its removal.
    pub killed: bool,
    /// Who added it waits for its first start.
    pub added: Option<oneshot::Sender<Added>>,
    /// Who removes it waits for its end.
    pub removal: Option<oneshot::Sender<StopHow>>,
}

/// A timer that is forgotten when it is dropped.
struct Timer(JoinHandle<()>);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Slot {
    pub fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            order: None,
            timer: None,
            ended: None,
            outage: Outage::default(),
            killed: false,
            added: None,
            removal: None,
        }
    }

    /// A start begins: returns where its keeper takes the order to stop.
    pub fn begin(&mut self) -> oneshot::Receiver<()> {
        let (order, orders) = oneshot::channel();
        self.order = Some(order);
        self.timer = None;
        orders
    }

    /// Reports back after a while; an earlier timer is forgotten.
    pub fn arm(
        &mut self,
        child: usize,
        generation: u64,
        after: Duration,
        me: ActorRef<SupervisorMsg>,
    ) {
        self.timer = Some(Timer(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let _ = me.send_message(SupervisorMsg::Timer { child, generation });
        })));
    }
}

/// Who waits for an outcome, and what it is.
#[derive(Default)]
pub(super) struct Waiting {
    pub added: Option<(oneshot::Sender<Added>, Added)>,
    /// A removal that failed.
    pub lost: Option<(oneshot::Sender<StopHow>, StopHow)>,
}

impl Waiting {
    /// Tells them. Nobody needs to wait.
    pub fn tell(self) {
        if let Some((who, how)) = self.added {
            let _ = who.send(how);
        }
        if let Some((who, how)) = self.lost {
            let _ = who.send(how);
        }
    }
}
