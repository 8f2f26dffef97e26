//! The channels of merges: what concurrency did, as it happens, one JSON object per merge.
//!
//! `__dot__:merges` has all merges of the node one is connected to, `__dot__:merges:<key>` those of a key.

use std::fmt::Write as _;

use replica::{CellId, CellKind, Dot, MergeReport, View};

use crate::stream::EntryId;

/// The channel of all merges.
pub const CHANNEL: &[u8] = b"__dot__:merges";

/// One merge as JSON: `{"key":..,"type":..,"node":..,"from":..,"in":[..],"out":[..],"siblings":[before,after]}`,
/// with `"field"` or `"member"` where it was one.
#[must_use]
pub fn describe(report: &MergeReport, view: &View) -> String {
    let note = &report.note;
    let mut json = format!("{{\"key\":{}", quoted(&note.key));
    let part = match &note.cell {
        CellId { kind: CellKind::Value | CellKind::Deadline | CellKind::Item, .. } => String::new(),
        CellId { kind: CellKind::Member | CellKind::Score, name } => format!(",\"member\":{}", quoted(name)),
        CellId { kind: CellKind::Field, name } => format!(",\"field\":{}", quoted(name)),
        CellId { kind: CellKind::Entry, name } => {
            EntryId::from_name(name).map_or_else(String::new, |id| format!(",\"entry\":\"{id}\""))
        }
    };
    let (me, from) = (quoted(view.name(view.me).as_bytes()), quoted(view.name(report.from).as_bytes()));
    // Writing into a string does not fail.
    let _ = write!(json, "{part},\"type\":\"{}\",\"node\":{me},\"from\":{from}", type_name(note.cell.kind));
    let _ = write!(json, ",\"in\":{},\"out\":{}", dots(&note.dots_in, view), dots(&note.dots_out, view));
    let _ = write!(json, ",\"siblings\":[{},{}]}}", note.siblings_before, note.siblings_after);
    json
}

/// What TYPE says of a key that has such cells.
#[must_use]
pub fn type_name(kind: CellKind) -> &'static str {
    match kind {
        CellKind::Value => "string",
        CellKind::Member => "set",
        CellKind::Field => "hash",
        CellKind::Score => "zset",
        CellKind::Item => "list",
        CellKind::Entry => "stream",
        CellKind::Deadline => "expiry",
    }
}

/// A dot as people read it: node, incarnation, counter.
#[must_use]
pub fn dot_name(dot: &Dot, view: &View) -> String {
    format!("{}.{}:{}", view.name(dot.actor.node), dot.actor.incarnation.0, dot.counter)
}

fn dots(dots: &[Dot], view: &View) -> String {
    let names: Vec<String> = dots.iter().map(|dot| quoted(dot_name(dot, view).as_bytes())).collect();
    format!("[{}]", names.join(","))
}

/// A JSON string; bytes that are no UTF-8 become replacement characters.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
