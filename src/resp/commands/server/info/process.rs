//! The process as the operating system sees it; 0 for what it does not tell.

use rustix::process::{Resource, getrlimit};

/// Kernel clock ticks per second in `/proc` (`USER_HZ`), the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// What INFO shows of the process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Process {
    pub resident_bytes: u64,
    pub peak_resident_bytes: u64,
    pub machine_bytes: u64,
    /// CPU time in the kernel and in user code, in hundredths of a second.
    pub system_ticks: u64,
    pub user_ticks: u64,
    pub open_files_limit: u64,
    pub os: String,
    pub executable: String,
}

impl Process {
    /// Reads `/proc`: memory files, which never wait for a disk.
    pub fn read() -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let status = file("/proc/self/status");
        let (user_ticks, system_ticks) = ticks(&file("/proc/self/stat")).unwrap_or_default();
        Self {
            resident_bytes: kilobytes(&status, "VmRSS:"),
            peak_resident_bytes: kilobytes(&status, "VmHWM:"),
            machine_bytes: kilobytes(&file("/proc/meminfo"), "MemTotal:"),
            system_ticks,
            user_ticks,
            open_files_limit: getrlimit(Resource::Nofile).current.unwrap_or(0),
            os: format!(
                "{} {} {}",
                file("/proc/sys/kernel/ostype").trim(),
                file("/proc/sys/kernel/osrelease").trim(),
                std::env::consts::ARCH
            ),
            executable: std::env::current_exe()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
        }
    }

    /// Ticks as seconds with six digits, as Redis writes CPU times.
    pub fn seconds(ticks: u64) -> String {
        let (whole, rest) = (ticks / TICKS_PER_SECOND, ticks % TICKS_PER_SECOND);
        format!("{whole}.{:06}", rest * (1_000_000 / TICKS_PER_SECOND))
    }
}

/// The number behind `name` in a file of lines like `VmRSS:   1024 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0).saturating_mul(1024)
}

/// `utime` and `stime` of `/proc/self/stat`: fields 14 and 15, counted behind the name in
/// brackets, which may hold spaces.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_proc_and_garbage_is_zero() {
        assert_eq!(kilobytes("VmHWM:\t 9 kB\nVmRSS:\t  12 kB\n", "VmRSS:"), 12 * 1024);
        assert_eq!(kilobytes("VmRSS: much\n", "VmRSS:"), 0);
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0";
        assert_eq!(ticks(stat), Some((150, 25)));
        assert_eq!(ticks("7 (a"), None);
        assert_eq!(Process::seconds(150), "1.500000");
    }
}
