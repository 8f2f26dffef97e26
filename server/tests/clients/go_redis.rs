//! go-redis, against one node and, as a cluster's client, against three of which one is killed.
//!
//! `DOTTED_WITH_GO_REDIS` names a `GOPATH` that has go-redis, version 9; the `go` that comes first builds it. Where it is not set,
//! nothing is tried.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Process, three_nodes};

/// What the program says before it waits for one of its nodes to be killed.
const KILL: &str = "KILL";

/// How many seconds it may take: it takes a few.
const LIMIT_S: &str = "180";

fn build(go_path: OsString, directory: &Path) -> PathBuf {
    let program = directory.join("go_redis");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program);
    go.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/go_redis.go"));
    let go = go.env("GOPATH", go_path).env("GO111MODULE", "off").env("GOFLAGS", "").env("CGO_ENABLED", "0");
    let output = go.output().unwrap_or_else(|why| panic!("DOTTED_WITH_GO_REDIS is set, and there is no go: {why}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Runs it against nodes of which `killed` is one, or there is none to kill.
fn run(program: &Path, nodes: &[&str], killed: Option<&mut Process>) {
    let ports = nodes.iter().map(|address| address.rsplit(':').next().unwrap_or_default());
    // One that hangs fails.
    let mut command = Command::new("timeout");
    let command = command.arg(LIMIT_S).arg(program).args(ports).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it was built");
    let mut said = String::new();
    let mut is_killed = killed.is_none();
    let (stdout, mut stdin) = (child.stdout.take().expect("piped"), child.stdin.take().expect("piped"));
    let mut killed = killed;
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("text");
        if line == KILL {
            killed.take().expect("a node to kill").kill();
            is_killed = true;
            writeln!(stdin, "killed").expect("it waits");
        }
        said.extend([&line, "\n"]);
    }
    let status = child.wait().expect("it has ended");
    assert!(status.success(), "{status}:\n{said}");
    assert!(is_killed, "no node was to be killed:\n{said}");
}

#[test]
fn go_redis() {
    let Some(go_path) = std::env::var_os("DOTTED_WITH_GO_REDIS") else {
        eprintln!("DOTTED_WITH_GO_REDIS is not set: nothing was tried");
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    let program = build(go_path, data.path());
    let one = Process::serve(&data.path().join("one"), &[]);
    run(&program, &[&one.address], None);
    let [a, b, mut c] = three_nodes(data.path());
    let addresses = [&a, &b, &c].map(|node| node.address.clone());
    run(&program, &addresses.each_ref().map(String::as_str), Some(&mut c));
}
