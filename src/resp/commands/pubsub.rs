//! PUBLISH, SUBSCRIBE and their like: what they answer. Who listens to what is in
//! [`crate::pubsub`].

use super::subcommand;
use crate::glob::Glob;
use crate::pubsub::{Message, Name, Space};
use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{AsyncFn, BoxFuture, Command, Family, Flags, Keys, Run, Subcommand, sub};

const FLAGS: Flags = Flags::PUBSUB.and(Flags::LOADING);
const FAST: Flags = FLAGS.and(Flags::FAST);

/// The commands of this family.
pub const COMMANDS: &[Command] = &[
    Command::new("publish", 3, FAST, Keys::NONE, Family::PubSub, Run::Async(publish)).doc(
        "2.0.0",
        "Sends a message to all who have subscribed to a channel; returns how many those are.",
        "channel message",
        "O(N + M) for N subscribers of the channel and M patterns of all clients",
    ),
    listening("subscribe", -2, Keys::NONE, |s, a, r| Box::pin(subscribe(Space::Channel, s, a, r))).doc(
        "2.0.0",
        "Listens to channels.",
        "channel [channel …]",
        "O(N) for N channels",
    ),
    listening("unsubscribe", -1, Keys::NONE, |s, a, r| Box::pin(unsubscribe(Space::Channel, s, a, r))).doc(
        "2.0.0",
        "Listens no more to channels, or to any.",
        "[channel [channel …]]",
        "O(N) for N channels",
    ),
    listening("psubscribe", -2, Keys::NONE, |s, a, r| Box::pin(subscribe(Space::Pattern, s, a, r))).doc(
        "2.0.0",
        "Listens to every channel whose name matches a pattern.",
        "pattern [pattern …]",
        "O(N) for N patterns",
    ),
    listening("punsubscribe", -1, Keys::NONE, |s, a, r| Box::pin(unsubscribe(Space::Pattern, s, a, r))).doc(
        "2.0.0",
        "Listens no more by patterns, or by any.",
        "[pattern [pattern …]]",
        "O(N) for N patterns",
    ),
    Command::new("spublish", 3, FAST, Keys::ONE, Family::PubSub, Run::Async(spublish)).doc(
        "7.0.0",
        "Sends a message to all who have subscribed to a shard channel; returns how many.",
        "shardchannel message",
        "O(N) for N subscribers",
    ),
    listening("ssubscribe", -2, Keys::ALL, |s, a, r| Box::pin(subscribe(Space::Shard, s, a, r))).doc(
        "7.0.0",
        "Listens to shard channels: here, a second set of channels, which patterns do not reach.",
        "shardchannel [shardchannel …]",
        "O(N) for N channels",
    ),
    listening("sunsubscribe", -1, Keys::ALL, |s, a, r| Box::pin(unsubscribe(Space::Shard, s, a, r))).doc(
        "7.0.0",
        "Listens no more to shard channels, or to any.",
        "[shardchannel [shardchannel …]]",
        "O(N) for N channels",
    ),
    Command::new("pubsub", -2, FLAGS, Keys::NONE, Family::PubSub, Run::Session(pubsub))
        .doc(
            "2.8.0",
            "Tells who listens to what.",
            "subcommand [argument …]",
            "O(N) for N channels, of all where they are searched",
        )
        .with(SUBCOMMANDS),
];

/// All of them wait, or they would not be run in their order by EXEC.
const fn listening(name: &'static str, arity: i8, keys: Keys, run: AsyncFn) -> Command {
    Command::new(name, arity, FLAGS, keys, Family::PubSub, Run::Async(run))
}

const SUBCOMMANDS: &[Subcommand] = &[
    sub("channels", -2, "[pattern]", "Answers the channels that somebody has subscribed to."),
    sub("help", 2, "", "Prints this help."),
    sub("numpat", 2, "", "Answers how many different patterns are subscribed to."),
    sub("numsub", -2, "[channel [channel …]]", "Answers the number of subscribers of channels."),
    sub("shardchannels", -2, "[pattern]", "The same as CHANNELS, of shard channels."),
    sub("shardnumsub", -2, "[shardchannel …]", "The same as NUMSUB, of shard channels."),
];

