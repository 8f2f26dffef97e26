//! The manifest of a keyspace of fjall 3: which tables there are. fjall keeps a checksum of it and does not look at that.
//!
//! ```text
//! current = id:8 xxh3-128(v<id>):16 0       v<id> is the manifest; numbers little-endian
//! v<id>   = sections in the format of the crate sfa: format_version crate_version tree_type level_count filter_hash_type
//!           tables blob_files blob_gc_stats
//! tables  = levels:1 (runs:1 (tables:4 (id:8 0 xxh3-128:16 global_seqno:8) ..) ..) ..
//! ```

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::EngineError;
use super::ledger::Entry;

/// How many levels fjall has.
const LEVELS: usize = 7;
/// How many runs one level can name.
const RUNS: usize = 255;

/// The manifest of one keyspace.
pub(super) struct Manifest {
    keyspace: PathBuf,
}

impl Manifest {
    /// The one in this folder.
    pub(super) fn of(keyspace: &Path) -> Self {
        Self { keyspace: keyspace.to_owned() }
    }

    /// The folder.
    pub(super) fn keyspace(&self) -> &Path {
        &self.keyspace
    }

    /// Does it match its checksum?
    ///
    /// # Errors
    /// [`EngineError::Damaged`] if not.
    pub(super) fn check(&self, entry: &Entry) -> Result<(), EngineError> {
        let damaged = |what: &str| EngineError::Damaged(format!("the manifest of {} {what}", self.keyspace.display()));
        let current = match std::fs::read(self.keyspace.join("current")) {
            Ok(current) => current,
            // fjall removes a keyspace that was never finished.
            Err(why) if why.kind() == std::io::ErrorKind::NotFound && entry.written == 0 => return Ok(()),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Err(damaged("is gone")),
            Err(why) => return Err(why.into()),
        };
        let (id, rest) = current.split_first_chunk().ok_or_else(|| damaged("is cut short"))?;
        let (checksum, _) = rest.split_first_chunk().ok_or_else(|| damaged("is cut short"))?;
        let version = self.keyspace.join(format!("v{}", u64::from_le_bytes(*id)));
        let version = match std::fs::read(version) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged("names a version that is gone"));
            }
            read => read?,
        };
        let is_whole = xxhash_rust::xxh3::xxh3_128(&version) == u128::from_le_bytes(*checksum);
        if is_whole { Ok(()) } else { Err(damaged("does not match its checksum")) }
    }

    /// The tables that are there, whatever it says.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn tables(&self) -> Result<Vec<u64>, EngineError> {
        let mut tables = Vec::new();
        for entry in std::fs::read_dir(self.keyspace.join("tables"))? {
            tables.extend(entry?.file_name().to_str().and_then(|id| id.parse::<u64>().ok()));
        }
        tables.sort_unstable();
        Ok(tables)
    }

    /// Writes one that names these tables, as if none were older than another: good for reading in order, which asks every table.
    ///
    /// # Errors
    /// If it cannot be written, or they are too many.
    pub(super) fn write(&self, tables: &[u64]) -> Result<(), EngineError> {
        if tables.len() > LEVELS * RUNS {
            return Err(EngineError::Damaged(format!("its {} tables are too many for a new manifest", tables.len())));
        }
        let id = 1_u64;
        let path = self.keyspace.join(format!("v{id}"));
        let written = || -> Result<(), sfa::Error> {
            let mut out = sfa::Writer::from_writer(std::io::BufWriter::new(File::create(&path)?));
            let sections: [(&str, Vec<u8>); 8] = [
                ("format_version", vec![3]),
                ("crate_version", b"3".to_vec()),
                ("tree_type", vec![0]),
                ("level_count", vec![LEVELS as u8]),
                ("filter_hash_type", vec![0]),
                ("tables", levels(tables)),
                ("blob_files", vec![0; 4]),
                ("blob_gc_stats", vec![0; 4]),
            ];
            for (name, bytes) in sections {
                out.start(name)?;
                out.write_all(&bytes)?;
            }
            out.finish()
        };
        written().map_err(|why| EngineError::Failed(format!("a manifest cannot be written: {why:?}")))?;
        let checksum = xxhash_rust::xxh3::xxh3_128(&std::fs::read(&path)?);
        let current = [id.to_le_bytes().as_slice(), &checksum.to_le_bytes(), &[0]].concat();
        Ok(std::fs::write(self.keyspace.join("current"), current)?)
    }
}

/// Each table in a run of its own.
fn levels(tables: &[u64]) -> Vec<u8> {
    let mut out = vec![LEVELS as u8];
    let mut levels = tables.chunks(RUNS);
    for _ in 0..LEVELS {
        let runs = levels.next().unwrap_or_default();
        out.push(runs.len() as u8);
        for table in runs {
            out.extend(1_u32.to_le_bytes());
            out.extend(table.to_le_bytes());
            out.push(0);
            // Nobody looks at the checksum of a whole table: its blocks have their own.
            out.extend(0_u128.to_le_bytes());
            out.extend(0_u64.to_le_bytes());
        }
    }
    out
}
