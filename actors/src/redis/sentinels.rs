//! Who the master is, by the Sentinels' word, while a connection to one lives.
//!
//! In a planned failover the old master takes reads and writes for seconds after another is named,
//! and says nothing. What it acknowledges then is lost, so the Sentinels are asked again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::dial::Sentinels;
use super::pool::Slot;
use super::settings::LinkSettings;

/// They are asked no more often, since whoever they name is asked, too, on a connection of its own.
const NOT_SOONER: Duration = Duration::from_secs(1);

/// Asks them every `ping_every` while this link has a connection, and names whoever is another by
/// now. One that does not answer says nothing about the link. Never ends.
pub(super) async fn watch_master(slot: Arc<Slot>) {
    let mut asked: Option<(Arc<LinkSettings>, Sentinels)> = None;
    loop {
        sleep(slot.settings().ping_every.max(NOT_SOONER)).await;
        let with = slot.made_with().filter(|with| !with.sentinels.is_empty());
        let Some(with) = with else {
            asked = None;
            continue;
        };
        let kept = asked.take().filter(|(of, _)| Arc::ptr_eq(of, &with));
        let ask = async {
            let mut sentinels = match kept {
                Some((_, sentinels)) => sentinels,
                None => Sentinels::of(&with).await?,
            };
            let master = sentinels.master().await?;
            Ok::<_, super::Failure>((sentinels, master))
        };
        match timeout(with.connect_timeout, ask).await {
            Ok(Ok((sentinels, master))) => {
                if slot.name(&with, &master) {
                    let at = with.shown();
                    info!(at, %master, "the Sentinels name another master; the links go there");
                }
                asked = Some((with, sentinels));
            }
            Ok(Err(error)) => debug!(%error, "no word of the Sentinels"),
            Err(_) => debug!(within = ?with.connect_timeout, "no word of the Sentinels"),
        }
    }
}
