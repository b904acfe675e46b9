//! What one connection is: who, which database, which protocol, which transaction.

mod admission;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::args::Args;
use super::backend::Backend;
use super::clients::{ClientInfo, CommandName, Registration, Traits};
use super::refusal::Refusal;
use super::reply::Proto;
use super::table::{Command, Flags};
use crate::acl::gate::{Context, Event};
use crate::acl::{Denied, User, Users};
use crate::pubsub::{Inbox, Subscriber};
use crate::tracking::{Options, Reader, Tracked};

pub use admission::{DENIED, protected_mode_admits};

/// Whether replies are sent: CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// They are.
    #[default]
    On,
    /// They are not, until CLIENT REPLY ON.
    Off,
    /// The running command is CLIENT REPLY SKIP, which has no reply itself.
    SkipNext,
    /// The running command's reply is dropped; then replies are on.
    Skip,
}

/// State of one connection, owned by its task. Dropping it leaves the registry.
#[derive(Debug)]
pub struct Session {
    /// The daemon around it.
    pub daemon: Arc<dyn Backend>,
    /// Selected database. Change it with [`Session::select`].
    pub db: u8,
    /// Protocol version. Change it with [`Session::speak`].
    pub proto: Proto,
    /// Whether replies are sent.
    pub reply_mode: ReplyMode,
    /// The connection closes once its replies are sent.
    pub close_after_reply: bool,
    user: Arc<User>,
    authenticated: bool,
    /// Authenticated as a user who may do everything: no command needs to be checked.
    free: bool,
    traits: Traits,
    /// The command of the last round and its name, so that a connection that repeats one command
    /// pays no look-up.
    last_command: Option<(&'static Command, CommandName)>,
    /// What CLIENT TRACKING asked for.
    tracking: Option<Arc<Tracked>>,
    /// CLIENT CACHING was given for the next command.
    caching: bool,
    /// Before the registration, which closes the inbox that the subscriptions fill.
    subscriber: Option<Box<Subscriber>>,
    registration: Registration,
}

impl Session {
    /// A fresh session of the user `default`. It counts as authenticated if that needs no password
    /// now, and stays so when one is set later, as in Redis.
    #[must_use]
    pub fn new(daemon: Arc<dyn Backend>, registration: Registration) -> Self {
        let users = Arc::clone(&daemon.config().settings().users);
        let user = Arc::clone(users.default_user());
        let authenticated = users.is_open();
        Self {
            free: authenticated && user.may_do_everything(),
            user,
            daemon,
            db: 0,
            proto: Proto::V2,
            reply_mode: ReplyMode::On,
            close_after_reply: false,
            authenticated,
            traits: Traits::default(),
            last_command: None,
            tracking: None,
            caching: false,
            subscriber: None,
            registration,
        }
    }

    /// The entry that others see.
    #[must_use]
    pub fn client(&self) -> &Arc<ClientInfo> {
        &self.registration
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.registration.id
    }

    /// Whether the client has proved who it is, or needs not.
    #[must_use]
    pub fn authenticated(&self) -> bool {
        // The flag decides for all but those who wait before a password that may be gone by now.
        self.authenticated || self.daemon.config().settings().users.is_open()
    }

    /// Who the client is; `default` before it has said so.
    #[must_use]
    pub const fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// The client has given the right password of this user.
    pub fn authenticate(&mut self, user: &Arc<User>) {
        self.authenticated = true;
        self.become_user(user);
    }

    fn become_user(&mut self, user: &Arc<User>) {
        self.free = self.authenticated && user.may_do_everything();
        self.user = Arc::clone(user);
        self.registration.set_user(user.name());
    }

    /// Takes over what has become of its user in new settings. `false`: the user is gone or off,
    /// and the connection is to be closed.
    #[must_use]
    pub fn follow(&mut self, users: &Users) -> bool {
        if !self.authenticated {
            self.become_user(users.default_user());
            return true;
        }
        match users.get(self.user.name()) {
            Some(user) if user.is_enabled() => {
                self.become_user(user);
                true
            }
            _ => false,
        }
    }

