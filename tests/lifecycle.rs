//! Start, stop, signals, exit codes.

use crate::support::Daemon;

#[test]
fn it_starts_and_stops() {
    let mut daemon = Daemon::start();
    assert_eq!(daemon.connect().run("PING").text(), "PONG");
    daemon.stop();
}
