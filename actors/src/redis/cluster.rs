//! A Cluster: a connection to each of its masters, and a command's way to the one that has its key.
//!
//! Its life is that of all its connections: one that breaks or hangs is the end of all, and whoever
//! owns it makes another. That one has what is there then. A master that is not is *absent*: its
//! keys are out of reach, and [`Cluster::look`] says when a fresh connection would reach it.

mod predecessors;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use redis::aio::MultiplexedConnection;
use redis::{Arg, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Value};
use tokio::time::{sleep, timeout};

use self::table::Table;
use super::dial::{Dialer, Greeted};
use super::failure::{Failure, FailureKind};
use super::nodes::{Node, Redirect, Share, slot_of};

/// How often one command is sent on by nodes that do not have its slot.
const HOPS: usize = 8;
/// Nodes that were met by being sent to them; there are not more.
const GUESTS: usize = 64;
/// Nodes that are asked about the Cluster, beside the one in `redis.url`.
const SEEDS: usize = 16;

/// Cheap to clone; clones share what is under way.
#[derive(Clone)]
pub(super) struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    dialer: Dialer,
    masters: HashMap<Node, MultiplexedConnection>,
    /// Masters that could not be reached, and why.
    absent: BTreeMap<Node, String>,
    /// Masters that do not announce what others change, and why.
    deaf: BTreeMap<Node, String>,
    state: RwLock<State>,
}

/// What changes while it lives.
#[derive(Default)]
struct State {
    table: Table,
    /// Slots that have moved since the table was told.
    moved: HashMap<u16, Node>,
    /// Nodes that were no masters at the start, and do not announce anything.
    guests: HashMap<Node, MultiplexedConnection>,
    /// What its connections are called at the nodes, if they bear a name of their own.
    name: Option<Arc<str>>,
}

/// Where a command belongs.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// To whoever has this slot.
    Slot(u16),
    /// To every master.
    Everywhere,
    /// To any node.
    Anywhere,
}

impl Place {
    fn of(command: &Cmd) -> Self {
        let mut words = command.args_iter().map(|arg| match arg {
            Arg::Simple(bytes) => bytes,
            _ => &[],
        });
        let name = words.next().unwrap_or_default();
        match (name, words.next()) {
            (b"FLUSHDB", _) => Self::Everywhere,
            (b"PING" | b"CLIENT" | b"CLUSTER" | b"PUBLISH", _) | (_, None) => Self::Anywhere,
            (_, Some(key)) => Self::Slot(slot_of(key)),
        }
    }
}

impl Cluster {
    /// Learns the masters from the node in `redis.url`, or from one that is `known`, and connects to
    /// each of them.
    ///
    /// # Errors
    /// No node tells, or no master can be reached.
    pub async fn connect(dialer: Dialer, known: BTreeSet<Node>) -> Result<Self, Failure> {
        let within = dialer.settings().connect_timeout;
        let home = dialer.home()?;
        let others = known.into_iter().filter(|node| *node != home).take(SEEDS);
        let seeds = others.map(|node| (node, within / 8));
        let seeds = std::iter::once((home.clone(), Duration::ZERO)).chain(seeds);
        let asked = seeds.map(|(node, after)| {
            let dialer = &dialer;
            Box::pin(async move {
                // The others only if the first one does not answer at once.
                sleep(after).await;
                bounded(within - after, &node, async {
                    let Greeted { server, .. } = dialer.greet(&node, false).await?;
                    slots(server, &node).await
                })
                .await
            })
        });
        let (table, _) = select_ok(asked).await?;
        let reached = join_all(table.masters().into_iter().map(|node| {
            let dialer = &dialer;
            async move {
                let greeted = bounded(within, &node, dialer.greet(&node, true)).await;
                (node, greeted)
            }
        }));
        let (mut masters, mut absent, mut deaf) =
            (HashMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut failed = None;
        for (node, greeted) in reached.await {
            match greeted {
                Ok(Greeted { server, deaf: why }) => {
                    deaf.extend(why.map(|why| (node.clone(), why)));
                    masters.insert(node, server);
                }
                Err(failure) => {
                    absent.insert(node, failure.text.clone());
                    failed = Some(failure);
                }
            }
        }
        if masters.is_empty() {
            let nobody = || Failure::before(FailureKind::Resharding, "nobody has a slot yet");
            return Err(failed.unwrap_or_else(nobody));
        }
        let state = RwLock::new(State { table, ..State::default() });
        Ok(Self { inner: Arc::new(Inner { dialer, masters, absent, deaf, state }) })
    }

    /// Why changes of some keys are not announced; `Ok` if all are.
    pub fn hears(&self) -> Result<(), String> {
        let Inner { absent, deaf, .. } = &*self.inner;
        let all: Vec<&str> = absent.values().chain(deaf.values()).map(String::as_str).collect();
        if all.is_empty() { Ok(()) } else { Err(all.join("; ")) }
    }

    /// Every node that is known, for whoever connects another time.
    pub fn nodes(&self) -> BTreeSet<Node> {
        self.read(|state| state.table.everybody())
    }

    /// Those that have slots, as far as they are known.
    pub fn masters(&self) -> BTreeSet<Node> {
        self.read(|state| state.table.masters())
    }

    /// Those that it has a connection to.
    pub fn connected(&self) -> impl Iterator<Item = (Node, MultiplexedConnection)> + '_ {
        self.inner.masters.iter().map(|(node, server)| (node.clone(), server.clone()))
    }