    /// Whether this client may run this command now.
    ///
    /// # Errors
    /// `NOAUTH` before authentication, except for the commands that lead to it; `NOPERM` for what
    /// its user may not do, which is noted.
    #[inline]
    pub fn may_run(&self, command: &'static Command, args: &Args<'_>) -> Result<(), Refusal> {
        if self.free {
            return Ok(());
        }
        if !self.authenticated() && !command.flags.has(Flags::NO_AUTH) {
            return Err(Refusal::other("NOAUTH Authentication required."));
        }
        self.permits(command, args).map_err(|denied| Refusal::other(denied.to_string()))
    }

    /// Whether the user may run this command; if not, it is noted.
    ///
    /// # Errors
    /// What is lacking.
    pub fn permits(&self, command: &'static Command, args: &Args<'_>) -> Result<(), Denied> {
        if self.free {
            return Ok(());
        }
        let checked = self.user.permissions().check(command, args);
        checked.inspect_err(|denied| self.note_denied(denied, args))
    }

    #[cold]
    fn note_denied(&self, denied: &Denied, args: &Args<'_>) {
        let gate = self.daemon.gate();
        gate.denied(denied.reason());
        let object = match denied {
            Denied::Command(name) => name.as_bytes(),
            Denied::Key(Some(at)) | Denied::Channel(at) => args.get(*at),
            Denied::Key(None) => b"*",
        };
        self.note_refused(denied.reason().name(), object, self.user.name().as_bytes());
    }

    /// Adds to the ACL LOG.
    pub fn note_refused(&self, reason: &'static str, object: &[u8], user: &[u8]) {
        let now = self.daemon.now();
        let mut client = String::new();
        self.client().describe(now, &mut client);
        let context = if self.in_transaction() { Context::Multi } else { Context::TopLevel };
        let event = Event { reason, context, object, user, client: &client };
        self.daemon.gate().record().add(event, now);
    }

    /// The subscriptions of this connection, and where messages wait for it. Made on first use:
    /// a connection that never subscribes has neither.
    pub fn subscriber(&mut self) -> &mut Subscriber {
        let (daemon, client) = (&self.daemon, &self.registration);
        self.subscriber.get_or_insert_with(|| {
            let pubsub = daemon.pubsub();
            Box::new(Subscriber::new(pubsub.clone(), client.open_inbox(pubsub)))
        })
    }

    /// CLIENT TRACKING ON: has this client told of changes, or as said now.
    pub fn begin_tracking(&mut self, options: Options, prefixes: &[&[u8]]) {
        let pubsub = self.daemon.pubsub();
        let inbox = self.registration.open_inbox(pubsub);
        if let Some(target) = self.daemon.clients().get(options.redirect) {
            target.open_inbox(pubsub);
            // It may be waiting for its client, and knows of no inbox yet.
            target.nudge();
        }
        let tracked = self.daemon.tracker().track(inbox, options, prefixes);
        self.registration.note_tracking(Some(Arc::clone(&tracked)));
        self.tracking = Some(tracked);
    }

    /// CLIENT TRACKING OFF.
    pub fn end_tracking(&mut self) {
        if self.tracking.take().is_some() {
            self.daemon.tracker().forget(self.registration.id);
            self.registration.note_tracking(None);
        }
        self.caching = false;
    }

    /// What CLIENT TRACKING asked for, while it is on.
    #[must_use]
    pub const fn tracking(&self) -> Option<&Arc<Tracked>> {
        self.tracking.as_ref()
    }

    /// CLIENT CACHING: changes for the next command what OPTIN or OPTOUT says.
    pub const fn give_caching(&mut self) {
        self.caching = true;
    }

    /// Whether CLIENT CACHING was given for the next command.
    #[inline]
    #[must_use]
    pub const fn caching_given(&self) -> bool {
        self.caching
    }

    /// The command that CLIENT CACHING was given for has run.
    pub const fn caching_done(&mut self) {
        self.caching = false;
    }

