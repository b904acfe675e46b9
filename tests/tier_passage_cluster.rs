//! Commands that Redis runs, on a Cluster: pipelines while a slot moves, and scripts, which every node
//! keeps for itself.

use crate::support::redis::cluster::Cluster;
use crate::support::tier::Tier;
use crate::support::{Daemon, Raw, Reply, wait_until};
use crate::tier_passage_pipelines::run;

/// A daemon that has all the time of the world.
fn before(cluster: &Cluster) -> Daemon {
    let url = format!(r#""redis://{}""#, cluster.nodes[0].proxy.address());
    let setup = Tier::setup().with("redis.url", &url).with("redis.cluster", "true");
    setup.with("redis.timeout", r#""10s""#).with("redis.connect_timeout", r#""10s""#).start()
}

/// The pieces of a pipeline go to the nodes that have the slots, and follow a slot that moves.
#[test]
fn a_pipeline_through_a_cluster_keeps_its_order_while_a_slot_moves() {
    let Some(cluster) = Cluster::start(3) else { return };
    let daemon = before(&cluster);
    let mut client = daemon.connect();
    wait_until("the links are up", || !client.run("LLEN {t}0").is_error());
    let (slot, from) = cluster.place("{t}0");
    let to = (from + 1) % 3;
    let mut length = 0;
    for step in 0..4 {
        match step {
            1 => {
                cluster.begin_move(slot, from, to);
                cluster.move_keys(slot, from, to);
            }
            2 => cluster.end_move(slot, to),
            _ => {}
        }
        // Runs of one slot, and others between them.
        let keys = ["{t}0", "{t}1", "{t}0", "a", "b", "{t}0"].repeat(4);
        let pushes: Vec<String> = keys.iter().map(|key| format!("RPUSH {key} {step}")).collect();
        let replies = run(&mut client, &pushes);
        let errors: Vec<&Reply> = replies.iter().filter(|reply| reply.is_error()).collect();
        assert!(errors.is_empty(), "step {step}: {errors:?}");
        let of_first: Vec<Reply> = replies
            .iter()
            .zip(&pushes)
            .filter(|(_, push)| push.starts_with("RPUSH {t}0"))
            .map(|(reply, _)| reply.clone())
            .collect();
        let wanted: Vec<Reply> = (length + 1..).map(Reply::Int).take(of_first.len()).collect();
        assert_eq!(of_first, wanted, "step {step}");
        length += 12;
    }
}

/// SCRIPT LOAD went to one node, and EVALSHA of a key of another was `NOSCRIPT`, however often the client
/// loaded it.
#[test]
fn scripts_and_functions_are_known_to_every_node_of_a_cluster() {
    const SCRIPT: &str = "return redis.call('incr',KEYS[1])";
    const LIBRARY: &str = "#!lua name=l\nredis.register_function('f',function(keys) \
                           return redis.call('incr',keys[1]) end)";
    let Some(mut cluster) = Cluster::start(3) else { return };
    let daemon = before(&cluster);
    let mut client = daemon.connect();
    // A key of each node.
    let key = |node: usize| (0..).map(|n| format!("k{n}")).find(|key| cluster.place(key).1 == node);
    let keys: Vec<String> = (0..3).map(|node| key(node).expect("one")).collect();
    wait_until("the links are up", || !client.run("LLEN list").is_error());
    let sha = client.call(&["SCRIPT", "LOAD", SCRIPT]).text();
    let each = |client: &mut Raw, line: &str, name: &str| -> Vec<Reply> {
        keys.iter().map(|key| client.run(&format!("{line} {name} 1 {key}"))).collect()
    };
    assert_eq!(each(&mut client, "EVALSHA", &sha), [1, 1, 1].map(Reply::Int));
    assert_eq!(client.call(&["FUNCTION", "LOAD", LIBRARY]), Reply::bulk("l"));
    assert_eq!(each(&mut client, "FCALL", "f"), [2, 2, 2].map(Reply::Int));
    assert!(client.call(&["FUNCTION", "LOAD", LIBRARY]).text().contains("already exists"));
    assert!(client.call(&["SCRIPT", "LOAD", "no script"]).text().contains("compiling"));
    assert!(client.run("SCRIPT KILL").text().starts_with("NOTBUSY"));
    // In a pipeline, too, between others that have no keys.
    let lines = ["SCRIPT FLUSH", "FUNCTION LIST", "FUNCTION DELETE l", "SCRIPT EXISTS none"];
    let replies = run(&mut client, &lines);
    assert_eq!([&replies[0], &replies[2]], [&Reply::ok(), &Reply::ok()], "{replies:?}");
    assert_eq!(replies[3], Reply::Array([Reply::Int(0)].into()));
    let unknown = |reply: &Reply| reply.text().starts_with("NOSCRIPT");
    assert!(each(&mut client, "EVALSHA", &sha).iter().all(unknown));
    let gone = |reply: &Reply| reply.text().contains("Function not found");
    assert!(each(&mut client, "FCALL", "f").iter().all(gone));
    // One that is away is told when it lacks a script; a function is to be everywhere.
    cluster.nodes[2].server.kill();
    wait_until("it is loaded elsewhere", || {
        client.call(&["SCRIPT", "LOAD", SCRIPT]) == Reply::bulk(&sha)
    });
    for key in &keys[..2] {
        assert_eq!(client.run(&format!("EVALSHA {sha} 1 {key}")), Reply::Int(3));
    }
    let error = client.call(&["FUNCTION", "LOAD", LIBRARY]).text();
    assert!(error.starts_with("TIERDOWN outcome unknown"), "{error}");
}
