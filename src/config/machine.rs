//! What the machine, or the container, has to give: memory and cores.

use std::path::Path;

/// The machine that percentages and `"auto"` refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// The memory in bytes that this process may use; `None` if nothing says so.
    pub memory: Option<u64>,
    /// The cores that this process may use, at least 1.
    pub cores: usize,
}

impl Machine {
    /// Reads `/proc` and the cgroup this process is in: the smallest limit holds.
    #[must_use]
    pub fn detect() -> Self {
        let total = read("/proc/meminfo".as_ref()).and_then(|text| mem_total(&text));
        let cgroups = read("/proc/self/cgroup".as_ref()).unwrap_or_default();
        let limits = limit_files(&cgroups)
            .into_iter()
            .filter_map(|file| read(file.as_ref()))
            .filter_map(|text| text.trim().parse::<u64>().ok());
        Self {
            memory: limits.chain(total).min(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The files that hold limits for a process whose `/proc/self/cgroup` is `text`: its own group
/// and every group above. Without a limit they hold `max` (version 2) or 2^63 (version 1).
fn limit_files(text: &str) -> Vec<String> {
    /// Deeper nesting than any container runtime makes.
    const MAX_DEPTH: usize = 32;
    let mut files = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|c| c == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let mut path = path.trim_end_matches('/');
        for _ in 0..MAX_DEPTH {
            files.push(format!("{root}{path}/{file}"));
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => break,
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kibibytes() {
        let text = "MemFree: 1 kB\nMemTotal:       24689764 kB\n";
        assert_eq!(mem_total(text), Some(24_689_764 * 1024));
        assert_eq!(mem_total("MemTotal: many kB"), None);
    }

    #[test]
    fn limits_are_looked_for_up_to_the_root() {
        assert_eq!(
            limit_files("0::/a/b\n"),
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            limit_files("4:cpu:/x\n3:memory:/\n"),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        assert!(limit_files("garbage").is_empty());
    }

    #[test]
    fn this_machine_has_memory_and_cores() {
        let here = Machine::detect();
        assert!(here.cores >= 1);
        assert!(here.memory.is_none_or(|m| m > 1 << 20));
    }
}
