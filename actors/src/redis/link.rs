//! The actor that owns one connection.
//!
//! Its life is the connection's: one that cannot be made, breaks, or hangs is a failure, and the
//! restart strategy says when to try again. A connection that is only old, or whose settings have
//! changed, is replaced while it serves: the new one takes what comes, the old one finishes what
//! it has. So is one to a Cluster whose masters are others by now, and one to a master in whose place
//! Sentinels name another: the lead asks them, and all follow.
//!
//! The first link is the *lead*. While no link is up it alone tries; the others wait for it. So a
//! Redis that comes back sees one trial at a time, as the lead's breaker grants them.
//!
//! The *tracker* is such a link, too, and waits like the others. Beside its commands it hears what
//! others change in Redis. While it has no connection nothing is done about that: what is in
//! memory is served on, and once changes are announced again, all of it is in doubt.
//!
//! The *subscriber* is the third kind: it carries no commands but those that subscribe, is
//! connected once somebody wants to hear something, and is not replaced for its age, since what is
//! published between two connections is missed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::dial::{Dialed, dial};
use super::duty::{Duty, Ear};
use super::failure::{Failure as Trouble, FailureKind};
use super::pool::Slot;
use super::sentinels::watch_master;
use super::settings::LinkSettings;
use crate::policy::Reminder;
use crate::supervise::{Failure, Label, Me, Worker};

/// How long to wait before new settings are tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks at Redis' clock, and how long one may take.
const COMPARE_EVERY: Duration = Duration::from_secs(15);
const COMPARED_WITHIN: Duration = Duration::from_secs(1);

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
    /// What the connection is subscribed to is to be changed.
    Subscribe,
}

impl Label for LinkMsg {
    fn label(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tick => "tick",
            Self::Broken { .. } => "broken",
            Self::Renew => "renew",
            Self::Subscribe => "subscribe",
        }
    }
}

/// What a start needs.
#[derive(Debug, Clone)]
pub struct LinkArgs {
    pub(super) slot: Arc<Slot>,
    pub(super) duty: Duty,
}

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link;

/// What it owns. Dropped with the actor, and the connection is nobody's from then on.
#[derive(Debug)]
pub struct LinkState {
    slot: Arc<Slot>,
    duty: Duty,
    /// Waits for the lead, or for somebody who needs a connection.
    waits: Option<JoinHandle<()>>,
    /// Look for another master: that Sentinels name one, and, by the lead, whom they name.
    follows: Vec<JoinHandle<()>>,
    /// What the connection had heard at the last tick.
    heard: u64,
    /// When the connection is due for replacement.
    until: Option<Instant>,
    /// The connection is to be replaced, whatever it was made with.
    spent: bool,
    /// None can be made to replace it, with these settings, for this kind of reason.
    stuck: Option<(Arc<LinkSettings>, FailureKind, Reminder)>,
    /// When Redis' clock was last compared with ours; by the lead alone.
    compared: Option<Instant>,
}

impl Drop for LinkState {
    fn drop(&mut self) {
        self.slot.withdraw();
        self.waits.iter().chain(&self.follows).for_each(JoinHandle::abort);
    }
}

impl Worker for Link {
    type Msg = LinkMsg;
    type Args = LinkArgs;
    type State = LinkState;

    async fn init(&self, _me: &Me<LinkMsg>, args: LinkArgs) -> Result<LinkState, Failure> {
        let LinkArgs { slot, duty } = args;
        let (waits, heard, until, compared) = (None, 0, None, None);
        let (spent, stuck, follows) = (false, None, Vec::new());
        Ok(LinkState { slot, duty, waits, follows, heard, until, spent, stuck, compared })
    }

    async fn started(&self, me: &Me<LinkMsg>, state: &mut LinkState) -> Result<(), Failure> {
        state.follow(me);
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
            LinkMsg::Subscribe => state.subscribe(me).await,
        };
        if let Err(failure) = &done {
            state.duty.lost(&failure.0);
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
        if !self.slot.may_try() || !self.duty.needs_connection() {
            let (slot, duty, me) = (Arc::clone(&self.slot), self.duty.clone(), me.clone());
            self.waits = Some(tokio::spawn(async move {
                duty.needed().await;
                slot.until_may_try().await;
                me.send(LinkMsg::Connect);
            }));
            return Ok(());
        }
        let settings = self.slot.settings();
        let dialed = self.dial(&settings).await.map_err(|f| self.failed(f.text))?;
        self.take(me, dialed, &settings);
        me.send_after(settings.ping_every, LinkMsg::Tick);
        self.compare_clocks(&settings).await;
        Ok(())
    }

    /// Moves when another master is named; the lead finds out.
    fn follow(&mut self, me: &Me<LinkMsg>) {
        let (mut named, me) = (self.slot.named(), me.clone());
        self.follows.push(tokio::spawn(async move {
            while named.changed().await.is_ok() {
                me.send(LinkMsg::Renew);
            }
        }));
        if self.leads() {
            self.follows.push(tokio::spawn(watch_master(Arc::clone(&self.slot))));
        }
    }

    fn leads(&self) -> bool {
        self.slot.id == 0 && matches!(self.duty, Duty::Commands)
    }

    /// One of the links asks every server behind it what time it is, now and then.
    async fn compare_clocks(&mut self, settings: &LinkSettings) {
        let due = self.compared.is_none_or(|at| at.elapsed() >= COMPARE_EVERY);
        let Some((mut connection, _)) = self.slot.connection().filter(|_| self.leads() && due)
        else {
            return;
        };
        self.compared = Some(Instant::now());
        // Who does not answer is found out by others.
        let clocks = connection.clocks(settings.timeout.min(COMPARED_WITHIN)).await;
        self.slot.measured(clocks, &connection.masters());
    }

