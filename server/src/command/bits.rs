//! Bits of strings: read and written as parts of the one cell, by what the coordinator sees.

use std::collections::BTreeSet;
use std::sync::Arc;

use replica::{Answer, ByteString, CellId, CellKind, Keys, Operation, Read};

use crate::command::refusal::{Done, Refused, first_refusal};
use crate::command::requests::{Asker, call_at, request};
use crate::command::strings::{range_of, replace};
use crate::command::values::{string, winner};
use crate::command::{
    Arguments, Command, KeyPlaces, ONE_KEY, READ, READ_FAST, WRITE, WRITE_IN_TURN, check_name, here, read_kind, there,
};
use crate::dump::Contents;
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::Call;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

const GROUP: &str = "bitmap";

pub(super) static COMMANDS: &[Command] = &[
    there("SETBIT", 4, WRITE, ONE_KEY, GROUP, "Writes a bit.", setbit),
    here("GETBIT", 3, READ_FAST, ONE_KEY, GROUP, "A bit.", getbit),
    here("BITCOUNT", -2, READ, ONE_KEY, GROUP, "How many bits are set.", bitcount),
    here("BITPOS", -3, READ, ONE_KEY, GROUP, "The first bit of a kind.", bitpos),
    here(
        "BITOP",
        -4,
        WRITE_IN_TURN,
        KeyPlaces::Fixed(2, -1, 1),
        GROUP,
        "Combines strings bit by bit; reads, then writes.",
        bitop,
    ),
    there("BITFIELD", -2, WRITE, ONE_KEY, GROUP, "Reads and writes integers of any width.", bitfield),
    here("BITFIELD_RO", -2, READ_FAST, ONE_KEY, GROUP, "Reads integers of any width.", bitfield_ro),
];

/// How many different keys BITOP reads at once.
const BITOP_KEYS: usize = 64;

/// The greatest bit a value can have, plus one.
fn bits_most(node: &Node) -> u64 {
    node.config.max_value_bytes.get().saturating_mul(8)
}

fn offset(arguments: &Arguments<'_>, at: usize, node: &Node) -> Result<usize, Refused> {
    let invalid = || Reply::error("ERR bit offset is not an integer or out of range");
    let offset = parse_integer(arguments.get(at)).and_then(|offset| u64::try_from(offset).ok());
    let offset = offset.filter(|offset| *offset < bits_most(node)).ok_or_else(invalid)?;
    usize::try_from(offset).map_err(|_| invalid().into())
}

fn bit(value: &[u8], at: usize) -> bool {
    value.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
}

fn set_bit(value: &mut [u8], at: usize, to: bool) {
    let mask = 1 << (7 - at % 8);
    if to {
        value[at / 8] |= mask;
    } else {
        value[at / 8] &= !mask;
    }
}

fn setbit(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let at = offset(arguments, 2, node)?;
    let to = match arguments.get(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(Reply::error("ERR bit is not an integer or out of range").into()),
    };
    let mut value = string(keys, arguments.get(1))?.unwrap_or_default();
    let before = bit(&value, at);
    value.resize(value.len().max(at / 8 + 1), 0);
    set_bit(&mut value, at, to);
    replace(keys, arguments.get(1), value, node)?;
    Ok(Reply::Integer(before.into()))
}

/// Reads the value.
fn with_value(
    arguments: &Arguments<'_>,
    session: &Session,
    node: &Arc<Node>,
    reply: impl FnOnce(Option<Vec<u8>>) -> Reply + 'static,
) -> Step {
    let what = Read::Cells(vec![CellId::value()]);
    read_kind(session, node, arguments.get(1), what, CellKind::Value, |found| reply(winner(&found, &CellId::value())))
}

fn getbit(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match offset(arguments, 2, node) {
        Ok(at) => with_value(arguments, session, node, move |value| {
            Reply::Integer(bit(&value.unwrap_or_default(), at).into())
        }),
        Err(refused) => refused.at_once(node),
    }
}

