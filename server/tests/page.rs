//! The web page in a real browser, and the description of HTTP by a tester that is driven by it.
//!
//! Both want a program from elsewhere: without it the test says so and passes, unless `DOTTED_WITH_BROWSER` or
//! `DOTTED_WITH_SCHEMATHESIS` is set.

mod support;

use std::process::{Command, Output};

use support::Process;

/// How a script says that it lacks something.
const MISSING: i32 = 77;

/// Runs a program; nothing if it, or what it needs, is not there.
fn run(command: &mut Command, must: &str) -> Option<Output> {
    let output = command.output().ok().filter(|output| output.status.code() != Some(MISSING));
    assert!(output.is_some() || std::env::var_os(must).is_none(), "{command:?} cannot be run, and {must} is set");
    if output.is_none() {
        eprintln!("{command:?} cannot be run: nothing was tried");
    }
    output
}

#[test]
fn the_page_shows_siblings_decides_between_them_and_takes_no_value_for_a_part_of_itself() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &["--in-memory", "--name", "solo", "--http", "127.0.0.1:0"]);
    let mut client = node.client();
    client.run("DOT.SET cart - milk");
    client.run("DOT.SET cart - <b>bread</b>");
    client.run("HSET profile name Jack");
    let page = format!("http://{}/", client.info("http_address"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/look.py");
    let Some(output) = run(Command::new("python3").args([script, &page]), "DOTTED_WITH_BROWSER") else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(client.run("GET cart"), "milk and eggs");
}

#[test]
fn what_is_described_is_what_is_answered() {
    let data = tempfile::tempdir().unwrap();
    // On disk: a node in memory refuses `dw=1`, as it has to.
    let node = Process::serve(data.path(), &["--http", "127.0.0.1:0"]);
    let description = format!("http://{}/openapi.json", node.client().info("http_address"));
    // A stream without an end is not for it; and what goes together is not all said by types.
    let flags = [
        "run",
        &description,
        "--max-examples",
        "30",
        "--exclude-path",
        "/merges",
        "--exclude-checks",
        "positive_data_acceptance",
        "--phases",
        "examples,coverage,fuzzing",
        "--seed",
        "1",
    ];
    let Some(output) =
        run(Command::new("schemathesis").args(flags).current_dir(data.path()), "DOTTED_WITH_SCHEMATHESIS")
    else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
