use seawall_actors::policy::BreakerOptions;

use crate::config::keys;

#[test]
fn every_value_that_the_keys_allow_makes_a_breaker() {
    let max = |path| match keys::find(path).expect(path).kind {
        crate::config::value::Kind::Duration { max, .. } => max,
        _ => panic!("{path} is a duration"),
    };
    let half_open =
        (max("redis.connect_timeout") + max("redis.timeout") + max("redis.ping_every")) * 2;
    assert!(half_open <= BreakerOptions::MAX_TIME);
    assert!(max("redis.breaker_max_cool_down") <= BreakerOptions::MAX_TIME);
}
