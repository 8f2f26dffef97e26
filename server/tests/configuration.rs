//! Settings from flags, environment and file on the real program: which counts, what is refused, and how it is shown.

mod support;

use std::path::PathBuf;

use support::{Process, dotted, dotted_with, refused, said};

fn file(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("dotted.toml");
    std::fs::write(&path, text).expect("it can be written");
    path
}

/// The line of a setting.
fn line<'t>(shown: &'t str, name: &str) -> &'t str {
    let found = shown.lines().find(|line| line.starts_with(&format!("{name} =")));
    found.unwrap_or_else(|| panic!("{name} in {shown}"))
}

#[test]
fn a_flag_counts_before_the_environment_and_that_before_the_file_and_that_before_the_default() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(
        &directory,
        "# who comes first\nname = \"file\"\ntimeout-ms = 3_000\ndurability = \"interval\"\nfaults = true\nworkers = 0x2\n",
    );
    let path = path.to_str().unwrap();
    let environment = [("DOTTED_NAME", "environment"), ("DOTTED_TIMEOUT_MS", "4000"), ("DOTTED_CONFIG", path)];
    let shown = said(&dotted_with(&["serve", "--print-config", "--name", "flag"], &environment));
    for (name, expected) in [
        ("name", "name = \"flag\"  # --name".to_owned()),
        ("timeout-ms", "timeout-ms = 4000  # DOTTED_TIMEOUT_MS".to_owned()),
        ("durability", format!("durability = \"interval\"  # {path}, line 4")),
        ("faults", format!("faults = true  # {path}, line 5")),
        ("workers", format!("workers = 2  # {path}, line 6")),
        ("replicas", "replicas = 3  # default".to_owned()),
    ] {
        let words: Vec<&str> = line(&shown, name).split_whitespace().collect();
        assert_eq!(words, expected.split_whitespace().collect::<Vec<_>>());
    }
    // What the file says can be taken back.
    let shown = said(&dotted(&["serve", "--print-config", "--config", path, "--faults=no"]));
    assert!(line(&shown, "faults").starts_with("faults = false "), "{shown}");
    let shown = said(&dotted_with(&["serve", "--print-config", "--config", path], &[("DOTTED_FAULTS", "0")]));
    assert!(line(&shown, "faults").contains("false") && line(&shown, "faults").ends_with("# DOTTED_FAULTS"), "{shown}");

    // What is shown is a file that says the same.
    let again = file(&directory, &shown);
    let second = said(&dotted(&["serve", "--print-config", "--config", again.to_str().unwrap()]));
    let settings = |shown: &str| -> Vec<String> {
        shown.lines().map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned()).collect()
    };
    assert_eq!(settings(&second), settings(&shown));
}

#[test]
fn what_is_no_setting_is_refused_with_where_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("\n\ndurabilty = 1\n", "line 3: there is no setting durabilty: perhaps durability"),
        ("peer_listen = \"127.0.0.1:1\"", "line 1: there is no setting peer_listen: perhaps peer-listen"),
        ("zzz = 1", "line 1: there is no setting zzz: `dotted serve --print-config` shows those there are"),
        ("config = \"x\"", "line 1: config is a flag, and no setting of a file"),
        ("name = \"a\"\nreplicas = 12", "line 2: invalid value '12' for '--replicas <REPLICAS>': 12 is not in 1..=9"),
        (
            "durability = \"sometimes\"",
            "line 1: invalid value 'sometimes' for '--durability <DURABILITY>' [possible values:",
        ),
        ("listen = 6379", "line 1: invalid value '6379' for '--listen <HOST:PORT>': invalid socket address syntax"),
        ("faults = \"perhaps\"", "line 1: invalid value 'perhaps' for '--faults <yes|no>'"),
        ("name = 1.5", "line 1: name takes a text, a whole number, or true or false"),
        ("name = [\"a\"]", "line 1: name takes a text"),
        ("[serve]\nname = \"a\"", "line 1: there is no setting serve"),
        ("name = ", "line 1: this is no TOML: "),
        ("name = \"a\"\nname = \"b\"", "line 2: this is no TOML: duplicate key"),
        ("replicas = 99999999999999999999", "line 1: replicas: 99999999999999999999 is too large a number"),
    ] {
        let path = file(&directory, text);
        let why = refused(&dotted(&["serve", "--config", path.to_str().unwrap()]));
        assert!(why.contains(&format!("{}, {expected}", path.display())), "{text}: {why}");
    }
    let why = refused(&dotted(&["serve", "--config", "nowhere.toml"]));
    assert!(why.contains("nowhere.toml cannot be read or written: No such file"), "{why}");
    let why = refused(&dotted_with(&["serve"], &[("DOTTED_LISTEN", "here")]));
    assert!(why.contains("the variable DOTTED_LISTEN: invalid value 'here' for '--listen"), "{why}");
    let why = refused(&dotted_with(&["serve"], &[("DOTTED_FAULTS", "perhaps")]));
    assert!(why.contains("the variable DOTTED_FAULTS: invalid value 'perhaps'"), "{why}");
    let why = refused(&dotted(&["serve", "--log-level", "loud=?"]));
    assert!(why.contains("it takes error, warn, info, debug, trace"), "{why}");
}