/// Places from one to another, in bytes or bits.
#[derive(Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
    in_bits: bool,
}

impl Span {
    /// `start end [BYTE | BIT]`, from this argument on.
    fn parse(arguments: &Arguments<'_>, at: usize) -> Result<Self, Refused> {
        let in_bits = match (arguments.len() - at, arguments.word(at + 2).as_str()) {
            (2, _) | (3, "BYTE") => false,
            (3, "BIT") => true,
            _ => return Err(Reply::syntax_error().into()),
        };
        Ok(Self { from: arguments.integer(at)?, to: arguments.integer(at + 1)?, in_bits })
    }

    /// As places of bits.
    fn bits(self, value: &[u8]) -> std::ops::Range<usize> {
        if self.in_bits {
            return range_of(value.len() * 8, self.from, self.to);
        }
        let bytes = range_of(value.len(), self.from, self.to);
        bytes.start * 8..bytes.end * 8
    }
}

fn bitcount(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let span = match arguments.len() {
        2 => Ok(Span { from: 0, to: -1, in_bits: false }),
        3 => Err(Reply::syntax_error().into()),
        _ => Span::parse(arguments, 2),
    };
    match span {
        Ok(span) => with_value(arguments, session, node, move |value| {
            let value = value.unwrap_or_default();
            let bits = span.bits(&value);
            let (first, last) = (bits.start.div_ceil(8), bits.end / 8);
            if first >= last {
                return Reply::count(bits.filter(|at| bit(&value, *at)).count());
            }
            let whole: u32 = value[first..last].iter().map(|byte| byte.count_ones()).sum();
            let edges = (bits.start..first * 8).chain(last * 8..bits.end).filter(|at| bit(&value, *at)).count();
            Reply::count(whole as usize + edges)
        }),
        Err(refused) => refused.at_once(node),
    }
}

fn bitpos(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let wanted = match parse_integer(arguments.get(2)) {
        Some(0) => false,
        Some(1) => true,
        Some(_) => return Reply::error("ERR The bit argument must be 1 or 0.").into(),
        None => return Reply::not_an_integer().into(),
    };
    let has_end = arguments.len() > 4;
    let span = match arguments.len() {
        3 => Ok(Span { from: 0, to: -1, in_bits: false }),
        4 => arguments.integer(3).map(|from| Span { from, to: -1, in_bits: false }),
        _ => Span::parse(arguments, 3),
    };
    match span {
        Ok(span) => with_value(arguments, session, node, move |value| {
            let Some(value) = value else { return Reply::Integer(if wanted { -1 } else { 0 }) };
            let bits = span.bits(&value);
            let end = bits.end;
            let is_empty = bits.is_empty();
            // Whole bytes without such a bit are passed over.
            let barren = if wanted { 0 } else { u8::MAX };
            let mut at = bits.start;
            while at < end {
                if at % 8 == 0 && at + 8 <= end && value[at / 8] == barren {
                    at += 8;
                } else if bit(&value, at) == wanted {
                    return Reply::count(at);
                } else {
                    at += 1;
                }
            }
            // Behind the last byte there are zeros, unless it was said where to end.
            if !wanted && !has_end && !is_empty { Reply::count(value.len() * 8) } else { Reply::Integer(-1) }
        }),
        Err(refused) => refused.at_once(node),
    }
}

