//! Sessions on three real processes: what a connection has seen, another one that was given its text is never answered without.

mod support;

use support::three_nodes;

#[test]
fn a_session_goes_on_at_another_node_and_is_told_rather_the_truth_than_something_older() {
    let data = tempfile::tempdir().unwrap();
    let [a, b, c] = three_nodes(data.path());
    let (mut at_a, mut at_b) = (a.client(), b.client());
    assert_eq!(at_a.run("SET cart empty"), "OK");

    // The token is of one connection; another one goes on with it.
    assert!(!at_a.run("DOT.SESSION").starts_with("ERR"));
    at_a.run("DOT.FAULT CUT a");
    assert_eq!(at_a.run("SET cart milk"), "OK");
    assert_eq!(at_a.run("SADD tags x"), "1");
    let token = at_a.run("DOT.SESSION");

    assert_eq!(at_b.run("GET cart"), "empty", "without a session it is not known");
    assert_eq!(at_b.run(&format!("DOT.SESSION {token}")), token);
    let refused = at_b.run("DOT.WITH TIMEOUT 300 GET cart");
    assert!(refused.starts_with("BEHIND this session has seen 1 events"), "{refused}");
    let refused = at_b.run("DOT.WITH TIMEOUT 300 APPEND cart !");
    assert!(refused.starts_with("BEHIND"), "{refused}");
    assert_eq!(at_b.run("DOT.SESSION OFF"), "OK");
    assert_eq!(at_b.run("GET cart"), "empty");
    assert_eq!(at_b.run(&format!("DOT.SESSION {token}")), token);

    assert_eq!(at_b.run("DOT.FAULT HEAL"), "OK");
    at_b.until("DOT.WITH TIMEOUT 300 GET cart", |shown| shown == "milk");
    assert_eq!(at_b.run("SMEMBERS tags"), "x");
    assert_eq!(at_b.run("APPEND cart !"), "5");
    let mut at_c = c.client();
    let later = at_b.run("DOT.SESSION");
    assert_eq!(at_c.run(&format!("DOT.SESSION {later}")), later);
    assert_eq!(at_c.run("GET cart"), "milk!");
    assert_eq!(at_c.run("MULTI"), "OK");
    assert_eq!(at_c.run("APPEND cart !"), "QUEUED");
    assert_eq!(at_c.run("EXEC"), "6");
    assert_ne!(at_c.run("DOT.SESSION"), later);

    let refused = at_c.run("DOT.SESSION AQAAAAAA");
    assert!(refused.starts_with("BADCONTEXT"), "{refused}");
    assert_eq!(at_c.run("RESET"), "RESET");
    assert_eq!(at_c.run("DOT.WITH MONOTONIC GET cart"), "milk!!");
}
