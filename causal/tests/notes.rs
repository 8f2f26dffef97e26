//! The example `notes`, as its readers run it: devices as separate processes that share nothing but a folder.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::path::{Path, PathBuf};
use std::process::Command;

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the device says, errors included.
    fn notes(&self, device: &str, arguments: &[&str]) -> String {
        let tests = std::env::current_exe().unwrap();
        let example = tests.parent().and_then(Path::parent).unwrap().join("examples/notes");
        assert!(example.exists(), "first: cargo build -p causal --all-features --example notes");
        let run = Command::new(example).current_dir(self.0.path()).arg(device).args(arguments).output().unwrap();
        String::from_utf8([run.stdout, run.stderr].concat()).unwrap()
    }

    fn copy(&self, from: &str, to: &str) {
        std::fs::create_dir_all(self.path(to)).unwrap();
        std::fs::copy(self.path(from).join("notes"), self.path(to).join("notes")).unwrap();
    }
}

#[test]
fn the_transcript_of_the_readme() {
    let world = World::new();
    world.notes("phone", &["write", "shopping", "milk"]);
    world.notes("laptop", &["write", "shopping", "bread"]);
    world.notes("laptop", &["write", "ideas", "a boat"]);
    world.notes("phone", &["sync", "stick"]);
    world.notes("laptop", &["sync", "stick"]);
    world.notes("phone", &["sync", "stick"]);
    let both = world.notes("phone", &["show"]);
    assert_eq!(both, world.notes("laptop", &["show"]));
    let mut lines: Vec<&str> = both.lines().collect();
    lines[3..].sort_unstable();
    assert_eq!(lines, ["ideas", "  a boat", "shopping", "  bread", "  milk"]);

    world.notes("phone", &["write", "shopping", "milk and bread"]);
    world.notes("laptop", &["remove", "ideas"]);
    world.notes("laptop", &["sync", "stick"]);
    world.notes("phone", &["sync", "stick"]);
    world.notes("laptop", &["sync", "stick"]);
    assert_eq!(world.notes("phone", &["show"]), "shopping\n  milk and bread\n");
    assert_eq!(world.notes("laptop", &["show"]), "shopping\n  milk and bread\n");
}

#[test]
fn an_old_state_that_comes_late_brings_nothing_back() {
    let world = World::new();
    world.notes("phone", &["write", "a", "1"]);
    world.notes("phone", &["sync", "stick"]);
    world.notes("laptop", &["sync", "stick"]);
    world.notes("laptop", &["sync", "old"]);
    world.notes("laptop", &["remove", "a"]);
    world.notes("phone", &["write", "b", "2"]);
    world.notes("laptop", &["sync", "stick"]);
    world.notes("phone", &["sync", "stick"]);
    world.notes("phone", &["sync", "old"]);
    assert_eq!(world.notes("phone", &["show"]), "b\n  2\n");
}

#[test]
fn a_device_restored_from_a_copy_loses_nothing_whether_it_syncs_or_writes_first() {
    for syncs_first in [true, false] {
        let world = World::new();
        world.notes("phone", &["write", "a", "1"]);
        world.copy("phone", "backup");
        world.notes("phone", &["write", "b", "2"]);
        world.notes("phone", &["write", "c", "3"]);
        world.notes("phone", &["sync", "stick"]);
        world.notes("laptop", &["sync", "stick"]);
        world.copy("backup", "phone");
        if syncs_first {
            world.notes("phone", &["sync", "stick"]);
        }
        world.notes("phone", &["write", "d", "4"]);
        world.notes("phone", &["sync", "stick"]);
        world.notes("laptop", &["sync", "stick"]);
        assert_eq!(world.notes("laptop", &["show"]), "a\n  1\nb\n  2\nc\n  3\nd\n  4\n");
        assert_eq!(world.notes("phone", &["show"]), world.notes("laptop", &["show"]));
    }
}

#[test]
fn a_copied_device_is_another_device() {
    let world = World::new();
    world.notes("phone", &["write", "a", "1"]);
    world.copy("phone", "clone");
    world.notes("phone", &["write", "a", "2"]);
    world.notes("clone", &["write", "a", "3"]);
    world.notes("clone", &["write", "b", "4"]);
    world.notes("clone", &["sync", "stick"]);
    world.notes("phone", &["sync", "stick"]);
    let shown = world.notes("phone", &["show"]);
    let mut lines: Vec<&str> = shown.lines().collect();
    lines[1..3].sort_unstable();
    assert_eq!(lines, ["a", "  2", "  3", "b", "  4"]);
}

#[test]
fn commands_at_the_same_time_lose_nothing() {
    let world = World::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let world = &world;
            scope.spawn(move || world.notes("phone", &["write", &format!("title {n}"), "x"]));
        }
    });
    assert_eq!(world.notes("phone", &["show"]).lines().count(), 16);
}

#[test]
fn a_crash_before_the_rename_leaves_the_state_as_it_was() {
    let world = World::new();
    world.notes("phone", &["write", "a", "1"]);
    std::fs::write(world.path("phone/notes.new"), "{\"clock\":\"half").unwrap();
    assert_eq!(world.notes("phone", &["show"]), "a\n  1\n");
    world.notes("phone", &["write", "b", "2"]);
    assert_eq!(world.notes("phone", &["show"]), "a\n  1\nb\n  2\n");
}

#[test]
fn damaged_files_and_wrong_commands_are_named() {
    let world = World::new();
    assert!(world.notes("phone", &["wirte", "a", "1"]).contains("no such command: wirte a 1"));
    world.notes("phone", &["write", "a", "1"]);
    std::fs::create_dir_all(world.path("stick")).unwrap();
    std::fs::write(world.path("stick/laptop.notes"), "{").unwrap();
    let told = world.notes("phone", &["sync", "stick"]);
    assert!(told.contains("laptop.notes left out"), "{told}");
    let state = std::fs::read_to_string(world.path("phone/notes")).unwrap();
    let clock = state.find("\"clock\": \"").unwrap() + "\"clock\": \"".len();
    let nothing_seen = format!("{}EQ{}", &state[..clock], &state[clock + state[clock..].find('"').unwrap()..]);
    std::fs::write(world.path("phone/notes"), nothing_seen).unwrap();
    let told = world.notes("phone", &["show"]);
    assert!(told.starts_with("notes: phone/notes: a note is newer than the clock"), "{told}");
}
