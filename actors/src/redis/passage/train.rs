//! Several requests in one piece, as a client's pipeline has them: written at once, answered one
//! after the other.
//!
//! They are sent once and over one connection, so Redis executes them in their order. None is sent
//! again on its own here, since it would be executed behind those that followed it. What comes of
//! the others when one has failed is for whoever sent them to decide.

use tokio::time::Instant;

use super::super::failure::{Executed, Failure, FailureKind};
use super::super::nodes::{Redirect, slot_of};
use super::wait::lost;
use super::wire::{Incoming, Wire};
use super::{Load, Passage, Replies, error_of};

/// What came of requests that were sent in one piece.
#[derive(Debug)]
pub struct Train {
    replies: Replies,
    refused: Vec<(usize, Failure)>,
    rest: Option<Failure>,
    /// When the time of those is over that were not answered.
    pub deadline: Instant,
}

/// What came of one of them.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// Redis' reply.
    Reply(&'a [u8]),
    /// None; it says whether it was executed.
    Failed(&'a Failure),
}

impl Outcome<'_> {
    /// Whether it surely had no effect.
    #[must_use]
    pub fn is_unexecuted(self) -> bool {
        matches!(self, Self::Failed(failure) if failure.executed == Executed::No)
    }
}

impl Train {
    fn none(failure: Failure, deadline: Instant) -> Self {
        let (replies, refused) = (Replies::default(), Vec::new());
        Self { replies, refused, rest: Some(failure), deadline }
    }

    /// Whether each has its reply.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.refused.is_empty() && self.rest.is_none()
    }

    /// What came of each, in order. Ends only if all were answered.
    pub fn outcomes(&self) -> impl Iterator<Item = Outcome<'_>> {
        let failed = |at| self.refused.iter().find(|(n, _)| *n == at).map(|(_, failure)| failure);
        let answered = self.replies.iter().enumerate();
        let answered = answered.map(move |(at, reply)| match failed(at) {
            Some(failure) => Outcome::Failed(failure),
            None => Outcome::Reply(reply),
        });
        answered.chain(
            std::iter::repeat_with(|| self.rest.as_ref())
                .map_while(|rest| rest)
                .map(Outcome::Failed),
        )
    }
}

impl Passage {
    /// Whether requests with these keys may go in one piece: a Cluster has to have them on one node.
    #[must_use]
    pub fn fits_together(&self, one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
        let same = || one.map(slot_of) == other.map(slot_of);
        !self.settings().cluster || same()
    }

    /// Sends requests in one piece over one connection. Each has the links' timeout for itself:
    /// the first until `deadline`, and each of the others from the reply before it.
    ///
    /// A Cluster's redirections are failures here. `most` of the load is for all replies together.
    pub async fn together(&self, load: Load<'_>, deadline: Instant) -> Train {
        let train = match self.seat(load.count, deadline).await {
            Ok(_seat) => match self.reach_for(&load, deadline).await {
                Ok(wire) => self.travel(wire, load, deadline).await,
                Err(failure) => Train::none(failure, deadline),
            },
            Err(failure) => Train::none(failure, deadline),
        };
        let failures = train.rest.iter().chain(train.refused.iter().map(|(_, failure)| failure));
        failures.for_each(|failure| self.inner.pool.failed(failure.kind));
        train
    }

    async fn reach_for(&self, load: &Load<'_>, deadline: Instant) -> Result<Wire, Failure> {
        let pool = &self.inner.pool;
        (0..load.count).for_each(|_| pool.earn());
        pool.ready(deadline).await?;
        let settings = self.settings();
        let slot = load.to.slot().filter(|_| settings.cluster);
        let node = slot.and_then(|slot| self.nodes(&settings).of_slot(slot));
        self.connect(&settings, load.dialect, node, deadline).await
    }

    async fn travel(&self, mut wire: Wire, load: Load<'_>, mut deadline: Instant) -> Train {
        let mut incoming = Incoming::default();
        let ended = self.carry(&mut wire, load, &mut incoming, &mut deadline).await;
        let (replies, rest) = match ended {
            Ok(()) => match incoming.finish() {
                Ok(replies) => (replies, None),
                // Nobody knows which reply is whose.
                Err(failure) => return Train::none(failure, deadline),
            },
            Err(failure) => (incoming.whole(), Some(failure)),
        };
        let numbered = replies.iter().enumerate();
        let refused: Vec<(usize, Failure)> =
            numbered.filter_map(|(at, reply)| Some((at, self.refusal(&wire, reply)?))).collect();
        if rest.is_none() && !refused.iter().any(|(_, failure)| failure.kind.breaks_the_link()) {
            self.put_back(wire);
        }
        Train { replies, refused, rest, deadline }
    }

    /// Sends them, and waits for each reply.
    async fn carry(
        &self,
        wire: &mut Wire,
        load: Load<'_>,
        incoming: &mut Incoming,
        deadline: &mut Instant,
    ) -> Result<(), Failure> {
        let pool = &self.inner.pool;
        let (mut live, mut since) = (pool.live(), Instant::now());
        tokio::select! {
            biased;
            sent = wire.send(load.bytes) => sent?,
            failure = lost(Some(*deadline), &mut live, since) => return Err(failure),
        }
        for _ in 0..load.count {
            tokio::select! {
                biased;
                received = wire.receive(incoming, load.most) => received?,
                failure = lost(Some(*deadline), &mut live, since) => return Err(failure),
            }
            since = Instant::now();
            *deadline = since + pool.settings().timeout;
        }
        Ok(())
    }

    /// What a reply means that says that this Redis can't now.
    fn refusal(&self, wire: &Wire, reply: &[u8]) -> Option<Failure> {
        let (code, text) = error_of(reply)?;
        let settings = &wire.settings;
        let home = settings.home().map_or_else(|| "".into(), |home| home.host);
        match Redirect::of(code, text, &home).filter(|_| settings.cluster) {
            Some(Redirect { slot, node, asking }) => {
                if !asking {
                    self.nodes(settings).learn(slot, node);
                }
                Some(Failure::before(FailureKind::Resharding, format!("{code} {text}")))
            }
            None => Failure::of_code(code, text),
        }
    }
}
