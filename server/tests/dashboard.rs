//! The Grafana dashboard and the metrics of a running node: each knows exactly what the other has.

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::Path;

use support::Process;

fn scrape(node: &Process) -> String {
    let mut stream = std::net::TcpStream::connect(node.client().info("http_address")).expect("the node answers");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("the node answers");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the node answers");
    text
}

/// The names of samples.
fn exposed(metrics: &str) -> BTreeSet<String> {
    let samples = metrics.lines().filter(|line| line.starts_with("dotted_"));
    samples.map(|line| line.split([' ', '{']).next().unwrap_or_default().to_owned()).collect()
}

fn expressions(dashboard: &serde_json::Value) -> Vec<String> {
    let targets = dashboard["panels"]
        .as_array()
        .expect("a dashboard of Grafana")
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("a dashboard of Grafana"));
    targets.map(|target| target["expr"].as_str().expect("a dashboard of Grafana").to_owned()).collect()
}

fn names(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|it| it.starts_with("dotted_"))
}

#[test]
fn the_dashboard_shows_every_metric_of_a_running_node_and_no_other() {
    let data = tempfile::tempdir().unwrap();
    let a = Process::serve(&data.path().join("a"), &["--name", "a", "--http", "127.0.0.1:0"]);
    let _b = Process::serve(&data.path().join("b"), &["--name", "b", "--join", &a.peer_address()]);
    let mut client = a.client();
    client.until("DOT.LAYOUT SHOW", |shown| shown.matches("serving\n1024").count() == 2);
    assert_eq!(client.run("SET k v"), "OK");
    client.until("DOT.ENTROPY", |shown| shown.contains("node\nb"));
    let exposed = exposed(&scrape(&a));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dotted.json");
    let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let expressions = expressions(&dashboard);
    let shown: BTreeSet<String> =
        expressions.iter().flat_map(|expression| names(expression)).map(str::to_owned).collect();
    assert_eq!(shown, exposed);

    // Labels that are asked for, or shown, are there as well.
    let metrics = scrape(&a);
    for label in ["family=\"string\"", "peer=\"b\"", "missing=\"there\"", "state=\"filling\"", "le=\"+Inf\""] {
        assert!(metrics.contains(label), "{label} in {metrics}");
    }
    let ids: BTreeSet<i64> =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["id"].as_i64()).collect();
    assert_eq!(ids.len(), dashboard["panels"].as_array().unwrap().len());
}

#[test]
fn times_are_counted_by_family_and_for_the_disk() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &["--http", "127.0.0.1:0"]);
    let mut client = node.client();
    for n in 0..7 {
        client.run(&format!("SET k{n} v"));
    }
    client.run("LPUSH l x");
    client.run("NONSENSE");
    client.run("BLPOP l 1");
    client.run("BLPOP l 0.01");
    let metrics = scrape(&node);
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {metrics}")).trim().parse().unwrap()
    };
    let count = |family: &str| value(&format!("dotted_command_duration_seconds_count{{family=\"{family}\"}}"));
    assert_eq!((count("string"), count("none")), (7.0, 1.0));
    assert_eq!(value("dotted_command_duration_seconds_bucket{le=\"+Inf\",family=\"string\"}"), 7.0);
    // The one that waited in vain is left out.
    assert_eq!(count("list"), 2.0);
    assert!(value("dotted_command_duration_seconds_sum{family=\"string\"}") > 0.0);
    // Writes were answered when they were on disk: each has been waited for.
    assert!(value("dotted_sync_duration_seconds_count") >= 8.0);
    assert!(value("dotted_sync_duration_seconds_sum") > 0.0);
}
