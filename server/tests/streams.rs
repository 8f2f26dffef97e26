//! Streams on three real processes: entries added on both sides of a cut, and readers who must not miss one that comes late.

mod support;

use support::three_nodes;

/// The ids in a reply that lists entries, each with one field `n`.
fn ids(reply: &str) -> Vec<String> {
    let lines: Vec<&str> = reply.lines().collect();
    lines.windows(2).filter(|pair| pair[1] == "n").map(|pair| pair[0].to_owned()).collect()
}

#[test]
fn what_both_sides_add_is_all_there_and_a_cursor_misses_none_of_it() {
    let data = tempfile::tempdir().unwrap();
    let [a, b, c] = three_nodes(data.path());
    let (mut at_a, mut at_b, mut at_c) = (a.client(), b.client(), c.client());
    let first = at_a.run("XADD log * n 1");
    assert_eq!(at_a.run("DOT.FAULT CUT a"), "OK");
    let early: Vec<String> = (0..3).map(|n| at_a.run(&format!("XADD log * n a{n}"))).collect();
    let late: Vec<String> = (0..3).map(|n| at_b.run(&format!("XADD log * n b{n}"))).collect();
    assert_eq!(ids(&at_b.run("XRANGE log - +")), [std::slice::from_ref(&first), &late[..]].concat());
    let read = at_b.run("DOT.XREAD log -");
    let cursor = read.lines().nth(1).unwrap().to_owned();
    assert_eq!(ids(&read).len(), 4);
    assert_eq!(at_b.run(&format!("DOT.XREAD log {cursor}")).lines().count(), 3, "nothing is news");

    assert_eq!(at_b.run("DOT.FAULT HEAL"), "OK");
    at_c.until("XLEN log", |shown| shown == "7");
    let mut all = [&[first], &early[..], &late[..]].concat();
    // Both sides may have written in one millisecond.
    all.sort_by_key(|id| id.split_once('-').map(|(ms, seq)| (ms.parse::<u64>().unwrap(), seq.parse::<u64>().unwrap())));
    for client in [&mut at_a, &mut at_b, &mut at_c] {
        client.until("XLEN log", |shown| shown == "7");
        assert_eq!(ids(&client.run("XRANGE log - +")), all);
    }
    all.reverse();
    assert_eq!(ids(&at_a.run("XREVRANGE log + -")), all);
    assert_eq!(ids(&at_a.run("XREVRANGE log + - COUNT 2")), all[..2]);

    let behind = at_b.run(&format!("XREAD STREAMS log {}", late[2]));
    assert!(ids(&behind).is_empty(), "behind the last id there is nothing: {behind}");
    let news = at_c.run(&format!("DOT.XREAD log {cursor}"));
    assert_eq!(ids(&news), early, "and yet the reader has not seen these");
    let cursor = news.lines().nth(1).unwrap();
    assert!(ids(&at_a.run(&format!("DOT.XREAD log {cursor}"))).is_empty());
    assert!(at_a.run("DOT.XREAD log nonsense").starts_with("BADCONTEXT"));
    assert!(at_a.run(&format!("DOT.XREAD other {cursor}")).starts_with("BADCONTEXT"), "a cursor is of one stream");
}

#[test]
fn a_reader_that_waits_is_told_of_an_entry_added_at_another_node() {
    let data = tempfile::tempdir().unwrap();
    let [a, b, c] = three_nodes(data.path());
    for (from, to) in [(&a, &b), (&b, &c), (&c, &a)] {
        let (mut reader, mut writer) = (from.client(), to.client());
        writer.run("XADD log * n old");
        reader.send(&support::request(&["XREAD", "BLOCK", "10000", "STREAMS", "none", "log", "$", "$"]));
        // Until it waits, what is added is old.
        writer.until("INFO clients", |_| from.client().info("blocked_clients") == "1");
        let id = writer.run("XADD log * n new");
        assert_eq!(ids(&reader.receive_text()), [id]);
    }
}

#[test]
fn long_streams_are_read_page_by_page_and_trimmed_from_their_front() {
    let data = tempfile::tempdir().unwrap();
    let node = support::Process::serve(data.path(), &[]);
    let mut client = node.client();
    for n in 1..=2_500 {
        client.run(&format!("XADD s {n}-1 n {n}"));
    }
    let all: Vec<String> = (1..=2_500).map(|n| format!("{n}-1")).collect();
    assert_eq!(ids(&client.run("XRANGE s - +")), all);
    assert_eq!(ids(&client.run("XRANGE s 500 2200")), all[499..2_200]);
    assert_eq!(ids(&client.run("XRANGE s 500 + COUNT 1500")), all[499..1_999]);
    let mut back = all.clone();
    back.reverse();
    assert_eq!(ids(&client.run("XREVRANGE s + -")), back);
    assert_eq!(ids(&client.run("XREVRANGE s 2200 500")), back[300..=2_000]);
    assert_eq!(client.run("XTRIM s MAXLEN 1000"), "1500");
    assert_eq!(ids(&client.run("XRANGE s - + COUNT 1")), ["1501-1"]);
    assert_eq!(client.run("XTRIM s MINID ~ 2000 LIMIT 10"), "10");
    assert_eq!(client.run("XLEN s"), "990");
}
