//! Notes that several devices keep, offline as long as they like, and exchange through a shared folder: a USB stick,
//! a synchronised directory, a mail attachment. No server, no clock, no order of exchanges.
//!
//! ```text
//! notes DEVICE-DIR write TITLE TEXT        replaces what this device shows for TITLE
//! notes DEVICE-DIR show                    every note; what was written concurrently stands side by side
//! notes DEVICE-DIR remove TITLE            removes what this device shows for TITLE
//! notes DEVICE-DIR sync SHARED-DIR         takes in what the others left there, leaves this device's state there
//! ```
//! A device's directory holds `notes`, its whole state, replaced by rename after fsync, so that a crash leaves the old or
//! the new one; and `lock`, so that one command runs at a time.
//!
//! Each run that writes does so under a name of its own, a fresh UUID: whatever is restored from a backup or copied, no
//! dot is ever given twice. (An app that stays open takes one per start. One that cannot afford 18 bytes for each keeps a
//! durable counter: see `causal::Lease`.)

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsStr;
use std::path::Path;
use std::{env, fs, io, process};

use causal::{CausalContext, DotFun, DoubleSpentDot, Minter, NodeClock, Siblings, Stripped};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

type Note = Siblings<Uuid, String>;

/// All notes of one device, and every dot it has taken in. A note that was removed is not stored at all: the clock
/// remembers that it was there.
#[derive(Default, Serialize, Deserialize)]
struct Notes {
    clock: NodeClock<Uuid>,
    notes: BTreeMap<String, DotFun<Uuid, String>>,
}

impl Notes {
    fn note(&self, title: &str) -> Note {
        let live = self.notes.get(title).cloned().unwrap_or_default();
        Stripped::from_parts(live, CausalContext::new()).fill(&self.clock)
    }

    fn keep(&mut self, title: String, note: &Note) {
        match note.is_empty() {
            true => drop(self.notes.remove(&title)),
            false => drop(self.notes.insert(title, note.live().clone())),
        }
    }

    /// All or nothing: two payloads under one dot stop it before anything is changed.
    fn take_in(&mut self, other: &Notes) -> Result<(), DoubleSpentDot<Uuid>> {
        let titles: BTreeSet<&String> = self.notes.keys().chain(other.notes.keys()).collect();
        let merged = titles.into_iter().map(|title| {
            let mut note = self.note(title);
            note.sync(&other.note(title)).map(|_| (title.clone(), note))
        });
        for (title, note) in merged.collect::<Result<Vec<_>, _>>()? {
            self.keep(title, &note);
        }
        self.clock.incorporate_all(&other.clock);
        Ok(())
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

/// The state in a file; nothing yet if there is none. Whatever is not a state is an error.
fn load(path: &Path) -> Result<Notes, Box<dyn Error>> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Notes::default()),
        read => read?,
    };
    let notes: Notes = serde_json::from_slice(&bytes)?;
    let live = notes.notes.values().flat_map(DotFun::dots);
    if live.into_iter().any(|dot| !notes.clock.seen().contains(dot)) {
        return Err("a note is newer than the clock".into());
    }
    Ok(notes)
}

fn write(notes: &mut Notes, title: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let (mut note, mut minter) = (notes.note(title), Minter::once(Uuid::new_v4()));
    let seen = note.context().clone();
    notes.clock.incorporate(note.update(&seen, &mut minter, text.to_owned())?);
    notes.keep(title.to_owned(), &note);
    Ok(())
}

/// Files that are no state, half-copied ones say, are named and left out.
fn sync(notes: &mut Notes, own: &OsStr, shared: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(shared)?;
    for entry in fs::read_dir(shared)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "notes") {
            match load(&path) {
                Ok(other) => notes.take_in(&other)?,
                Err(why) => eprintln!("notes: {} left out: {why}", path.display()),
            }
        }
    }
    Ok(replace(&shared.join(own).with_extension("notes"), &serde_json::to_vec(notes)?)?)
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let (directory, command) = arguments.split_first().ok_or("usage: notes DEVICE-DIR write|show|remove|sync ...")?;
    let directory = Path::new(directory);
    fs::create_dir_all(directory)?;
    let lock = fs::File::create(directory.join("lock"))?;
    lock.lock()?; // until this process ends
    let file = directory.join("notes");
    let mut notes = load(&file).map_err(|why| format!("{}: {why}", file.display()))?;
    match command {
        ["show"] => {
            for (title, note) in &notes.notes {
                println!("{title}");
                note.iter().for_each(|(_, text)| println!("  {text}"));
            }
            return Ok(());
        }
        ["write", title, text] => write(&mut notes, title, text)?,
        ["remove", title] => {
            let mut note = notes.note(title);
            note.discard(&note.context().clone());
            notes.keep((*title).to_owned(), &note);
        }
        ["sync", shared] => sync(&mut notes, directory.file_name().unwrap_or(OsStr::new("device")), Path::new(shared))?,
        other => return Err(format!("no such command: {}", other.join(" ")).into()),
    }
    Ok(replace(&file, &serde_json::to_vec_pretty(&notes)?)?)
}

fn main() {
    let arguments: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if let Err(why) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        eprintln!("notes: {why}");
        process::exit(1);
    }
}
