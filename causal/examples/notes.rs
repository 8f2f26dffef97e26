//! Notes that several devices keep, offline as long as they like, and exchange through a shared folder: a USB stick,
//! a synchronised directory, a mail attachment. No server, no clock, no order of exchanges.
//!
//! ```text
//! notes DEVICE-DIR write TITLE TEXT        replaces what this device shows for TITLE
//! notes DEVICE-DIR show                    every note; what was written concurrently stands side by side
//! notes DEVICE-DIR remove TITLE            removes what this device shows for TITLE
//! notes DEVICE-DIR sync SHARED-DIR         takes in what the others left there, leaves this device's state there
//! ```
//! A device's directory holds `device` (who it is, which dots it may have used) and `notes` (the state). Both are
//! replaced whole, by rename after fsync, so that a crash leaves the old or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

use causal::{
    CausalContext, DotFun, DoubleSpentDot, Incarnation, Lease, Leased, MintError, Minter, NodeClock, Siblings, Stripped,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

type Actor = Incarnation<Uuid>;
type Note = Siblings<Actor, String>;

/// All notes of one device, and every dot it has taken in. A note that was removed is not stored at all: the clock
/// remembers that it was there.
#[derive(Default, Serialize, Deserialize)]
struct Notes {
    clock: NodeClock<Actor>,
    notes: BTreeMap<String, DotFun<Actor, String>>,
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
    fn take_in(&mut self, other: &Notes) -> Result<(), DoubleSpentDot<Actor>> {
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
    let new = path.with_extension(format!("{}.new", process::id()));
    fs::write(&new, bytes)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

fn load<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Box<dyn Error>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|why| format!("{}: {why}", path.display()).into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(e) => Err(format!("{}: {e}", path.display()).into()),
    }
}

/// The durable counter: who this device is, and which of its dots may be in use.
struct Device(PathBuf);

impl Device {
    fn store(&self, actor: Actor, through: u64) -> io::Result<Actor> {
        replace(&self.0, &serde_json::to_vec(&(actor, through))?).map(|()| actor)
    }
}

impl Lease<Actor> for Device {
    type Error = io::Error;

    fn load(&mut self) -> io::Result<Leased<Actor>> {
        let known: Option<(Actor, u64)> = load(&self.0).map_err(|why| io::Error::other(why.to_string()))?;
        let (actor, through) = match known {
            Some(known) => known,
            None => (self.store(Incarnation { node: Uuid::new_v4(), number: 1 }, 0)?, 0),
        };
        Ok(Leased { actor, through })
    }

    fn extend(&mut self, through: u64) -> io::Result<()> {
        let actor = self.load()?.actor;
        self.store(actor, through).map(|_| ())
    }

    fn renew(&mut self) -> io::Result<Actor> {
        self.store(Incarnation { node: Uuid::new_v4(), number: 1 }, 0)
    }
}

fn write(notes: &mut Notes, minter: &mut Minter<Actor, Device>, title: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let mut note = notes.note(title);
    let seen = note.context().clone();
    let dot = match note.update(&seen, minter, text.to_owned()) {
        Err(MintError::Amnesia { .. }) => {
            println!("this device was restored from a copy: it goes on under a new name");
            minter.renew()?;
            note.update(&seen, minter, text.to_owned())?
        }
        written => written?,
    };
    notes.clock.incorporate(dot);
    notes.keep(title.to_owned(), &note);
    Ok(())
}

fn sync(notes: &mut Notes, own: &str, shared: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(shared)?;
    for entry in fs::read_dir(shared)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "notes") {
            notes.take_in(&load(&path)?)?;
        }
    }
    Ok(replace(&shared.join(own).with_extension("notes"), &serde_json::to_vec(notes)?)?)
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let (directory, command) = arguments.split_first().ok_or("usage: notes DEVICE-DIR write|show|remove|sync ...")?;
    let directory = Path::new(directory);
    fs::create_dir_all(directory)?;
    let file = directory.join("notes");
    let mut notes: Notes = load(&file)?;
    let mut minter = Minter::open(Device(directory.join("device")))?.with_block(1);
    match command {
        ["show"] => {
            for (title, note) in &notes.notes {
                println!("{title}");
                note.iter().for_each(|(_, text)| println!("  {text}"));
            }
            return Ok(());
        }
        ["write", title, text] => write(&mut notes, &mut minter, title, text)?,
        ["remove", title] => {
            let mut note = notes.note(title);
            note.discard(&note.context().clone());
            notes.keep((*title).to_owned(), &note);
        }
        ["sync", shared] => sync(&mut notes, &minter.actor().node.simple().to_string(), Path::new(shared))?,
        other => return Err(format!("no such command: {}", other.join(" ")).into()),
    }
    Ok(replace(&file, &serde_json::to_vec_pretty(&notes)?)?)
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Err(why) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        eprintln!("notes: {why}");
        process::exit(1);
    }
}
