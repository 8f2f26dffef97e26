//! `dotted layout`, `join`, `leave`, `replace` and `scrub`, as people run them, on real clusters.

mod support;

use std::path::Path;

use support::{Process, dotted, refused, said, three_nodes};

fn run(task: &[&str], node: &Process) -> std::process::Output {
    dotted(&[task, &["--node", &node.address]].concat())
}

/// The cells of a node's row.
fn row<'t>(shown: &'t str, node: &str) -> Vec<&'t str> {
    let rows = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.into_iter().find(|row| row.first() == Some(&node)).unwrap_or_else(|| panic!("{node} in {shown}"))
}

fn plan_of(shown: &str) -> &str {
    shown.lines().find_map(|line| line.strip_prefix("plan ")?.split(':').next()).expect("a plan")
}

fn join(data: &Path, name: &str, to: &Process) -> Process {
    let node = Process::serve(&data.join(name), &["--name", name, "--join", &to.peer_address()]);
    to.client().until("DOT.LAYOUT SHOW", |shown| shown.contains(&format!("node\n{name}\n")));
    node
}

#[test]
fn a_layout_is_staged_shown_committed_and_waited_for() {
    let data = tempfile::tempdir().unwrap();
    let [a, b, _c] = three_nodes(data.path());
    let shown = said(&run(&["layout", "show"], &b));
    assert!(
        shown.starts_with("placement automatic: every member bears the same; 3 replicas of each partition\n"),
        "{shown}"
    );
    assert_eq!(row(&shown, "b")[1..], ["yes", "default", "1", "1024", "1024", "0", "0"], "{shown}");
    assert!(shown.ends_with("staged here: nothing\n"), "{shown}");

    let staged = said(&run(&["layout", "stage", "a", "--zone", "cellar", "--capacity", "2"], &a));
    assert!(staged.contains("a ZONE cellar CAPACITY 2\nnothing has changed yet"), "{staged}");
    said(&run(&["layout", "stage", "--replicas", "2"], &a));
    let planned = said(&run(&["layout", "plan"], &a));
    assert!(planned.contains(" replicas move, ") && planned.contains("; 2 of each partition\nNODE  ZONE"), "{planned}");
    assert!(planned.contains("BYTES IN  BYTES OUT\n"), "{planned}");
    assert_eq!(row(&planned, "a")[1..6], ["cellar", "2", "1024.0", "1024", "1024"], "{planned}");
    assert_eq!(row(&planned, "b")[5], "512", "{planned}");
    let id = plan_of(&planned).to_owned();
    assert!(planned.ends_with(&format!("commit it: dotted layout commit {id}\n")), "{planned}");

    let other = refused(&run(&["layout", "commit", "1234"], &a));
    assert!(other.contains("that is not the plan as it is now"), "{other}");
    let committed = said(&run(&["layout", "commit", &id, "--wait", "--timeout", "20"], &a));
    assert!(committed.starts_with("committed\neverything is where it should be, after "), "{committed}");
    let shown = said(&run(&["layout", "show"], &a));
    assert!(shown.starts_with("placement committed (a."), "{shown}");
    assert_eq!(row(&shown, "c")[1..], ["yes", "default", "1", "512", "512", "0", "0"], "{shown}");

    said(&run(&["layout", "stage", "a", "--leave"], &a));
    assert_eq!(said(&run(&["layout", "revert"], &a)), "nothing is staged any more\n");
    assert!(said(&run(&["layout", "show"], &a)).ends_with("staged here: nothing\n"));
    for (wrong, why) in [
        (&["layout", "stage", "nobody", "--leave"][..], "no node is called 'nobody'"),
        (&["layout", "stage", "a"], "say what is to change: --zone, --capacity, --leave or --remove"),
        (&["layout", "stage", "a", "--leave", "--zone", "x"], "cannot be used with"),
        (&["layout", "stage"], "required arguments were not provided"),
        (&["layout", "stage", "a", "--remove"], "a answers: stage LEAVE"),
        (&["layout", "commit"], "required arguments were not provided"),
    ] {
        let said = refused(&run(wrong, &a));
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_member_joins_leaves_and_is_removed() {
    let data = tempfile::tempdir().unwrap();
    let [a, b, _c] = three_nodes(data.path());
    for n in 0..50 {
        assert_eq!(a.client().run(&format!("SET key{n} v{n}")), "OK");
    }
    let why = refused(&run(&["join", "d"], &a));
    assert!(
        why.contains("no member is called d (there are a, b, c): start it with `dotted serve --name d --join"),
        "{why}"
    );
    let mut d = join(data.path(), "d", &a);
    let automatic = said(&run(&["join", "d"], &b));
    assert!(automatic.starts_with("placement is automatic: d has had its share since it joined"), "{automatic}");

    let shown = said(&run(&["join", "d", "--zone", "attic", "--capacity", "3"], &b));
    assert_eq!(row(&shown, "d")[1..3], ["attic", "3"], "{shown}");
    assert!(shown.ends_with("nothing has changed: with --yes this is committed\n"), "{shown}");
    assert!(
        said(&run(&["layout", "show"], &b)).ends_with("staged here: nothing\n"),
        "nor is it left for another commit"
    );
    said(&run(&["layout", "stage", "c", "--leave"], &b));
    let why = refused(&run(&["join", "d", "--capacity", "3", "--yes"], &b));
    assert!(why.contains("something else is staged at this node already (c LEAVE)"), "{why}");
    said(&run(&["layout", "revert"], &b));
    assert!(said(&run(&["layout", "show"], &a)).starts_with("placement automatic"), "nothing is committed");
    let joined = said(&run(&["join", "d", "--zone", "attic", "--capacity", "3", "--yes"], &b));
    assert!(joined.contains("committed\neverything is where it should be"), "{joined}");
    assert_eq!(row(&said(&run(&["layout", "show"], &b)), "d")[4..], ["1024", "1024", "0", "0"]);

    let left = said(&run(&["leave", "d", "--yes"], &b));
    assert!(
        left.contains("d holds nothing any more and can be stopped; then: dotted layout stage d --remove"),
        "{left}"
    );
    assert_eq!(row(&said(&run(&["layout", "show"], &b)), "d"), ["d", "yes", "0", "0", "0", "0"]);
    d.terminate();
    assert!(d.wait().success());
    b.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("alive\n1").count() == 3);
    let why = refused(&run(&["leave", "d"], &b));
    assert!(why.contains("d does not answer and cannot hand over"), "{why}");
    said(&run(&["layout", "stage", "d", "--remove"], &b));
    said(&run(&["layout", "commit", "--yes", "--wait"], &b));
    assert_eq!(said(&run(&["layout", "show"], &b)).lines().count(), 6);
    for n in 0..50 {
        a.client().until(&format!("DOT.WITH R 3 GET key{n}"), |value| value == format!("v{n}"));
    }
}

#[test]
fn a_member_takes_the_place_of_one_that_leaves_or_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let [a, mut b, c] = three_nodes(data.path());
    assert_eq!(a.client().run("SET k v"), "OK");
    said(&run(&["layout", "stage", "c", "--zone", "attic", "--capacity", "2"], &a));
    said(&run(&["layout", "commit", "--yes", "--wait"], &a));
    let _d = join(data.path(), "d", &a);
    a.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("alive\n1").count() == 4);
    let why = refused(&run(&["replace", "c", "c"], &a));
    assert!(why.contains("c cannot take its own place"), "{why}");
    let shown = said(&run(&["replace", "c", "d", "--yes"], &a));
    assert!(shown.contains("c can be stopped; then: dotted layout stage c --remove"), "{shown}");
    let layout = said(&run(&["layout", "show"], &a));
    assert_eq!(row(&layout, "d")[2..4], ["attic", "2"], "{layout}");
    assert_eq!(row(&layout, "c")[2..], ["0", "0", "0", "0"], "{layout}");

    b.kill();
    a.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("alive\n1").count() == 3);
    let timed = refused(&run(&["replace", "d", "b"], &a));
    assert!(timed.contains("b does not answer: start it first"), "{timed}");
    said(&run(&["replace", "b", "c", "--yes"], &a));
    let layout = said(&run(&["layout", "show"], &a));
    assert!(!layout.lines().any(|line| line.starts_with("b ")), "{layout}");
    assert_eq!(row(&layout, "c")[4..], ["1024", "1024", "0", "0"], "{layout}");
    c.client().until("DOT.WITH R 3 GET k", |value| value == "v");
}

#[test]
fn every_member_begins_a_scrub_or_it_is_said_which_does_not() {
    let data = tempfile::tempdir().unwrap();
    let [a, b, mut c] = three_nodes(data.path());
    let shown = said(&run(&["scrub"], &a));
    assert!(["a", "b", "c"].iter().all(|node| row(&shown, node)[1] == "begun"), "{shown}");
    assert_eq!(said(&run(&["scrub", "--only-this"], &b)).matches("begun").count(), 1);
    let waited = said(&run(&["scrub", "--wait"], &a));
    assert!(waited.contains("everything has been read, after "), "{waited}");
    c.kill();
    let why = refused(&run(&["scrub"], &a));
    assert!(why.contains("no scrub at c"), "{why}");
}
