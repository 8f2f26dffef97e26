//! `dotted doctor` on real clusters: what is well, what is not, what to do, and whether it fails.

mod support;

use support::{Process, dotted, refused, said, three_nodes};

/// The lines of a verdict.
fn lines<'t>(shown: &'t str, verdict: &str) -> Vec<&'t str> {
    shown.lines().filter(|line| line.starts_with(verdict)).collect()
}

#[test]
fn a_healthy_cluster_is_found_well_with_what_is_for_demonstrations_only() {
    let data = tempfile::tempdir().unwrap();
    let [a, _b, _c] = three_nodes(data.path());
    a.client().until("INFO Dotted", |info| {
        info.lines().any(|line| line.starts_with("alive:") && line.matches(',').count() == 2)
    });
    let shown = said(&dotted(&["doctor", "--node", &a.address]));
    assert!(lines(&shown, "FAIL").is_empty(), "{shown}");
    for expected in [
        "OK    a answers at 127.0.0.1:",
        "OK    all 3 members hear each other",
        "OK    every member that answers is dotted ",
        "OK    placement is automatic",
        "OK    every partition has its 3 replicas",
        "OK    b takes clients of its own machine only",
        "WARN  c lets clients cut its links (--faults)",
        "OK    c answers writes when they are on disk",
    ] {
        assert!(shown.lines().any(|line| line.starts_with(expected)), "{expected} in {shown}");
    }
    // Whatever this machine's disk is like, it was looked at.
    for expected in [" may open ", " GiB free, ", "a synced write of 4096 bytes in "] {
        assert_eq!(shown.matches(expected).count(), 3, "{expected} in {shown}");
    }
    assert!(
        std::fs::read_dir(data.path().join("a"))
            .unwrap()
            .all(|it| { !it.unwrap().file_name().to_string_lossy().starts_with("doctor") })
    );
    assert!(shown.trim_end().ends_with(" 0 failures"), "{shown}");
}

#[test]
fn a_member_that_is_gone_fails_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let [a, _b, mut c] = three_nodes(data.path());
    c.kill();
    a.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("alive\n1").count() == 2);
    let output = dotted(&["doctor", "--node", &a.address]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = lines(&shown, "FAIL");
    assert!(
        failed[0].starts_with("FAIL  c does not answer at 127.0.0.1:") && failed[0].contains("dotted replace c NEW"),
        "{shown}"
    );
    assert!(failed[1].contains("a does not hear c"), "{shown}");
    assert!(refused(&output).contains("2 checks have failed: see FAIL above"));
    let nobody = refused(&dotted(&["doctor", "--node", "127.0.0.1:1"]));
    assert!(nobody.contains("no server answers at 127.0.0.1:1"), "{nobody}");
}

#[test]
fn what_endangers_data_or_lets_strangers_in_is_said() {
    let data = tempfile::tempdir().unwrap();
    let open = Process::serve(data.path(), &["--in-memory", "--unprotected", "--listen", "0.0.0.0:0"]);
    let address = open.address.replace("0.0.0.0", "127.0.0.1");
    let output = dotted(&["doctor", "--node", &address]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{shown}");
    assert!(
        lines(&shown, "FAIL")[0].contains("takes anybody's commands (--unprotected, no password): set --requirepass"),
        "{shown}"
    );
    for expected in ["1 members for 3 replicas", "keeps nothing on disk", "which is no address: say with --advertise"] {
        assert!(lines(&shown, "WARN").iter().any(|line| line.contains(expected)), "{expected} in {shown}");
    }

    let closed = Process::serve(
        data.path(),
        &[
            "--durability",
            "interval",
            "--requirepass",
            "sesame",
            "--listen",
            "0.0.0.0:0",
            "--peer-listen",
            "127.0.0.1:0",
        ],
    );
    let address = closed.address.replace("0.0.0.0", "127.0.0.1");
    let shown = said(&dotted(&["doctor", "--node", &address, "--password", "sesame"]));
    assert!(lines(&shown, "OK").iter().any(|line| line.contains("asks for a password")), "{shown}");
    assert!(
        lines(&shown, "WARN").iter().any(|line| line.contains("before they are on disk (--durability interval)")),
        "{shown}"
    );
    assert!(refused(&dotted(&["doctor", "--node", &address])).contains("NOAUTH"));
}

#[test]
fn two_layouts_at_once_and_members_that_do_not_hear_each_other_are_found() {
    let data = tempfile::tempdir().unwrap();
    let [a, b, _c] = three_nodes(data.path());
    let (mut at_a, mut at_b) = (a.client(), b.client());
    assert_eq!(at_a.run("DOT.FAULT CUT a"), "OK");
    at_a.until("INFO Dotted", |info| info.contains("alive:a\r\n"));
    let output = dotted(&["doctor", "--node", &b.address]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = lines(&shown, "FAIL");
    assert!(
        failed.iter().any(|line| line.contains("a does not hear b, c; b does not hear a; c does not hear a")),
        "{shown}"
    );
    for (client, zone) in [(&mut at_a, "x"), (&mut at_b, "y")] {
        assert_eq!(client.run(&format!("DOT.LAYOUT STAGE a ZONE {zone}")), "OK");
        let plan = client.run("DOT.LAYOUT PLAN");
        assert_eq!(client.run(&format!("DOT.LAYOUT COMMIT {}", plan.lines().nth(1).unwrap())), "OK");
    }
    assert_eq!(at_a.run("DOT.FAULT HEAL"), "OK");
    at_a.until("DOT.LAYOUT SHOW", |shown| shown.contains("several layouts"));
    let output = dotted(&["doctor", "--node", &a.address]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(lines(&shown, "WARN").iter().any(|line| line.contains("2 layouts were committed at once")), "{shown}");
}
