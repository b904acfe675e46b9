//! A request with its retries, and the ways that a Cluster sends it.

use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::super::failure::{Failure, FailureKind};
use super::super::nodes::{Node, Redirect};
use super::super::pool::{Once, Request};
use super::super::retry::Next;
use super::super::settings::LinkSettings;
use super::wait::{lost, spoken};
use super::wire::Wire;
use super::{Dialect, Load, Passage, Replies, Target, Unblock, Wait, error_of};

/// Where a command waits, and as whom: each server, and each node of a Cluster, has numbers of its
/// own.
struct Waiting {
    settings: Arc<LinkSettings>,
    dialect: Dialect,
    node: Option<Node>,
    id: i64,
}

impl Waiting {
    fn on(wire: &Wire) -> Self {
        let Wire { settings, dialect, node, id, .. } = wire;
        Self { settings: Arc::clone(settings), dialect: *dialect, node: node.clone(), id: *id }
    }
}

/// How often a Cluster may send on a request.
const HOPS: usize = 5;

impl Passage {
    /// On the heap, and of a type that tells nothing: a connection's task is no larger for a
    /// command that it may never run.
    pub(super) fn with_retries<'a>(
        &'a self,
        load: Load<'a>,
        request: Request,
        wait: Wait,
    ) -> Pin<Box<dyn Future<Output = Result<Replies, Failure>> + Send + 'a>> {
        Box::pin(self.try_until_it_goes(load, request, wait))
    }

    async fn try_until_it_goes(
        &self,
        load: Load<'_>,
        request: Request,
        mut wait: Wait,
    ) -> Result<Replies, Failure> {
        let pool = &self.inner.pool;
        pool.earn();
        for attempt in 0.. {
            let failure = match self.attempt(load, request.deadline, &mut wait).await {
                Ok(replies) => return Ok(replies),
                Err(failure) => failure,
            };
            let again = request.once == Once::OrMore;
            match pool.after(&failure, again, attempt, request.deadline) {
                Next::Now => {}
                Next::After(wait) => tokio::time::sleep(wait).await,
                Next::Stop => return Err(failure),
            }
        }
        unreachable!("the loop ends by returning")
    }

    async fn attempt(
        &self,
        load: Load<'_>,
        deadline: Instant,
        wait: &mut Wait,
    ) -> Result<Replies, Failure> {
        self.inner.pool.ready(deadline).await?;
        let settings = self.settings();
        let slot = load.to.slot().filter(|_| settings.cluster);
        let mut node = slot.and_then(|slot| self.nodes(&settings).of_slot(slot));
        let mut asking = false;
        for _ in 0..HOPS {
            let mut wire = match load.to {
                Target::Node(only, of) if settings.is_at_the_same(of) => {
                    self.reach(&settings, load.dialect, Some(only.clone()), deadline).await?
                }
                Target::Node(..) => {
                    let text = "links lead to another Redis by now";
                    return Err(Failure::before(FailureKind::NoLink, text));
                }
                _ => self.connect(&settings, load.dialect, node.take(), deadline).await?,
            };
            let replies = self.answered(&mut wire, load, asking, wait).await?;
            let home = settings.home().map_or_else(|| "".into(), |home| home.host);
            let error = replies.iter().find_map(error_of);
            let redirect = error.and_then(|(code, text)| Redirect::of(code, text, &home));
            match redirect.filter(|_| settings.cluster) {
                // ASKING is for one command: a transaction waits until the slot has arrived.
                Some(redirect) if redirect.asking && load.count > 1 => {
                    self.put_back(wire);
                    let text = "a slot of the Cluster is on its way to another node";
                    return Err(Failure::before(FailureKind::Resharding, text));
                }
                Some(Redirect { slot, node: there, asking: once }) => {
                    self.put_back(wire);
                    if !once {
                        self.nodes(&settings).learn(slot, there.clone());
                    }
                    (node, asking) = (Some(there), once);
                }
                None => return self.judge(wire, replies),
            }
        }
        Err(Failure::before(FailureKind::Resharding, "the Cluster's nodes send in circles"))
    }

    /// Whether the replies are those of a Redis that can.
    fn judge(&self, wire: Wire, replies: Replies) -> Result<Replies, Failure> {
        let says_no = |reply| error_of(reply).and_then(|(code, text)| Failure::of_code(code, text));
        let failure = replies.iter().find_map(says_no);
        match failure {
            // Nothing of a transaction is executed if a part of it is refused.
            Some(failure) if failure.kind.breaks_the_link() => Err(failure),
            Some(failure) => {
                self.put_back(wire);
                Err(failure)
            }
            None => {
                self.put_back(wire);
                Ok(replies)
            }
        }
    }

    /// Sends the requests and waits for their replies.
    async fn answered(
        &self,
        wire: &mut Wire,
        load: Load<'_>,
        asking: bool,
        wait: &mut Wait,
    ) -> Result<Replies, Failure> {
        const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";
        let asked = asking.then(|| [ASKING, load.bytes].concat());
        let bytes = asked.as_deref().unwrap_or(load.bytes);
        let sent = Instant::now();
        let waiting = Waiting::on(wire);
        let mut live = self.inner.pool.live();
        let mut exchange = pin!(wire.exchange(bytes, load.count + usize::from(asking), load.most));
        loop {
            tokio::select! {
                biased;
                answered = &mut exchange => {
                    return answered.map(|all| if asking { all.rest() } else { all });
                }
                failure = lost(wait.until, &mut live, sent) => return Err(failure),
                word = spoken(&mut wait.word) => {
                    wait.word = None;
                    self.unblock(&waiting, word).await;
                }
                // Nobody pushes there any more.
                () = self.moved_from(&waiting.settings), if wait.word.is_some() => {
                    wait.word = None;
                    self.unblock(&waiting, Unblock::Timeout).await;
                }
            }
        }
    }

    /// Has Redis end a wait. It answers the command itself then; if it can't be told, that is found
    /// out by the wait.
    async fn unblock(&self, waiting: &Waiting, word: Unblock) {
        let Waiting { settings, dialect, node, id } = waiting;
        // To log in there the password of now is right, if that is still the place.
        let now = self.settings();
        let settings = if now.is_at_the_same(settings) { &now } else { settings };
        let deadline = Instant::now() + settings.timeout;
        let told = async {
            let mut wire = self.reach(settings, *dialect, node.clone(), deadline).await?;
            let mut command = redis::cmd("CLIENT");
            command.arg("UNBLOCK").arg(*id).arg(word.name());
            const MOST: usize = 64 << 10;
            wire.exchange(&command.get_packed_command(), 1, MOST).await?;
            self.put_back(wire);
            Ok::<_, Failure>(())
        };
        let _ = timeout_at(deadline, told).await;
    }
}
