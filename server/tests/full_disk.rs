//! A disk with no space left: the node ends, clearly, before it promises anything more, and comes back with all it has promised.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use support::{Client, Process};

const VALUE_BYTES: usize = 3 * 1024 * 1024;

/// What bounds the space.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A file system of this size, where one can be mounted.
    FileSystem,
    /// A limit on the size of files, which is another error of the system.
    FileSize,
}

/// A mounted file system; it ends with this value.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=400m"]).arg(self.0.path()).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn value(n: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(n);
    (0..VALUE_BYTES).map(|_| random.u8(..)).collect()
}

fn set(client: &mut Client, n: u64) -> String {
    client.call(&[b"SET".to_vec(), format!("key{n}").into_bytes(), value(n)])
}

/// `dotted serve`, which may make no file greater than 64 MiB.
fn serve_bounded(data: &Path, engine: &str) -> Process {
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 131072; exec \"$@\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_dotted"), "serve", "--listen", "127.0.0.1:0"]);
    command.args(["--engine", engine, "--data"]).arg(data);
    Process::run(command).unwrap_or_else(|output| panic!("the node did not start: {output}"))
}

fn fill(way: Way, engine: &str) {
    let mount = match way {
        Way::FileSystem => match Mount::new() {
            Some(mount) => Some(mount),
            None => return println!("NOT TRIED: a full file system, because none can be mounted here"),
        },
        Way::FileSize => None,
    };
    let folder = tempfile::tempdir().unwrap();
    let data = mount.as_ref().map_or(folder.path(), |mount| mount.0.path()).join("data");
    let mut node = match way {
        Way::FileSystem => Process::serve(&data, &["--engine", engine]),
        Way::FileSize => serve_bounded(&data, engine),
    };
    let mut client = node.client();
    let mut acknowledged = 0;
    while acknowledged < 100 {
        match catch_unwind(AssertUnwindSafe(|| set(&mut client, acknowledged))).as_deref() {
            Ok("OK") => acknowledged += 1,
            _ => break,
        }
    }
    assert!((3..100).contains(&acknowledged), "{engine}, {way:?}: {acknowledged} were acknowledged");
    assert_eq!(node.wait().code(), Some(74), "{engine}, {way:?}: {}", node.log());
    node.until_logged("there is no space left for the records in ");
    let log = node.log();
    assert!(log.contains(&data.display().to_string()) && log.contains("make space and start it again"), "{log}");
    if let Some(mount) = &mount {
        mount.grow();
    }
    let node = Process::serve(&data, &["--engine", engine]);
    assert!(!node.log().contains("damaged"), "{}", node.log());
    let mut client = node.client();
    for n in 0..acknowledged {
        let request = [b"GET".to_vec(), format!("key{n}").into_bytes()];
        let redis_protocol::resp2::types::OwnedFrame::BulkString(kept) = client.call_frame(&request) else {
            panic!("{engine}, {way:?}: key{n} of {acknowledged} was acknowledged");
        };
        assert!(kept == value(n), "{engine}, {way:?}: key{n}");
    }
    assert_eq!(set(&mut client, 1_000), "OK");
    println!("{engine}, {way:?}: {acknowledged} values of {VALUE_BYTES} bytes were acknowledged, and are there");
}

#[test]
fn a_full_file_system_ends_the_node_before_it_promises_more() {
    fill(Way::FileSystem, "fjall");
    fill(Way::FileSystem, "redb");
}

#[test]
fn a_file_that_may_not_grow_ends_the_node_before_it_promises_more() {
    fill(Way::FileSize, "fjall");
    fill(Way::FileSize, "redb");
}
