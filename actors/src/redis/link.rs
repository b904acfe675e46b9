//! The actor that owns one connection.
//!
//! Its life is the connection's: one that cannot be made, breaks, or hangs is a failure, and the
//! restart strategy says when to try again. A connection that is only old, or whose settings have
//! changed, is replaced while it serves: the new one takes what comes, the old one finishes what
//! it has. So is one to a Cluster whose masters are others by now.
//!
//! The first link is the *lead*. While no link is up it alone tries; the others wait for it. So a
//! Redis that comes back sees one trial at a time, as the lead's breaker grants them.
//!
//! The *tracker* is such a link, too, and waits like the others. Beside its commands it hears what
//! others change in Redis. While it has no connection nothing is done about that: what is in
//! memory is served on, and once changes are announced again, all of it is in doubt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::connection::Connection;
use super::dial::dial;
use super::pool::Slot;
use super::settings::LinkSettings;
use super::tracker::{Ear, Tracking};
use crate::supervise::{Failure, Label, Me, Worker};

/// How long to wait before new settings are tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What a link is told.
#[derive(Debug)]
pub enum LinkMsg {
    /// Connect; sent to itself.
    Connect,
    /// Look whether it lives and how old it is; sent to itself.
    Tick,
    /// A caller found connection number `epoch` broken.
    Broken {
        /// Which connection.
        epoch: u64,
        /// What happened.
        why: String,
    },
    /// Replace the connection if the settings are others than it was made with.
    Renew,
}

impl Label for LinkMsg {
    fn label(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tick => "tick",
            Self::Broken { .. } => "broken",
            Self::Renew => "renew",
        }
    }
}

/// What a start needs.
#[derive(Debug, Clone)]
pub struct LinkArgs {
    pub(super) slot: Arc<Slot>,
    pub(super) tracking: Option<Arc<Tracking>>,
}

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link;

/// What it owns. Dropped with the actor, and the connection is nobody's from then on.
#[derive(Debug)]
pub struct LinkState {
    slot: Arc<Slot>,
    tracking: Option<Arc<Tracking>>,
    /// Waits for the lead.
    waits: Option<JoinHandle<()>>,
    /// What the connection had heard at the last tick.
    heard: u64,
    /// When the connection is due for replacement.
    until: Option<Instant>,
    made_with: Option<Arc<LinkSettings>>,
}

impl Drop for LinkState {
    fn drop(&mut self) {
        self.slot.withdraw();
        if let Some(waits) = &self.waits {
            waits.abort();
        }
    }
}

impl Worker for Link {
    type Msg = LinkMsg;
    type Args = LinkArgs;
    type State = LinkState;

    async fn init(&self, _me: &Me<LinkMsg>, args: LinkArgs) -> Result<LinkState, Failure> {
        let LinkArgs { slot, tracking } = args;
        Ok(LinkState { slot, tracking, waits: None, heard: 0, until: None, made_with: None })
    }

    async fn started(&self, me: &Me<LinkMsg>, _state: &mut LinkState) -> Result<(), Failure> {
        me.send(LinkMsg::Connect);
        Ok(())
    }

    async fn handle(
        &self,
        me: &Me<LinkMsg>,
        msg: LinkMsg,
        state: &mut LinkState,
    ) -> Result<(), Failure> {
        let done = match msg {
            LinkMsg::Connect => state.connect(me).await,
            LinkMsg::Tick => state.tick(me).await,
            LinkMsg::Broken { epoch, why } if state.slot.is_at(epoch) => Err(Failure::new(why)),
            // An older connection, replaced meanwhile.
            LinkMsg::Broken { .. } => Ok(()),
            LinkMsg::Renew => {
                state.renew(me).await;
                Ok(())
            }
        };
        if let (Err(failure), Some(tracking)) = (&done, &state.tracking) {
            tracking.lost(&failure.0);
        }
        done
    }

    async fn stopped(&self, _me: &Me<LinkMsg>, state: &mut LinkState) -> Result<(), Failure> {
        let within = state.slot.settings().timeout;
        state.slot.withdraw();
        state.slot.idle(within).await;
        Ok(())
    }
}

impl LinkState {
    async fn connect(&mut self, me: &Me<LinkMsg>) -> Result<(), Failure> {
        if !self.slot.may_try() {
            let (slot, me) = (Arc::clone(&self.slot), me.clone());
            self.waits = Some(tokio::spawn(async move {
                slot.until_may_try().await;
                me.send(LinkMsg::Connect);
            }));
            return Ok(());
        }
        let settings = self.slot.settings();
        let connection = self.dial(&settings).await.map_err(|f| self.failed(f.text))?;
        self.take(connection, &settings);
        me.send_after(settings.ping_every, LinkMsg::Tick);
        Ok(())
    }

    /// The end of this life.
    fn failed(&self, why: String) -> Failure {
        self.slot.ailing(&why);
        Failure::new(why)
    }

    async fn dial(
        &self,
        settings: &Arc<LinkSettings>,
    ) -> Result<Connection, super::failure::Failure> {
        let ear = self.tracking.as_ref().map(|tracking| Ear {
            tracking: Arc::clone(tracking),
            handle: self.slot.handle.clone(),
            epoch: self.slot.next_epoch(),
        });
        let connection = dial(settings, ear, self.slot.known(settings)).await?;
        self.slot.learn(settings, connection.nodes());
        Ok(connection)
    }

    fn take(&mut self, connection: Connection, settings: &Arc<LinkSettings>) {
        if let Some(tracking) = &self.tracking {
            tracking.begins(self.slot.next_epoch());
        }
        self.slot.publish(connection, settings);
        self.made_with = Some(Arc::clone(settings));
        // Spread, so that links made together are not replaced together.
        self.until = settings.max_age.and_then(|age| {
            Instant::now().checked_add(age.mul_f64(rand::rng().random_range(0.9..1.0)))
        });
    }

    async fn tick(&mut self, me: &Me<LinkMsg>) -> Result<(), Failure> {
        let settings = self.slot.settings();
        me.send_after(settings.ping_every, LinkMsg::Tick);
        if self.until.is_some_and(|until| Instant::now() >= until) {
            self.until = None;
            self.made_with = None;
            self.renew(me).await;
            return Ok(());
        }
        let Some((mut connection, heard)) = self.slot.connection() else { return Ok(()) };
        // Announcements may be missing although answers come, and one node of a Cluster may be silent
        // although others are not.
        if heard == self.heard || self.tracking.is_some() || settings.cluster {
            let look = connection.look(settings.timeout).await;
            if look.map_err(|f| self.failed(f.text))? {
                self.made_with = None;
                self.renew(me).await;
            } else {
                self.slot.learn(&settings, connection.nodes());
            }
        }
        self.heard = heard;
        Ok(())
    }

    /// A fresh connection beside the one that serves; then the switch.
    async fn renew(&mut self, me: &Me<LinkMsg>) {
        let settings = self.slot.settings();
        if self.slot.connection().is_none()
            || self.made_with.as_ref().is_some_and(|with| **with == *settings)
        {
            return;
        }
        match self.dial(&settings).await {
            Ok(connection) => {
                self.take(connection, &settings);
                info!(link = self.slot.id, at = %settings.shown(), "a fresh connection to Redis");
            }
            Err(failure) => {
                warn!(
                    link = self.slot.id,
                    error = %failure,
                    "no fresh connection to Redis; the old one stays"
                );
                me.send_after(TRY_AGAIN, LinkMsg::Renew);
            }
        }
    }
}
