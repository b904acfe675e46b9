//! The links in the tree: how they are restarted, and how many there are.

use std::time::Duration;

use seawall_actors::policy::breaker::WindowKind;
use seawall_actors::policy::{Backoff, BreakerOptions, BreakerSettings};
use seawall_actors::redis::{Link, Pool};
use seawall_actors::supervise::{
    ChildSpec, GivesUp, RemoveError, Restart, Strategy, SupervisorSpec, TreeHandle,
};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use crate::config::settings::Redis;

/// Where the links stand in the tree.
pub const LINKS: &str = "links";

/// How long to wait before the tree is asked again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The supervisor of the links; without a Redis it has none.
#[must_use]
pub fn supervisor(children: Vec<ChildSpec>) -> SupervisorSpec {
    let links = SupervisorSpec::new(LINKS, Strategy::OneForOne);
    children.into_iter().fold(links, SupervisorSpec::child)
}

/// As many links as the settings say, and those beside them.
pub(super) fn children(
    pool: &Pool,
    beside: [&Pool; 2],
    settings: &Redis,
    restart: &Restart,
) -> Vec<ChildSpec> {
    let links = (0..settings.links).map(|_| pool);
    links.chain(beside).map(|pool| link(pool, restart)).collect()
}

/// One link more.
fn link(pool: &Pool, restart: &Restart) -> ChildSpec {
    let (id, handle, args) = pool.add();
    let make = move || (Link, args.clone());
    ChildSpec::worker(id, handle, restart.clone(), make).gives_up(GivesUp::Degrade)
}

/// Backoff with full jitter, then the breaker.
pub(super) fn restart(breaker: watch::Receiver<BreakerSettings>) -> Restart {
    Restart { hold: Some(breaker.into()), delay: Backoff::default(), ..Restart::default() }
}

/// What opens the breaker: so many lives in a row that ended too early.
///
/// # Errors
/// The settings make no breaker; a rule of the configuration has missed it.
pub fn breaker(settings: &Redis) -> Result<BreakerSettings, String> {
    let link = &settings.link;
    BreakerSettings::try_new(BreakerOptions {
        window: WindowKind::Count(settings.breaker_failures),
        minimum_calls: settings.breaker_failures,
        failure_rate: 1.0,
        slow_calls: None,
        cool_down: settings.breaker_cool_down,
        cool_down_factor: 2.0,
        max_cool_down: settings.breaker_max_cool_down,
        permits: 1,
        // A link that hangs is found out by half of this: by then its life is a success.
        half_open_for: (link.connect_timeout + link.timeout + link.ping_every) * 2,
    })
    .map_err(|why| why.to_string())
}

/// Keeps as many links as are wanted, one change at a time, for as long as it is polled. A link
/// that is too many takes nothing new from the moment it is chosen, finishes what it has, and ends.
pub async fn follow(
    pool: Pool,
    tree: TreeHandle,
    restart: Restart,
    mut wanted: watch::Receiver<usize>,
) {
    // Out of the pool, and still in the tree.
    let mut leaving: Option<String> = None;
    loop {
        let want = *wanted.borrow_and_update();
        let have = pool.size();
        let done = if let Some(path) = leaving.take() {
            let gone = remove(&tree, &path).await;
            if gone.is_err() {
                leaving = Some(path);
            }
            gone
        } else if have < want {
            let added = tree.add(LINKS, link(&pool, &restart)).await;
            added.map(drop).map_err(|why| {
                // The newest: nobody else adds any.
                pool.remove();
                why.to_string()
            })
        } else {
            // The lead stays in any case.
            leaving = (have > want).then(|| pool.remove()).flatten().map(|id| path(&id));
            if leaving.is_none() && wanted.changed().await.is_err() {
                return;
            }
            Ok(())
        };
        if let Err(why) = done {
            warn!(links = have, wanted = want, %why, "the number of links could not be changed yet");
            let _ = timeout(TRY_AGAIN, wanted.changed()).await;
        }
    }
}

/// The path of a link, or of one beside them.
#[must_use]
pub fn path(id: &str) -> String {
    format!("{LINKS}/{id}")
}

/// Takes what is at this path out of the tree; fine if it is not there any more.
///
/// # Errors
/// It is there still; to be tried again.
pub async fn remove(tree: &TreeHandle, path: &str) -> Result<(), String> {
    match tree.remove(path).await {
        Ok(_)
        | Err(
            RemoveError::Unknown { .. }
            | RemoveError::Orphaned { .. }
            // Its supervisor has given it up, and says so.
            | RemoveError::Unkillable { .. },
        ) => Ok(()),
        Err(why) => Err(why.to_string()),
    }
}