// === PUBLISH ===

fn publish<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(send(Space::Channel, session, args, reply))
}

fn spublish<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(send(Space::Shard, session, args, reply))
}

async fn send(
    space: Space,
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let message = Message::new(space, args.get(1), args.get(2));
    let received = session.daemon.pubsub().publish(message).await?;
    reply.int(i64::try_from(received).unwrap_or(i64::MAX));
    Ok(())
}

// === SUBSCRIBE and UNSUBSCRIBE ===

async fn subscribe(
    space: Space,
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let subscriber = session.subscriber();
    let names: Vec<&[u8]> = args.from(1).collect();
    let fresh = names.iter().copied().filter(|name| !subscriber.holds(space, name));
    let fresh: Vec<&[u8]> = fresh.collect();
    let counts = subscriber.subscribe(space, names.iter().copied())?;
    if let Err(refusal) = session.daemon.pubsub().confirmed(space, &fresh).await {
        session.subscriber().unsubscribe(space, fresh.into_iter());
        return Err(refusal);
    }
    for (name, count) in names.into_iter().zip(counts) {
        confirm(verbs(space).0, Some(name), count, reply);
    }
    Ok(())
}

async fn unsubscribe(
    space: Space,
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (subscriber, verb) = (session.subscriber(), verbs(space).1);
    let all: Vec<Name>;
    let names: Vec<&[u8]> = if args.len() > 1 {
        args.from(1).collect()
    } else {
        all = subscriber.names(space);
        all.iter().map(AsRef::as_ref).collect()
    };
    let counts = subscriber.unsubscribe(space, names.iter().copied());
    if names.is_empty() {
        confirm(verb, None, subscriber.count(space), reply);
    }
    for (name, count) in names.into_iter().zip(counts) {
        confirm(verb, Some(name), count, reply);
    }
    Ok(())
}

const fn verbs(space: Space) -> (&'static str, &'static str) {
    match space {
        Space::Channel => ("subscribe", "unsubscribe"),
        Space::Pattern => ("psubscribe", "punsubscribe"),
        Space::Shard => ("ssubscribe", "sunsubscribe"),
    }
}

fn confirm(verb: &str, name: Option<&[u8]>, count: usize, reply: &mut Reply<'_>) {
    reply.push(3);
    reply.bulk(verb.as_bytes());
    reply.bulk_or_null(name);
    reply.count(count);
}

// === PUBSUB ===

fn pubsub(session: &mut Session, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    match subcommand::find("pubsub", SUBCOMMANDS, args)?.name {
        "channels" => channels(Space::Channel, session, args, reply)?,
        "numpat" => reply.count(session.daemon.pubsub().figures().names(Space::Pattern)),
        "numsub" => listeners(Space::Channel, session, args, reply),
        "shardchannels" => channels(Space::Shard, session, args, reply)?,
        "shardnumsub" => listeners(Space::Shard, session, args, reply),
        _ => subcommand::help("pubsub", SUBCOMMANDS, reply),
    }
    Ok(())
}

fn channels(
    space: Space,
    session: &Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    if args.len() > 3 {
        let sub = subcommand::shown(args.get(1));
        return Err(Refusal::other(format!(
            "ERR unknown subcommand or wrong number of arguments for '{sub}'. Try PUBSUB HELP."
        )));
    }
    let glob = (args.len() == 3).then(|| Glob::new(args.get(2)));
    let wanted = |name: &[u8]| glob.as_ref().is_none_or(|glob| glob.matches(name));
    let names = session.daemon.pubsub().names(space, wanted);
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn listeners(space: Space, session: &Session, args: &Args<'_>, reply: &mut Reply<'_>) {
    let pubsub = session.daemon.pubsub();
    // No map, not even in RESP3.
    reply.array(2 * (args.len() - 2));
    for name in args.from(2) {
        reply.bulk(name);
        reply.count(pubsub.listeners(space, name));
    }
}

#[cfg(test)]
mod tests;
