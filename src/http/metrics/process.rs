//! The process as the operating system sees it. What a system does not tell is left out.

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use seawall_actors::clock::UnixMs;
use seawall_actors::metrics::Sample;

use super::catalog as m;

/// Reads it. Off the runtime's threads: listing ten thousand descriptors takes milliseconds.
pub async fn read(started: UnixMs) -> Sample {
    tokio::task::spawn_blocking(move || read_blocking(started)).await.unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "seconds for people")]
fn read_blocking(started: UnixMs) -> Sample {
    let mut s = Sample::new();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    s.number(&m::CPU, &[], cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    s.number(&m::START_TIME, &[], started as f64 / 1e3);
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let status = parse_status(&status);
        for (metric, value) in [
            (&m::RESIDENT, status.resident_bytes),
            (&m::VIRTUAL, status.virtual_bytes),
            (&m::THREADS, status.threads),
        ] {
            if let Some(value) = value {
                s.count(metric, &[], value);
            }
        }
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the listing's own.
        let open = u64::try_from(open.count()).unwrap_or(u64::MAX);
        s.count(&m::OPEN_FDS, &[], open.saturating_sub(1));
    }
    if let Some(max) = getrlimit(Resource::Nofile).current {
        s.count(&m::MAX_FDS, &[], max);
    }
    s
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<u64>,
}

/// Reads the lines of `/proc/self/status` that matter (proc_pid_status(5)).
fn parse_status(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let mut words = rest.split_whitespace();
        let Some(number) = words.next().and_then(|w| w.parse::<u64>().ok()) else { continue };
        let bytes = if words.next() == Some("kB") { number.saturating_mul(1024) } else { number };
        match name {
            "VmRSS" => status.resident_bytes = Some(bytes),
            "VmSize" => status.virtual_bytes = Some(bytes),
            "Threads" => status.threads = Some(number),
            _ => {}
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_by_name_and_unit() {
        let text = "Name:\tseawall\nVmSize:\t  2048 kB\nVmRSS:\t    1024 kB\nThreads:\t7\nBad: x\n";
        let expected = Status {
            resident_bytes: Some(1024 * 1024),
            virtual_bytes: Some(2 * 1024 * 1024),
            threads: Some(7),
        };
        assert_eq!(parse_status(text), expected);
        assert_eq!(parse_status("garbage\nVmRSS: huge kB\n"), Status::default());
    }
}
