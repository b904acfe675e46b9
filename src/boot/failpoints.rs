//! Failpoints that are armed before the start. Only in builds that have them, which serve nobody.

use seawall_actors::failpoint::{self, ArmError};
use tracing::warn;

/// Lays the scripts of the environment.
///
/// # Errors
/// One of them makes no sense.
pub(super) fn arm() -> Result<(), ArmError> {
    let Some(list) =
        failpoint::COMPILED_IN.then(|| std::env::var_os(failpoint::VARIABLE)).flatten()
    else {
        return Ok(());
    };
    let list = list.to_string_lossy();
    warn!(list = &*list, "failpoints are armed: this daemon will fail on purpose");
    failpoint::arm_all(&list)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use seawall_actors::failpoint::Point;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/failpoints.md");
    const BEGIN: &str = "<!-- failpoints: generated; do not edit -->\n";
    const END: &str = "<!-- end of failpoints -->";

    #[test]
    fn every_failpoint_is_documented() {
        let mut wanted = String::from("\n| failpoint | where it is |\n|---|---|\n");
        for point in Point::ALL {
            writeln!(wanted, "| `{}` | {} |", point.name(), point.meaning()).unwrap();
        }
        wanted.push('\n');
        let page = std::fs::read_to_string(PAGE).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the table's beginning");
        let (between, after) = rest.split_once(END).expect("the table's end");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(PAGE, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        } else {
            assert_eq!(between, wanted, "run UPDATE_DOCS=1 cargo test -p seawall failpoint");
        }
    }
}
