//! The peers of the bars for sequences and text. The bars run this in a process of its own:
//!
//! ```text
//! peers trace                    the trace: "at deleted inserted" for each edit, ended by a zero byte
//! peers seq-insert NAME ROUNDS   nanoseconds per insertion, a line for each round
//! peers text-edit NAME ROUNDS    nanoseconds per edit, bytes of the file, microseconds to load it; a line for each round
//! ```
//!
//! The trace is the one of the automerge paper (Kleppmann, Beresford 2017): 259,778 edits of one character by one author,
//! 104,852 characters in the end. No crate exports it; `loro-internal`, which `loro` is made of, ships it with its own
//! benchmarks, and that file is read.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use automerge::{AutoCommit, ObjType, ROOT, ReadDoc, transaction::Transactable};
use diamond_types::list::{ListCRDT, encoding::ENCODE_FULL};
use flate2::read::GzDecoder;
use loro::{ExportMode, LoroDoc};
use yrs::updates::decoder::Decode;
use yrs::{Array, Doc, GetString, ReadTxn, StateVector, Text as _, Transact, Update};

const SEQ_INSERTS: usize = 20_000;

/// Position, characters deleted there, then text inserted there.
struct Edit {
    at: usize,
    deleted: usize,
    inserted: String,
}

struct TextRun {
    edit: Duration,
    /// Decoding the file and reading the whole text out of it.
    load: Duration,
    bytes: usize,
    text: String,
}

/// The folder of the sources of `loro-internal`.
fn loro_internal() -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let args = ["metadata", "--format-version=1", "--filter-platform=host-tuple", "--manifest-path", manifest];
    let out = Command::new(env!("CARGO")).args(args).output().expect("cargo metadata runs");
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let package = packages.iter().find(|package| package["name"] == "loro-internal").expect("loro depends on it");
    PathBuf::from(package["manifest_path"].as_str().expect("a path")).with_file_name("")
}

fn trace() -> (Vec<Edit>, String) {
    let file = File::open(loro_internal().join("benches/automerge-paper.json.gz")).expect("the trace is shipped");
    let trace: serde_json::Value = serde_json::from_reader(BufReader::new(GzDecoder::new(file))).expect("JSON");
    let patches = trace["txns"].as_array().into_iter().flatten().flat_map(|txn| txn["patches"].as_array());
    let number = |value: &serde_json::Value| value.as_u64().expect("a number") as usize;
    let edit = |patch: &serde_json::Value| Edit {
        at: number(&patch[0]),
        deleted: number(&patch[1]),
        inserted: patch[2].as_str().expect("a text").to_owned(),
    };
    let end = trace["endContent"].as_str().expect("a text").to_owned();
    (patches.flatten().map(edit).collect(), end)
}

/// Where to insert into a list of 0, 1, 2... elements, by xorshift64.
fn positions(count: usize) -> Vec<usize> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(|len| (next() % (len as u64 + 1)) as usize).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn loro_seq_insert(positions: &[usize]) -> Duration {
    let doc = LoroDoc::new();
    let list = doc.get_list("list");
    let (time, ()) = timed(|| {
        for (value, &at) in positions.iter().enumerate() {
            list.insert(at, value as i64).expect("an index within the list");
        }
        doc.commit();
    });
    assert_eq!(list.len(), positions.len());
    time
}

fn automerge_seq_insert(positions: &[usize]) -> Duration {
    let mut doc = AutoCommit::new();
    let list = doc.put_object(ROOT, "list", ObjType::List).expect("a new list");
    doc.commit();
    let (time, ()) = timed(|| {
        for (value, &at) in positions.iter().enumerate() {
            doc.insert(&list, at, value as i64).expect("an index within the list");
        }
        doc.commit();
    });
    assert_eq!(doc.length(&list), positions.len());
    time
}

fn yrs_seq_insert(positions: &[usize]) -> Duration {
    let doc = Doc::new();
    let list = doc.get_or_insert_array("list");
    let (time, ()) = timed(|| {
        let mut txn = doc.transact_mut();
        for (value, &at) in positions.iter().enumerate() {
            list.insert(&mut txn, at as u32, value as i64);
        }
    });
    assert_eq!(list.len(&doc.transact()) as usize, positions.len());
    time
}