    /// Remembers the reads of the next command, if they are to be remembered.
    #[must_use]
    pub fn reader(&self) -> Option<Reader> {
        let options = self.tracking.as_ref()?.options;
        let reads = !options.broadcast
            && (!options.opt_in || self.caching)
            && (!options.opt_out || !self.caching);
        reads.then(|| Reader::new(self.daemon.tracker().clone(), self.registration.id))
    }

    /// Where pushes wait for this connection, if it ever asked for any.
    #[must_use]
    pub fn inbox(&self) -> Option<&Arc<Inbox>> {
        self.registration.inbox()
    }

    /// Whether the connection only listens: in RESP2 a message could not be told from a reply, so
    /// subscribers get no replies but those about their subscriptions.
    #[must_use]
    pub fn only_listens(&self) -> bool {
        self.proto == Proto::V2 && self.subscriber.as_ref().is_some_and(|s| s.is_subscribed())
    }

    /// Whether MULTI is open. It is as long as [`ClientInfo::note_transaction`] says so.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.registration.in_transaction()
    }

    /// Selects a database that exists.
    pub fn select(&mut self, db: u8) {
        self.db = db;
        self.registration.note_db(db);
    }

    /// Switches the protocol.
    pub fn speak(&mut self, proto: Proto) {
        self.proto = proto;
        self.registration.note_proto(proto);
    }

    /// CLIENT NO-EVICT and NO-TOUCH.
    #[must_use]
    pub const fn traits(&self) -> Traits {
        self.traits
    }

    /// Changes CLIENT NO-EVICT or NO-TOUCH.
    pub fn set_traits(&mut self, traits: Traits) {
        self.traits = traits;
        self.registration.note_traits(traits);
    }

    /// Back to what a new connection is: RESET. The transaction is its owner's to drop.
    pub fn reset(&mut self) {
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.unsubscribe_all();
        }
        self.end_tracking();
        self.select(0);
        self.speak(Proto::V2);
        self.set_traits(Traits::default());
        self.reply_mode = ReplyMode::On;
        let users = Arc::clone(&self.daemon.config().settings().users);
        self.authenticated = users.is_open();
        self.become_user(users.default_user());
        self.registration.set_name("");
        self.registration.note_transaction(None, 0);
    }

    /// Whether the reply of the command that just ran is sent. Ask after it ran and before
    /// [`Session::command_done`].
    #[must_use]
    pub const fn replies(&self) -> bool {
        matches!(self.reply_mode, ReplyMode::On)
    }

    /// The command's reply was written or dropped.
    pub const fn command_done(&mut self) {
        match self.reply_mode {
            ReplyMode::SkipNext => self.reply_mode = ReplyMode::Skip,
            ReplyMode::Skip => self.reply_mode = ReplyMode::On,
            ReplyMode::On | ReplyMode::Off => {}
        }
    }

    /// Notes a round that ended with `command` at `now`, for CLIENT LIST: one relaxed store.
    pub fn note_round(&mut self, command: &'static Command, now: seawall_actors::clock::UnixMs) {
        let name = match self.last_command {
            Some((last, name)) if std::ptr::eq(last, command) => name,
            _ => {
                let name = CommandName::of(command);
                self.last_command = Some((command, name));
                name
            }
        };
        self.registration.note_round(now, name);
    }

    /// Whether CLIENT PAUSE holds `command` back.
    ///
    /// CLIENT itself is never held back (Redis holds it), or CLIENT UNPAUSE could not be heard.
    #[must_use]
    pub fn is_held(&self, command: &Command) -> bool {
        let gate = self.daemon.clients().pause();
        gate.holds(command.flags.has(Flags::WRITE)) && command.name != "client"
    }

    /// Resolves when a command that is held back may run. Safe to cancel.
    pub async fn wait_while_paused(&self, command: &Command) {
        self.daemon.clients().pause().pass(command.flags.has(Flags::WRITE)).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_tracking();
    }
}