#[test]
fn what_belongs_together_may_be_said_in_different_places() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "tls-cert = \"cert.pem\"\ntls-key = \"key.pem\"\npeer-tls-any-client = false\n");
    let with = ["serve", "--print-config", "--tls-listen", "127.0.0.1:1", "--config", path.to_str().unwrap()];
    let shown = said(&dotted(&with));
    assert!(
        line(&shown, "tls-cert").starts_with("tls-cert = \"cert.pem\"") && shown.contains("# --tls-listen"),
        "{shown}"
    );
    let path = file(&directory, "tls-cert = \"cert.pem\"\n");
    let why = refused(&dotted(&["serve", "--print-config", "--config", path.to_str().unwrap()]));
    assert!(why.contains("--tls-key"), "{why}");
    let path = path.to_str().unwrap();
    said(&dotted_with(&["serve", "--print-config", "--config", path], &[("DOTTED_TLS_KEY", "key.pem")]));
    assert!(refused(&dotted(&["serve", "--config", path, "--nonsense"])).contains("unexpected argument '--nonsense'"));
}

#[test]
fn a_node_runs_by_its_file_shows_what_is_in_force_and_never_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "requirepass = \"open sesame\"\nwrite-quorum = 1\nname = \"n1\"\nin-memory = true\n");
    let path = path.to_str().unwrap();
    let shown = said(&dotted(&["serve", "--print-config", "--config", path]));
    assert!(shown.contains("# requirepass is set, and not shown") && !shown.contains("sesame"), "{shown}");
    let node = Process::serve(directory.path(), &["--config", path, "--timeout-ms", "2500"]);
    let mut client = node.client();
    assert!(client.run("GET x").starts_with("NOAUTH"));
    assert_eq!(client.call(&["AUTH", "open sesame"]), "OK");
    assert_eq!(client.info("node"), "n1");
    assert_eq!(client.run("CONFIG GET write-quorum"), "write-quorum\n1");
    assert_eq!(client.run("CONFIG GET timeout-ms"), "timeout-ms\n2500");
    assert_eq!(client.run("CONFIG GET name"), "name\nn1");
    assert_eq!(client.run("CONFIG GET in-memory"), "in-memory\ntrue");
    assert_eq!(client.run("CONFIG GET listen"), "listen\n127.0.0.1:0");
    assert!(!client.run("CONFIG GET *").contains("sesame"));
}

#[test]
fn the_log_is_lines_for_people_or_objects_for_machines_as_much_as_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let serve = |more: &[&str]| Process::serve(directory.path(), &[&["--in-memory", "--name", "n1"], more].concat());
    let node = serve(&["--log-format", "json"]);
    let log = node.log();
    let start = log.lines().find(|line| line.contains("takes clients at")).unwrap();
    let event: serde_json::Value = serde_json::from_str(start).unwrap();
    assert_eq!((event["level"].as_str(), event["node"].as_str()), (Some("INFO"), Some("n1")));
    assert!(event["timestamp"].is_string() && event["incarnation"].is_number(), "{event}");
    for line in node.log().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    let node = serve(&["--log-format", "text"]);
    assert!(node.log().contains("takes clients at 127.0.0.1:") && node.log().contains("node=\"n1\""), "{}", node.log());
    // The flag counts before RUST_LOG. These end at once: nobody writes to their standard input.
    let brief = ["serve", "--in-memory", "--listen", "127.0.0.1:0", "--stop-with-parent"];
    let heard = |more: &[&str]| {
        let output = dotted_with(&[&brief[..], more].concat(), &[("RUST_LOG", "info")]);
        said(&output);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(heard(&[]).contains("takes clients at"));
    assert_eq!(heard(&["--log-level", "error"]), "");
}

#[test]
fn the_demo_takes_no_settings_of_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let port = support::three_free_ports();
    let (data, port_text) = (directory.path().join("demo"), port.to_string());
    let mut demo = std::process::Command::new(env!("CARGO_BIN_EXE_dotted"));
    demo.args(["demo", "--port", &port_text, "--data"]).arg(data);
    let child = demo.env("DOTTED_REQUIREPASS", "x").env("DOTTED_PEER_LISTEN", "127.0.0.1:1").spawn();
    let mut child = child.expect("the binary runs");
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(std::time::Instant::now() < deadline, "node a does not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(support::Client::connect(&format!("127.0.0.1:{port}")).run("PING"), "PONG");
    child.kill().unwrap();
    child.wait().unwrap();
}