fn bitop(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let operation = arguments.word(1);
    let fold: fn(u8, u8) -> u8 = match operation.as_str() {
        "AND" => |x, y| x & y,
        "OR" => |x, y| x | y,
        "XOR" => |x, y| x ^ y,
        "NOT" if arguments.len() == 4 => |_, y| !y,
        "NOT" => return Reply::error("ERR BITOP NOT must be called with a single source key.").into(),
        _ => return Reply::syntax_error().into(),
    };
    if let Some(refused) = arguments.skip(2).find_map(|key| check_name(node, key).err()) {
        return refused.into();
    }
    let ask = |key| request(session, node, key, Operation::Read(Read::Cells(vec![CellId::value()])));
    // Each key is read once, however often it is named.
    let named: Vec<&[u8]> = arguments.skip(3).collect();
    let distinct: BTreeSet<&[u8]> = named.iter().copied().collect();
    if distinct.len() > BITOP_KEYS {
        return Reply::error(format!("ERR BITOP takes up to {BITOP_KEYS} different keys")).into();
    }
    let places: Vec<usize> = named.iter().map(|key| distinct.iter().take_while(|other| *other < key).count()).collect();
    let requests = distinct.into_iter().map(ask).collect();
    let (to, asker) = (arguments.get(2).to_vec(), Asker::of(session));
    Step::Ask(
        requests,
        Box::new(move |answers, node| {
            if let Some(refused) = first_refusal(&answers, node) {
                return refused.into();
            }
            let mut values = Vec::new();
            for answer in &answers {
                let Answer::Found(found) = answer else { continue };
                if found.kind.is_some_and(|kind| kind != CellKind::Value) {
                    return Reply::wrong_type().into();
                }
                values.push(winner(found, &CellId::value()).unwrap_or_default());
            }
            let values: Vec<&Vec<u8>> = places.iter().filter_map(|place| values.get(*place)).collect();
            let len = values.iter().map(|value| value.len()).max().unwrap_or(0);
            let at = |value: &Vec<u8>, place: usize| value.get(place).copied().unwrap_or(0);
            let result = (0..len).map(|place| {
                let mut bytes = values.iter().map(|value| at(value, place));
                let first = bytes.next().unwrap_or(0);
                if operation == "NOT" { fold(0, first) } else { bytes.fold(first, fold) }
            });
            let result: Vec<u8> = result.collect();
            // Nothing at all takes the key away.
            let contents = if len == 0 { Contents::Set(Vec::new()) } else { Contents::String(ByteString(result)) };
            let put = Call::store("set", &to, contents);
            call_at(&to, &put, &asker, node).map_reply(move |reply| match reply {
                Reply::Integer(_) => Reply::count(len),
                refused => refused,
            })
        }),
    )
}

/// What happens to an integer that does not fit its width.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64, Overflow),
}

/// One part of a BITFIELD.
#[derive(Clone, Copy)]
struct Field {
    signed: bool,
    width: u32,
    at: usize,
    action: Action,
}

impl Field {
    fn parse_all(arguments: &Arguments<'_>, node: &Node) -> Result<Vec<Self>, Refused> {
        let (mut fields, mut overflow, mut at) = (Vec::new(), Overflow::Wrap, 2);
        while at < arguments.len() {
            let word = arguments.word(at);
            let arity = if word == "OVERFLOW" {
                1
            } else if word == "GET" {
                2
            } else {
                3
            };
            if at + arity >= arguments.len() {
                return Err(Reply::syntax_error().into());
            }
            if word == "OVERFLOW" {
                overflow = match arguments.word(at + 1).as_str() {
                    "WRAP" => Overflow::Wrap,
                    "SAT" => Overflow::Saturate,
                    "FAIL" => Overflow::Fail,
                    _ => return Err(Reply::error("ERR Invalid OVERFLOW type specified").into()),
                };
                at += 2;
                continue;
            }
            let (signed, width) = Self::parse_kind(&arguments.text(at + 1))?;
            let place = Self::parse_place(&arguments.text(at + 2), width, node)?;
            let action = match word.as_str() {
                "GET" => Action::Get,
                "SET" => Action::Set(arguments.integer(at + 3)?),
                "INCRBY" => Action::Add(arguments.integer(at + 3)?, overflow),
                _ => return Err(Reply::syntax_error().into()),
            };
            fields.push(Self { signed, width, at: place, action });
            at += arity + 1;
        }
        Ok(fields)
    }

