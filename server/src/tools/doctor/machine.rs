//! The machine a node runs on, if it is this one: its disk and its limits.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Findings, Seen};

/// Below these shares of the disk, and these many bytes, there is little room, or hardly any.
const ROOM_WARN: (f64, u64) = (0.15, 4 << 30);
const ROOM_FAIL: (f64, u64) = (0.03, 512 << 20);
/// How many synced writes are tried, how large each is, and how long they may take together.
const SYNCS: usize = 20;
const SYNC_BYTES: usize = 4_096;
const SYNCS_TIME: Duration = Duration::from_secs(5);
/// A synced write that takes so long holds every writer up.
const SYNC_WARN: Duration = Duration::from_millis(10);
const SYNC_FAIL: Duration = Duration::from_millis(200);
/// Files, of which every client, link and table of the storage is one.
const FILES_WARN: u64 = 10_000;
const FILES_FAIL: u64 = 512;

/// Looks at disk and limits; false if the node is on another machine.
pub(super) fn check(seen: &Seen, findings: &mut Findings) -> bool {
    let (directory, process) = (seen.setting("dir"), seen.info("process_id"));
    let is_here = crate::tools::client::is_of_this_machine(&seen.address);
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits"));
    if !is_here || limits.is_err() {
        return false;
    }
    check_files(&seen.name, &limits.unwrap_or_default(), findings);
    if !directory.is_empty() {
        check_room(&seen.name, Path::new(&directory), findings);
        check_syncs(&seen.name, Path::new(&directory), findings);
    }
    true
}

fn check_files(name: &str, limits: &str, findings: &mut Findings) {
    // Max open files            1024                 1048576              files
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit = line.and_then(|line| line.split_whitespace().next()).and_then(|limit| limit.parse::<u64>().ok());
    let Some(limit) = limit else { return findings.ok(format!("{name} may open any number of files")) };
    let text = format!("{name} may open {limit} files, of which each client is one");
    match limit {
        ..FILES_FAIL => findings.fail(format!("{text}: start it with more (ulimit -n, LimitNOFILE= of systemd)")),
        FILES_FAIL..FILES_WARN => {
            findings.warn(format!("{text}: with many clients start it with more (ulimit -n, LimitNOFILE=)"))
        }
        _ => findings.ok(text),
    }
}

fn check_room(name: &str, directory: &Path, findings: &mut Findings) {
    let room = match rustix::fs::statvfs(directory) {
        Ok(room) => room,
        Err(why) => {
            return findings.warn(format!("the disk of {name} at {} cannot be looked at ({why})", directory.display()));
        }
    };
    let (free, all) = (room.f_bavail.saturating_mul(room.f_frsize), room.f_blocks.saturating_mul(room.f_frsize));
    let share = free as f64 / all.max(1) as f64;
    let text = format!(
        "{} has {:.1} GiB free, {:.0} % of its disk, for {name}",
        directory.display(),
        free as f64 / f64::from(1 << 30),
        share * 100.0
    );
    // A large disk that is nearly full still has much room; the storage needs some of it for putting its tables together.
    let is_below = |(least, bytes): (f64, u64)| share < least && free < bytes.saturating_mul(4) || free < bytes;
    if is_below(ROOM_FAIL) {
        findings.fail(format!(
            "{text}: a node whose disk is full stops; make room, or have it leave (dotted leave {name})"
        ));
    } else if is_below(ROOM_WARN) {
        findings.warn(format!("{text}: make room before it stops"));
    } else {
        findings.ok(text);
    }
}

fn check_syncs(name: &str, directory: &Path, findings: &mut Findings) {
    let mut times = match syncs(directory) {
        Ok(times) => times,
        Err(why) => {
            return findings.warn(format!(
                "how long a sync in {} takes was not tried ({why}): run this as the user of {name}",
                directory.display()
            ));
        }
    };
    times.sort_unstable();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    let text = format!(
        "a synced write of {SYNC_BYTES} bytes in {} takes {:.2} ms, at most {:.2} of {}",
        directory.display(),
        median.as_secs_f64() * 1_000.0,
        longest.as_secs_f64() * 1_000.0,
        times.len()
    );
    if median >= SYNC_FAIL {
        findings
            .fail(format!("{text}: writes of {name} wait for that; give it another disk, or --durability interval"));
    } else if median >= SYNC_WARN {
        findings.warn(format!(
            "{text}: writes of {name} wait for that (a disk with a cache that survives the power is faster)"
        ));
    } else {
        findings.ok(text);
    }
}

/// At least one.
fn syncs(directory: &Path) -> std::io::Result<Vec<Duration>> {
    let path = directory.join(format!("doctor-{}.tmp", std::process::id()));
    let mut file = std::fs::File::create_new(&path)?;
    let tried = (|| {
        let (mut times, began) = (Vec::with_capacity(SYNCS), Instant::now());
        while times.is_empty() || (times.len() < SYNCS && began.elapsed() < SYNCS_TIME) {
            let one = Instant::now();
            file.write_all(&[0; SYNC_BYTES])?;
            file.sync_data()?;
            times.push(one.elapsed());
        }
        Ok(times)
    })();
    let removed = std::fs::remove_file(&path);
    tried.and_then(|times| removed.map(|()| times))
}
