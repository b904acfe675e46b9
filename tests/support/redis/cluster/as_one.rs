//! A Cluster as if it was one server: for tests that know of one only.

use std::io::{BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};

use super::super::super::{Raw, Reply, raw, reply, wait_for};

/// A connection to all nodes: each request goes to where its keys are, or to everybody.
pub fn connect(nodes: Vec<Raw>) -> Raw {
    let (ours, theirs) = Raw::pair();
    let (send, requests) = channel();
    let mut from = BufReader::new(theirs.try_clone().expect("a socket"));
    // Requests are taken also while nobody takes the replies.
    std::thread::spawn(move || {
        while let Ok(request) = reply::read(&mut from, &mut Vec::new()) {
            if send.send(request).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || serve(Ends(theirs), &requests, nodes));
    ours
}

/// Our end. A server that dies is the end of the connection, also for whoever waits for an answer.
struct Ends(UnixStream);

impl Drop for Ends {
    fn drop(&mut self) {
        // The other end may have gone first.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Until the other end is gone.
fn serve(mut to: Ends, requests: &Receiver<Reply>, mut nodes: Vec<Raw>) {
    for request in requests {
        let words: Vec<String> = request.items().iter().map(Reply::text).collect();
        let reply = answer(&mut nodes, &words.iter().map(String::as_str).collect::<Vec<_>>());
        if to.0.write_all(&raw::encode_reply(&reply)).is_err() {
            return;
        }
    }
}

fn answer(nodes: &mut [Raw], words: &[&str]) -> Reply {
    let (name, rest) = words.split_first().expect("a command");
    match (&*name.to_ascii_uppercase(), rest) {
        ("MSET", pairs) => pairs
            .chunks(2)
            .map(|pair| there(nodes, &["SET", pair[0], pair[1]]))
            .reduce(together)
            .expect("a pair"),
        ("MGET", keys) => {
            Reply::Array(keys.iter().map(|key| there(nodes, &["GET", key])).collect())
        }
        ("DEL" | "UNLINK" | "EXISTS", keys) => {
            keys.iter().map(|key| there(nodes, &[name, key])).reduce(together).expect("a key")
        }
        (
            "ACL" | "CLIENT" | "CONFIG" | "DBSIZE" | "FLUSHALL" | "FLUSHDB" | "INFO" | "KEYS"
            | "SAVE",
            _,
        ) => nodes.iter_mut().map(|node| node.call(words)).reduce(together).expect("a node"),
        _ => there(nodes, words),
    }
}

/// The reply of whoever has the key. One that is on its way may arrive between two questions.
fn there(nodes: &mut [Raw], words: &[&str]) -> Reply {
    let sent_on = |reply: &Reply, word| reply.is_error() && reply.text().starts_with(word);
    wait_for("somebody has the key", || {
        let mut asks = false;
        for node in nodes.iter_mut() {
            let reply = node.call(words);
            if !sent_on(&reply, "MOVED") && !sent_on(&reply, "ASK") {
                return Some(reply);
            }
            asks |= sent_on(&reply, "ASK");
        }
        let mut arrived = nodes.iter_mut().filter(|_| asks).map(|node| {
            node.call(&["ASKING"]);
            node.call(words)
        });
        arrived.find(|reply| !sent_on(reply, "MOVED") && !sent_on(reply, "ASK"))
    })
}

/// What several answers are as one.
fn together(one: Reply, other: Reply) -> Reply {
    match (one, other) {
        (Reply::Int(one), Reply::Int(other)) => Reply::Int(one + other),
        (Reply::Array(mut one), Reply::Array(other)) => {
            one.extend(other);
            Reply::Array(one)
        }
        (Reply::Bulk(one), Reply::Bulk(other)) => Reply::Bulk([one, other].concat()),
        (error @ Reply::Error(_), _) => error,
        (_, other) => other,
    }
}