    /// The end of this life.
    fn failed(&self, why: String) -> Failure {
        self.slot.ailing(&why);
        Failure::new(why)
    }

    async fn dial(&self, settings: &Arc<LinkSettings>) -> Result<Dialed, Trouble> {
        let (duty, handle) = (self.duty.clone(), self.slot.handle.clone());
        let ear = Ear { duty, handle, epoch: self.slot.next_epoch() };
        let ear = Some(ear).filter(|ear| !matches!(ear.duty, Duty::Commands));
        let dialed = dial(settings, ear, self.slot.known(settings)).await?;
        self.slot.learn(settings, dialed.connection.nodes());
        Ok(dialed)
    }

    fn take(&mut self, me: &Me<LinkMsg>, dialed: Dialed, settings: &Arc<LinkSettings>) {
        let Dialed { connection, master } = dialed;
        let elsewhere = settings.master.is_some() && settings.master != master;
        let settings = match &master {
            Some(_) => &Arc::new(LinkSettings { master: master.clone(), ..(**settings).clone() }),
            None => settings,
        };
        self.duty.begins(self.slot.next_epoch());
        self.slot.publish(connection, settings);
        (self.spent, self.stuck) = (false, None);
        if let Some(master) = master.filter(|_| self.leads()) {
            self.slot.name(settings, &master);
        } else if elsewhere {
            // The lead was told of another, or will be.
            me.send_after(TRY_AGAIN, LinkMsg::Renew);
        }
        if self.listens() {
            self.until = None;
            me.send(LinkMsg::Subscribe);
            return;
        }
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
            self.spent = true;
            self.renew(me).await;
            return Ok(());
        }
        let Some((mut connection, heard)) = self.slot.connection() else { return Ok(()) };
        let asks_many = connection.is_to_a_cluster();
        // Announcements may be missing although answers come, and one node of a Cluster may be silent
        // although others are not.
        if heard == self.heard || !matches!(self.duty, Duty::Commands) || asks_many {
            let look = connection.look(settings.timeout).await;
            if look.map_err(|f| self.failed(f.text))? {
                self.spent = true;
                self.renew(me).await;
            } else if let Some(made_with) = self.slot.made_with() {
                // The settings in force may lead elsewhere by now.
                self.slot.learn(&made_with, connection.nodes());
            }
        }
        self.heard = heard;
        self.compare_clocks(&settings).await;
        if let Duty::Listen(subscriptions) = &self.duty {
            subscriptions.try_refused_again();
        }
        Ok(())
    }

    fn listens(&self) -> bool {
        matches!(self.duty, Duty::Listen(_))
    }

    /// Asks Redis for the next piece of what is wanted.
    async fn subscribe(&mut self, me: &Me<LinkMsg>) -> Result<(), Failure> {
        let Duty::Listen(subscriptions) = &self.duty else { return Ok(()) };
        let Some((mut connection, _)) = self.slot.connection() else { return Ok(()) };
        let Some((changes, commands)) = subscriptions.take() else { return Ok(()) };
        let within = self.slot.settings().timeout;
        let settled = match timeout(within, connection.pipeline(&commands)).await {
            Ok(Ok(answers)) => subscriptions.settle(changes, answers),
            Ok(Err(error)) => Err(Trouble::of(&error)),
            Err(_) => {
                let text = format!("no answer to SUBSCRIBE within {within:?}: it hangs");
                Err(Trouble::after(FailureKind::Deadline, text))
            }
        };
        if settled.map_err(|f| self.failed(f.text))? {
            me.send(LinkMsg::Subscribe);
        }
        Ok(())
    }

    /// A fresh connection beside the one that serves; then the switch.
    async fn renew(&mut self, me: &Me<LinkMsg>) {
        let settings = self.slot.settings();
        let Some(with) = self.slot.made_with() else { return };
        let serves = match self.duty {
            Duty::Listen(_) => with.leads_to_the_same(&settings),
            Duty::Commands | Duty::Track(_) => *with == *settings,
        };
        if serves && !self.spent {
            return;
        }
        match self.dial(&settings).await {
            Ok(dialed) => {
                self.take(me, dialed, &settings);
                let link = self.duty.name(self.slot.id);
                info!(link, at = %settings.shown(), "a fresh connection to Redis");
            }
            Err(failure) => {
                self.stays(&settings, &failure);
                me.send_after(TRY_AGAIN, LinkMsg::Renew);
            }
        }
    }

    /// Says why the old connection stays: once, and then now and then.
    fn stays(&mut self, settings: &Arc<LinkSettings>, failure: &Trouble) {
        let now = Instant::now();
        let (news, lasts) = match &mut self.stuck {
            Some((with, kind, reminder)) if **with == **settings && *kind == failure.kind => {
                (reminder.is_due(now), reminder.lasts(now))
            }
            stuck => {
                *stuck = Some((Arc::clone(settings), failure.kind, Reminder::new(now)));
                (true, Duration::ZERO)
            }
        };
        self.slot.ailing(&format!("no fresh connection, the old one stays: {failure}"));
        let (link, error) = (self.duty.name(self.slot.id), failure);
        if news {
            warn!(link, %error, ?lasts, "no fresh connection to Redis; the old one stays");
        } else {
            debug!(link, %error, ?lasts, "no fresh connection to Redis; the old one stays");
        }
    }
}
