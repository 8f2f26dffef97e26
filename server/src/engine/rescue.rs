//! Opens what can be read of damaged records of fjall, in a copy.
//!
//! Journals lose what is no whole batch; a manifest that cannot be trusted is written anew from the tables that are there; a
//! table that does not open, or has no index, is left out. What fjall notes about the one keyspace there is, and not the records, is taken from a new
//! database: it is always the same.

use std::ops::ControlFlow;
use std::path::Path;

use super::fjall::{Fjall, OnDamage};
use super::journal::Journals;
use super::ledger::Entry;
use super::manifest::Manifest;
use super::mend::remove;
use super::{EVERYTHING, Engine as _, EngineError, Loss, beside};

/// Where the tables of the one keyspace are; what fjall notes about keyspaces is in `keyspaces/0`.
const KEYSPACE: &str = "keyspaces/1";

/// Opens, in a folder that need not be there, what can be read of damaged records; notes what cannot.
///
/// # Errors
/// If nothing can be opened, or that cannot be written.
pub(super) fn open_readable(path: &Path, into: &Path, entry: &Entry, loss: &mut Loss) -> Result<Fjall, EngineError> {
    let journals = Journals::examine(path, entry)?;
    journals.note_loss(loss);
    let damaged = Manifest::of(&path.join(KEYSPACE));
    let is_trusted = damaged.check(entry).is_ok();
    let mut met = Vec::new();
    if is_trusted
        && let Ok(opened) = open_as_it_is(&damaged, &journals, into, &mut |why| {
            met.push(why.to_string());
            Ok(())
        })
        && is_readable(&opened)
    {
        loss.other.extend(met);
        return Ok(opened);
    }
    let (mut whole, probe) = (Vec::new(), beside(into, ".probe"));
    let tables = damaged.tables()?;
    for table in &tables {
        // What it has of recent records is judged when all are there.
        match open_tables(&damaged, &[*table], None, &probe, &mut |_| Ok(())) {
            Ok(alone) if is_readable(&alone) => whole.push(*table),
            _ => loss.other.push(format!("table {table} of {}, which cannot be read", tables.len())),
        }
    }
    remove(&probe)?;
    if !is_trusted {
        loss.other.push("the manifest (what was removed shortly before may be back)".to_owned());
    }
    open_tables(&damaged, &whole, Some(&journals), into, &mut |why| {
        loss.other.push(why.to_string());
        Ok(())
    })
}

/// Can it be read from one end at least? A table whose index is damaged stops every walk, also of what others hold.
fn is_readable(opened: &Fjall) -> bool {
    let mut first = |_: &[u8], _: &[u8]| ControlFlow::Break(());
    opened.scan(EVERYTHING, &mut first).is_ok() || opened.scan_back(EVERYTHING, &mut first).is_ok()
}

fn open_as_it_is(
    damaged: &Manifest,
    journals: &Journals,
    into: &Path,
    on_damage: &mut OnDamage<'_>,
) -> Result<Fjall, EngineError> {
    new_database(into)?;
    let keyspace = into.join(KEYSPACE);
    std::fs::remove_dir_all(&keyspace)?;
    copy_or_link(damaged.keyspace(), &keyspace)?;
    journals.write_whole(into)?;
    Fjall::open_despite(into, on_damage)
}

fn open_tables(
    damaged: &Manifest,
    tables: &[u64],
    journals: Option<&Journals>,
    into: &Path,
    on_damage: &mut OnDamage<'_>,
) -> Result<Fjall, EngineError> {
    new_database(into)?;
    let new = Manifest::of(&into.join(KEYSPACE));
    for table in tables {
        let [from, to] = [damaged, &new].map(|manifest| manifest.keyspace().join("tables").join(table.to_string()));
        link(&from, &to)?;
    }
    new.write(tables)?;
    journals.map_or(Ok(()), |journals| journals.write_whole(into))?;
    Fjall::open_despite(into, on_damage)
}

/// An empty database with no journal.
fn new_database(into: &Path) -> Result<(), EngineError> {
    remove(into)?;
    drop(Fjall::open(into)?);
    for journal in std::fs::read_dir(into)? {
        let journal = journal?.path();
        if journal.extension().is_some_and(|ending| ending == "jnl") {
            std::fs::remove_file(journal)?;
        }
    }
    Ok(())
}

/// Tables are never written again: they are linked, everything else is copied.
fn copy_or_link(from: &Path, into: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(into)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), into.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_or_link(&path, &target)?;
        } else if from.ends_with("tables") {
            link(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(drop))
}
