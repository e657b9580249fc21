//! What this machine has.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes of memory that this process may come to use: the machine's, or the limit of the control
/// group it is in, whichever is less. `None` where the system does not tell.
#[must_use]
pub fn memory() -> Option<u64> {
    let total = fs::read_to_string("/proc/meminfo").ok();
    let total = total.and_then(|text| of_meminfo(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = limit_of_groups(&groups, Path::new("/sys/fs/cgroup"));
    total.into_iter().chain(limit).min()
}

/// Forgets how much memory this process took, so that [`peak`] speaks of what comes now.
pub fn forget_peak() {
    // What the system does not let us forget makes the next peak too high, nothing else.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most bytes of memory that this process took at once; `None` where the system does not tell.
#[must_use]
pub fn peak() -> Option<u64> {
    kibibytes_of(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// An NVIDIA card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// As its maker calls it.
    pub name: String,
    /// Bytes of its memory.
    pub memory: u64,
}

/// A card by CUDA's count, as `nvidia-smi` knows it: asking the driver itself would take some hundred
/// megabytes of the card. `None` where there is no such program or card.
#[must_use]
pub fn card(ordinal: usize) -> Option<Card> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    let asked = Command::new("nvidia-smi")
        .args([
            "--query-gpu=name,memory.total",
            "--format=csv,noheader,nounits",
        ])
        .arg(format!("--id={}", visible_card(&visible, ordinal)))
        .stdin(Stdio::null())
        .output()
        .ok()?;
    of_nvidia_smi(&String::from_utf8_lossy(&asked.stdout))
}

/// Which of the machine's cards a process sees as this one, by `CUDA_VISIBLE_DEVICES`.
#[must_use]
pub fn visible_card(visible: &str, ordinal: usize) -> String {
    let card = visible.split(',').map(str::trim).nth(ordinal);
    let card = card.filter(|card| !card.is_empty());
    card.map_or_else(|| ordinal.to_string(), str::to_owned)
}

fn of_nvidia_smi(text: &str) -> Option<Card> {
    let (name, mebibytes) = text.lines().next()?.rsplit_once(',')?;
    let mebibytes: u64 = mebibytes.trim().parse().ok()?;
    Some(Card {
        name: name.trim().to_owned(),
        memory: mebibytes.checked_mul(1 << 20)?,
    })
}

fn of_meminfo(text: &str) -> Option<u64> {
    kibibytes_of(text, "MemTotal:")
}

/// A number of the system's lists, in bytes.
fn kibibytes_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The least limit on the way from this process's group to the root, in either form of control
/// groups.
fn limit_of_groups(groups: &str, root: &Path) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (base, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        let inner = base.join(path.trim_start_matches('/'));
        for folder in inner.ancestors() {
            // "max", and a number of pages beyond every machine, mean no limit.
            let limit = fs::read_to_string(folder.join(file)).ok();
            let limit = limit.and_then(|text| text.trim().parse::<u64>().ok());
            least = least.into_iter().chain(limit).min();
            if folder == base {
                break;
            }
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_known_by_nvidia_smi() {
        let card = Card {
            name: "NVIDIA GeForce RTX 3090".to_owned(),
            memory: 24_576 << 20,
        };
        assert_eq!(
            of_nvidia_smi("NVIDIA GeForce RTX 3090, 24576\n"),
            Some(card)
        );
        assert_eq!(of_nvidia_smi("No devices were found\n"), None);
        assert_eq!(of_nvidia_smi(""), None);
        assert_eq!(visible_card("", 1), "1");
        assert_eq!(visible_card("3, GPU-1a2b", 1), "GPU-1a2b");
    }

    #[test]
    fn the_least_limit_holds() {
        assert_eq!(
            of_meminfo("MemTotal:  24 kB\nMemFree: 1 kB\n"),
            Some(24 << 10)
        );
        assert_eq!(of_meminfo("MemFree: 1 kB\n"), None);
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let deep = root.join("jobs/one");
        fs::create_dir_all(&deep).expect("folders");
        fs::write(root.join("jobs/memory.max"), "5000\n").expect("a file");
        fs::write(deep.join("memory.max"), "max\n").expect("a file");
        assert_eq!(limit_of_groups("0::/jobs/one\n", root), Some(5000));
        assert_eq!(limit_of_groups("0::/\n", root), None);
        let old = root.join("memory/jobs");
        fs::create_dir_all(&old).expect("folders");
        fs::write(old.join("memory.limit_in_bytes"), "4000").expect("a file");
        let groups = "5:cpu:/\n4:hugetlb,memory:/jobs\n0::/jobs/one\n";
        assert_eq!(limit_of_groups(groups, root), Some(4000));
        assert!(memory().is_none_or(|bytes| bytes > 1 << 20));
    }
}