    /// What each of them has, and whether it can be reached.
    pub fn shares(&self) -> Vec<Share> {
        self.read(|state| {
            let shares = state.table.shares().into_iter();
            shares
                .map(|(node, slots)| Share {
                    slots,
                    connected: self.inner.masters.contains_key(node),
                })
                .collect()
        })
    }

    /// One command to this node, whatever its key.
    pub async fn command_at(&self, node: &Node, command: &Cmd) -> RedisResult<Value> {
        self.server(node).await?.send_packed_command(command).await
    }

    /// Gives its connections a name, also those to nodes that are met later, and ends all others of
    /// that name at these nodes: nothing that was sent over them is executed from then on. The first
    /// refusal is [`Value::ServerError`].
    pub async fn succeed(&self, name: &str) -> RedisResult<Value> {
        self.write(|state| state.name = Some(name.into()));
        let guests: Vec<_> = self.read(|state| state.guests.values().cloned().collect());
        let servers = self.inner.masters.values().cloned().chain(guests);
        let ended = join_all(servers.map(|server| predecessors::end(server, name))).await;
        for answer in ended {
            let answer = answer?;
            if answer != Value::Okay {
                return Ok(answer);
            }
        }
        Ok(Value::Okay)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.inner.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.inner.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// One command. Several nodes answer as one, with the first error if there is any.
    pub async fn command(&self, command: &Cmd) -> RedisResult<Value> {
        match Place::of(command) {
            Place::Slot(slot) => {
                let owner = self.read(|state| {
                    state.moved.get(&slot).or_else(|| state.table.owner(slot)).cloned()
                });
                let nobody = || out_of_reach(format!("nobody has slot {slot}"));
                self.follow(owner.ok_or_else(nobody)?, command).await
            }
            Place::Everywhere => {
                if let Some((node, why)) = self.inner.absent.first_key_value() {
                    return Err(out_of_reach(format!("{node}: {why}")));
                }
                let sent = self.inner.masters.values().map(|server| {
                    let mut server = server.clone();
                    async move { server.send_packed_command(command).await }
                });
                let mut answer = Value::Okay;
                for each in join_all(sent).await {
                    let each = each?;
                    if !matches!(answer, Value::ServerError(_)) {
                        answer = each;
                    }
                }
                Ok(answer)
            }
            Place::Anywhere => match self.inner.masters.values().next() {
                Some(server) => server.clone().send_packed_command(command).await,
                None => Err(out_of_reach("no master is connected".to_owned())),
            },
        }
    }

    /// Sends a command to a node, and on to where that one and those after it say.
    async fn follow(&self, mut node: Node, command: &Cmd) -> RedisResult<Value> {
        let mut asking = false;
        for _ in 0..HOPS {
            let mut server = self.server(&node).await?;
            let answer = if asking {
                let mut both = Pipeline::new();
                both.cmd("ASKING").add_command(command.clone());
                let answers = server.send_packed_commands(&both, 0, 2).await?;
                answers.into_iter().next_back().unwrap_or(Value::Nil)
            } else {
                server.send_packed_command(command).await?
            };
            let redirect = match &answer {
                Value::ServerError(error) => {
                    Redirect::of(error.code(), error.details().unwrap_or_default(), &node.host)
                }
                _ => None,
            };
            let Some(Redirect { slot, node: there, asking: once }) = redirect else {
                return Ok(answer);
            };
            if !once && self.may_lack_something(&there) {
                return Ok(answer);
            }
            if !once {
                self.write(|state| drop(state.moved.insert(slot, there.clone())));
            }
            (node, asking) = (there, once);
        }
        Err(out_of_reach("the nodes send in circles".to_owned()))
    }

    /// Whether it took the place of a master, and nobody has asked it for its marker: who follows the
    /// log has to, over a fresh connection, before anything else is written there.
    fn may_lack_something(&self, node: &Node) -> bool {
        !self.inner.masters.contains_key(node) && self.read(|state| state.name.is_some())
    }

    /// The connection to a node.
    async fn server(&self, node: &Node) -> RedisResult<MultiplexedConnection> {
        let Inner { dialer, masters, absent, .. } = &*self.inner;
        let guest = || self.read(|state| state.guests.get(node).cloned());
        if let Some(server) = masters.get(node).cloned().or_else(guest) {
            return Ok(server);
        }
        if let Some(why) = absent.get(node) {
            return Err(out_of_reach(why.clone()));
        }
        let within = dialer.settings().connect_timeout;
        let greeted = bounded(within, node, dialer.greet(node, false)).await;
        let Greeted { server, .. } = greeted.map_err(|failure| out_of_reach(failure.text))?;
        if let Some(name) = self.read(|state| state.name.clone()) {
            let ended = predecessors::end(server.clone(), &name).await?;
            if ended != Value::Okay {
                return Err(out_of_reach(format!("{node}: {ended:?}")));
            }
        }
        self.write(|state| {
            if state.guests.len() >= GUESTS {
                state.guests.clear();
            }
            state.guests.insert(node.clone(), server.clone());
        });
        Ok(server)
    }

    /// Asks every master for a sign of life, and who has which slots. Whether a fresh connection
    /// would have other masters.
    ///
    /// # Errors
    /// A master hangs, or its connection is broken.
    pub async fn look(&self, within: Duration) -> Result<bool, Failure> {
        let Inner { dialer, masters, .. } = &*self.inner;
        let asked = join_all(masters.iter().map(|(node, server)| async move {
            (node, bounded(within, node, slots(server.clone(), node)).await)
        }));
        let (mut tables, mut silent) = (Vec::new(), Vec::new());
        for (node, answer) in asked.await {
            match answer {
                Ok(table) => tables.push(table),
                Err(failure) => silent.push((node, failure)),
            }
        }
        let wanted = Table::agreed(&tables).map(Table::masters).unwrap_or_default();
        // One that the others have replaced is not missed.
        let missed = |(node, _): &(&Node, Failure)| tables.is_empty() || wanted.contains(*node);
        if let Some((_, failure)) = silent.into_iter().find(missed) {
            return Err(failure);
        }
        // Whoever took its place is not spoken to as if it had everything.
        if masters.keys().any(|node| !wanted.contains(node)) {
            return Ok(true);
        }
        if let Some(table) = Table::agreed(&tables) {
            let table = table.clone();
            self.write(|state| {
                state.table = table;
                state.moved.clear();
            });
        }
        let missing = wanted.iter().filter(|node| !masters.contains_key(node));
        let back = join_all(
            missing.map(|node| async { bounded(within, node, dialer.greet(node, false)).await }),
        );
        Ok(back.await.iter().any(Result::is_ok))
    }
}

/// What a node says about the slots.
async fn slots(mut server: MultiplexedConnection, node: &Node) -> Result<Table, Failure> {
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("SLOTS");
    let answer = server.send_packed_command(&ask).await.map_err(|error| Failure::of(&error))?;
    if let Value::ServerError(error) = &answer {
        let refused = || Failure::before(FailureKind::Garbage, format!("CLUSTER SLOTS: {error}"));
        return Err(Failure::of_reply(error).unwrap_or_else(refused));
    }
    Table::read(&answer, &node.host).ok_or_else(|| {
        Failure::after(FailureKind::Garbage, "CLUSTER SLOTS was not answered by slots")
    })
}

/// What has to do with this node, within this time; failures name it.
async fn bounded<T>(
    within: Duration,
    node: &Node,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match timeout(within, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(failure)) => Err(Failure { text: format!("{node}: {}", failure.text), ..failure }),
        Err(_) => {
            let text = format!("{node}: no answer within {within:?}: it hangs");
            Err(Failure::after(FailureKind::Deadline, text))
        }
    }
}

/// Nothing was sent: the node that has the key is not there.
fn out_of_reach(why: String) -> RedisError {
    RedisError::from((ErrorKind::ClusterConnectionNotFound, "a part of the Cluster is away", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_belongs_to_its_key_or_to_everybody_or_to_anybody() {
        let place = |line: &str| {
            let mut words = line.split(' ');
            let mut command = redis::cmd(words.next().unwrap_or_default());
            for word in words {
                command.arg(word);
            }
            Place::of(&command)
        };
        assert_eq!(place("GET 123456789"), Place::Slot(0x31c3));
        assert_eq!(place("SET 123456789 v PXAT 1"), Place::Slot(0x31c3));
        assert_eq!(place("FLUSHDB ASYNC"), Place::Everywhere);
        for line in ["PING", "CLIENT UNBLOCK 1 ERROR", "CLUSTER SLOTS", "DBSIZE"] {
            assert_eq!(place(line), Place::Anywhere, "{line}");
        }
    }
}
