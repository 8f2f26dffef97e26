//! The systemd unit and the container file: what they name is there, and means something to the program.

mod support;

use std::path::Path;
use std::process::Command;

use support::{dotted, dotted_with, said};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).expect("it is there")
}

/// Pairs of `NAME=value` on lines that begin so.
fn variables<'t>(text: &'t str, begin: &str) -> Vec<(&'t str, &'t str)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(begin));
    lines.flat_map(|line| line.split(' ')).filter_map(|pair| pair.split_once('=')).collect()
}

fn every_variable_is_a_setting(environment: &[(&str, &str)]) {
    let shown = said(&dotted_with(&["serve", "--print-config"], environment));
    for (name, value) in environment {
        let line = shown.lines().find(|line| line.ends_with(&format!("# {name}")));
        let line = line.unwrap_or_else(|| panic!("{name} in {shown}"));
        assert!(line.contains(&format!(" = \"{value}\"")), "{line}");
    }
}

#[test]
fn the_unit_starts_a_node_and_systemd_takes_it() {
    let unit = read("dotted.service");
    every_variable_is_a_setting(&variables(&unit, "Environment="));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dotted.toml");
    std::fs::write(&file, "name = \"n1\"\n").unwrap();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let command = command.replace("%E/dotted/dotted.toml", file.to_str().unwrap());
    let words: Vec<&str> = command.split(' ').skip(1).chain(["--print-config"]).collect();
    assert!(said(&dotted(&words)).contains("name = \"n1\""));

    // Where systemd is, it has the last word; the program stands elsewhere here.
    let path = directory.path().join("dotted.service");
    std::fs::write(&path, unit.replace("/usr/local/bin/dotted", env!("CARGO_BIN_EXE_dotted"))).unwrap();
    if let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_container_runs_what_there_is_as_nobody_special() {
    let text = read("Containerfile");
    every_variable_is_a_setting(&variables(&text, "ENV "));
    assert!(text.contains("\nUSER dotted\n") && text.contains("\nVOLUME /data\n"));
    let health = text.lines().find_map(|line| line.split_once(" CMD dotted ")).map(|(_, command)| command).unwrap();
    let data = tempfile::tempdir().unwrap();
    let node = support::Process::serve(data.path(), &["--in-memory"]);
    let command = health.replace("\"$DOTTED_LISTEN\"", &node.address);
    assert!(said(&dotted(&command.split(' ').collect::<Vec<_>>())).ends_with(" answers\n"));
}