fn loro_text_edit(edits: &[Edit]) -> TextRun {
    let doc = LoroDoc::new();
    let text = doc.get_text("text");
    let (edit, ()) = timed(|| {
        for Edit { at, deleted, inserted } in edits {
            if *deleted > 0 {
                text.delete(*at, *deleted).expect("a range within the text");
            }
            if !inserted.is_empty() {
                text.insert(*at, inserted).expect("an index within the text");
            }
        }
        doc.commit();
    });
    let file = doc.export(ExportMode::Snapshot).expect("a snapshot");
    let (load, text) = timed(|| {
        let doc = LoroDoc::from_snapshot(&file).expect("the snapshot just made");
        doc.get_text("text").to_string()
    });
    TextRun { edit, load, bytes: file.len(), text }
}

fn automerge_text_edit(edits: &[Edit]) -> TextRun {
    let mut doc = AutoCommit::new();
    let text = doc.put_object(ROOT, "text", ObjType::Text).expect("a new text");
    doc.commit();
    let (edit, ()) = timed(|| {
        for Edit { at, deleted, inserted } in edits {
            doc.splice_text(&text, *at, *deleted as isize, inserted).expect("a range within the text");
        }
        doc.commit();
    });
    let file = doc.save();
    let (load, text) = timed(|| {
        let doc = AutoCommit::load(&file).expect("the file just made");
        doc.text(&text).expect("the text")
    });
    TextRun { edit, load, bytes: file.len(), text }
}

/// A transaction for each edit: in one for all, this peer takes minutes.
fn yrs_text_edit(edits: &[Edit]) -> TextRun {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("text");
    let (edit, ()) = timed(|| {
        for Edit { at, deleted, inserted } in edits {
            let mut txn = doc.transact_mut();
            if *deleted > 0 {
                text.remove_range(&mut txn, *at as u32, *deleted as u32);
            }
            if !inserted.is_empty() {
                text.insert(&mut txn, *at as u32, inserted);
            }
        }
    });
    let file = doc.transact().encode_state_as_update_v2(&StateVector::default());
    let (load, text) = timed(|| {
        let doc = Doc::new();
        let text = doc.get_or_insert_text("text");
        let mut txn = doc.transact_mut();
        txn.apply_update(Update::decode_v2(&file).expect("the update just made")).expect("nothing missing");
        text.get_string(&txn)
    });
    TextRun { edit, load, bytes: file.len(), text }
}

/// This peer knows no commits: every operation is on its own.
fn diamond_text_edit(edits: &[Edit]) -> TextRun {
    let mut doc = ListCRDT::new();
    let agent = doc.get_or_create_agent_id("user");
    let (edit, ()) = timed(|| {
        for Edit { at, deleted, inserted } in edits {
            if *deleted > 0 {
                doc.delete_without_content(agent, *at..*at + *deleted);
            }
            if !inserted.is_empty() {
                doc.insert(agent, *at, inserted);
            }
        }
    });
    let file = doc.oplog.encode(ENCODE_FULL);
    let (load, text) = timed(|| {
        let doc = ListCRDT::load_from(&file).expect("the file just made");
        doc.branch.content().to_string()
    });
    TextRun { edit, load, bytes: file.len(), text }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let rounds = || names[2].parse().expect("a number of rounds");
    match names[..] {
        ["trace"] => {
            for Edit { at, deleted, inserted } in trace().0 {
                print!("{at} {deleted} {inserted}\0"); // some insert a line's end
            }
        }
        ["seq-insert", name, _] => {
            let insert = match name {
                "loro" => loro_seq_insert,
                "automerge" => automerge_seq_insert,
                _ => yrs_seq_insert,
            };
            for _ in 0..rounds() {
                println!("{}", insert(&positions(SEQ_INSERTS)).as_nanos() as f64 / SEQ_INSERTS as f64);
            }
        }
        ["text-edit", name, _] => {
            let edit = match name {
                "diamond-types" => diamond_text_edit,
                "loro" => loro_text_edit,
                "automerge" => automerge_text_edit,
                _ => yrs_text_edit,
            };
            let (edits, end) = trace();
            for _ in 0..rounds() {
                let run = edit(&edits);
                assert_eq!(run.text, end, "the text is another one");
                let each = run.edit.as_nanos() as f64 / edits.len() as f64;
                println!("{each} {} {}", run.bytes, run.load.as_nanos() as f64 / 1_000.0);
            }
        }
        _ => panic!("see the top of this file"),
    }
}