    fn parse_kind(text: &str) -> Result<(bool, u32), Refused> {
        let invalid =
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
        let signed = text.starts_with('i');
        let width = text.strip_prefix(['i', 'u']).and_then(|width| parse_integer(width.as_bytes()));
        let width = width.and_then(|width| u32::try_from(width).ok());
        let most = if signed { 64 } else { 63 };
        let width = width.filter(|width| (1..=most).contains(width)).ok_or_else(|| Reply::error(invalid))?;
        Ok((signed, width))
    }

    fn parse_place(text: &str, width: u32, node: &Node) -> Result<usize, Refused> {
        let invalid = || Reply::error("ERR bit offset is not an integer or out of range");
        let (text, unit) = text.strip_prefix('#').map_or((text, 1), |text| (text, u64::from(width)));
        let place = parse_integer(text.as_bytes()).and_then(|place| u64::try_from(place).ok());
        let place = place.and_then(|place| place.checked_mul(unit));
        let place =
            place.filter(|place| place.saturating_add(u64::from(width)) <= bits_most(node)).ok_or_else(invalid)?;
        usize::try_from(place).map_err(|_| invalid().into())
    }

    fn get(self, value: &[u8]) -> i64 {
        let bits =
            (self.at..self.at + self.width as usize).fold(0_u64, |bits, at| bits << 1 | u64::from(bit(value, at)));
        if self.signed && self.width < 64 && bits >> (self.width - 1) & 1 == 1 {
            (bits | u64::MAX << self.width) as i64
        } else {
            bits as i64
        }
    }

    fn put(self, value: &mut Vec<u8>, number: i64) {
        let end = self.at + self.width as usize;
        value.resize(value.len().max(end.div_ceil(8)), 0);
        for (place, at) in (self.at..end).rev().enumerate() {
            set_bit(value, at, number >> place & 1 == 1);
        }
    }

    fn range(self) -> (i128, i128) {
        let values = 1_i128 << self.width;
        if self.signed { (-(values / 2), values / 2 - 1) } else { (0, values - 1) }
    }

    /// The sum as it fits; nothing if it must fail.
    fn fit(self, sum: i128, overflow: Overflow) -> Option<i64> {
        let (least, greatest) = self.range();
        if (least..=greatest).contains(&sum) {
            return Some(sum as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(if sum < least { least as i64 } else { greatest as i64 }),
            Overflow::Wrap => {
                let values = greatest - least + 1;
                Some(((sum - least).rem_euclid(values) + least) as i64)
            }
        }
    }
}

fn bitfield(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let fields = Field::parse_all(arguments, node)?;
    let mut value = string(keys, arguments.get(1))?.unwrap_or_default();
    let (mut replies, mut changed) = (Vec::with_capacity(fields.len()), false);
    for field in fields {
        let before = field.get(&value);
        let (to, told) = match field.action {
            Action::Get => (None, Some(before)),
            Action::Set(number) => (field.fit(number.into(), Overflow::Wrap), Some(before)),
            Action::Add(by, overflow) => {
                let sum = field.fit(i128::from(before) + i128::from(by), overflow);
                (sum, sum)
            }
        };
        if let Some(to) = to {
            field.put(&mut value, to);
            changed = true;
        }
        replies.push(told.into());
    }
    if changed {
        replace(keys, arguments.get(1), value, node)?;
    }
    Ok(Reply::Array(replies))
}

fn bitfield_ro(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match Field::parse_all(arguments, node) {
        Ok(fields) if fields.iter().any(|field| !matches!(field.action, Action::Get)) => {
            Reply::error("ERR BITFIELD_RO only supports the GET subcommand").into()
        }
        Ok(fields) => with_value(arguments, session, node, move |value| {
            let value = value.unwrap_or_default();
            Reply::Array(fields.iter().map(|field| Reply::Integer(field.get(&value))).collect())
        }),
        Err(refused) => refused.at_once(node),
    }
}
