//! The examples print what the README says they print.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::path::Path;
use std::process::Command;

fn output(example: &str) -> String {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().and_then(Path::parent).unwrap().join("examples").join(example);
    assert!(binary.exists(), "first: cargo build -p crdt --examples");
    let run = Command::new(binary).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn the_transcripts_of_the_readme() {
    let readme = include_str!("../README.md");
    for example in ["cart", "inventory", "typing", "trip"] {
        let output = output(example);
        assert!(readme.contains(output.trim_end()), "the README does not have this output of {example}:\n{output}");
    }
}
