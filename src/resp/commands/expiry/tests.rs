use crate::resp::commands::testing::{START, World};

#[test]
fn conditions_compare_with_the_current_expiry() {
    let mut world = World::new(1);
    world.run("SET k v");
    for (line, reply) in [
        ("EXPIRE k 100 XX", 0),
        ("EXPIRE k 100 GT", 0),
        ("EXPIRE k 100 LT", 1),
        ("EXPIRE k 50 NX", 0),
        ("EXPIRE k 50 GT", 0),
        ("EXPIRE k 100 GT", 0),
        ("EXPIRE k 150 GT XX", 1),
        ("EXPIRE k 150 LT", 0),
        ("EXPIRE k -1 LT", 1),
        ("EXISTS k", 0),
    ] {
        assert_eq!(world.run(line), format!(":{reply}\r\n"), "{line}");
    }
}

#[test]
fn times_round_to_the_nearest_second() {
    let mut world = World::new(1);
    world.run("SET k v PX 1500");
    assert_eq!(world.run("TTL k"), ":2\r\n");
    world.now += 1;
    assert_eq!(world.run("TTL k"), ":1\r\n");
    assert_eq!(world.run("PTTL k"), ":1499\r\n");
    assert_eq!(world.run("PEXPIRETIME k"), format!(":{}\r\n", START + 1500));
    assert_eq!(world.run("EXPIRETIME k"), format!(":{}\r\n", START / 1000 + 2));
    world.now += 1499;
    assert_eq!(world.run("TTL k"), ":-2\r\n");
}

#[test]
fn an_expiry_that_changes_nothing_leaves_no_effect() {
    let mut world = World::new(1);
    world.run("SET k v");
    world.effects();
    world.run("PERSIST k");
    world.run("EXPIRE k 10 XX");
    world.run("GETEX k PERSIST");
    assert!(world.effects().is_empty());
}
