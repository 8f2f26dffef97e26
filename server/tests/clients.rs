//! The clients people use - redis-py, ioredis, node-redis, go-redis, redis-rs - against one node and against three, in RESP2 and
//! RESP3.
//!
//! All but redis-rs are programs from elsewhere: `DOTTED_WITH_CLIENTS` names a directory with `node_modules`, and must find redis-py in
//! the `python3` that comes first; where it is not set and one of them is not there, the test says so and passes. go-redis has a
//! variable of its own (`clients/go_redis.rs`).

#[path = "clients/go_redis.rs"]
mod go_redis;
#[path = "clients/redis_rs.rs"]
mod redis_rs;
mod support;

use std::process::Command;

use support::{Process, three_nodes};

/// How a script says that it lacks something.
const MISSING: i32 = 77;

fn try_with(program: &str, script: &str) {
    let data = tempfile::tempdir().expect("a directory");
    let one = Process::serve(&data.path().join("one"), &[]);
    run(program, script, &[&one]);
    let three = three_nodes(data.path());
    run(program, script, &three.each_ref());
}

fn run(program: &str, script: &str, nodes: &[&Process]) {
    let ports = nodes.iter().map(|node| node.address.rsplit(':').next().unwrap_or_default());
    let modules = std::env::var_os("DOTTED_WITH_CLIENTS");
    let path = format!("{}/tests/clients/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(program);
    command.arg(path).args(ports).env("NODE_PATH", modules.clone().unwrap_or_default());
    let output = command.output().ok();
    let is_missing = output.as_ref().is_none_or(|output| {
        let why = String::from_utf8_lossy(&output.stderr);
        output.status.code() == Some(MISSING) || why.contains("Cannot find module")
    });
    if is_missing {
        assert!(modules.is_none(), "{command:?} cannot be run, and DOTTED_WITH_CLIENTS is set: {output:?}");
        eprintln!("{command:?} cannot be run: nothing was tried");
        return;
    }
    let output = output.expect("it ran");
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}:\n{said}{why}");
}

#[test]
fn redis_py() {
    try_with("python3", "redis_py.py");
}

#[test]
fn ioredis() {
    try_with("node", "ioredis.js");
}

#[test]
fn node_redis() {
    try_with("node", "node_redis.js");
}
