use crate::resp::commands::testing::World;

#[test]
fn integers_end_where_64_bits_end() {
    let mut world = World::new(1);
    world.run("SET n 9223372036854775806");
    assert_eq!(world.run("INCR n"), ":9223372036854775807\r\n");
    assert_eq!(world.run("INCR n"), "-ERR increment or decrement would overflow\r\n");
    let decrement = world.run("DECRBY n -9223372036854775808");
    assert_eq!(decrement, "-ERR decrement would overflow\r\n");
    world.run("SET n 01");
    assert_eq!(world.run("INCR n"), "-ERR value is not an integer or out of range\r\n");
    assert_eq!(world.run("GET n"), "$2\r\n01\r\n");
}

#[test]
fn floats_print_as_people_write_them() {
    let mut world = World::new(1);
    world.run("SET f 10.50");
    assert_eq!(world.run("INCRBYFLOAT f 0.1"), "$4\r\n10.6\r\n");
    assert_eq!(world.run("INCRBYFLOAT f inf"), "-ERR increment would produce NaN or Infinity\r\n");
    assert_eq!(world.run("INCRBYFLOAT f nan"), "-ERR value is not a valid float\r\n");
    world.run("SET f 5.0e3");
    assert_eq!(world.run("INCRBYFLOAT f 2.0e2"), "$4\r\n5200\r\n");
}
