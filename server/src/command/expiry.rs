//! How long keys live: a deadline per key, a cell of its own. Of concurrent deadlines the latest counts; PERSIST beats them.

use std::sync::Arc;

use replica::{ByteString, CellId, CellKind, Found, Keys, NEVER, Read, Write};

use crate::command::refusal::{Done, Refused};
use crate::command::values::exists;
use crate::command::{Arguments, Command, ONE_KEY, READ_FAST, REMOVE_FAST, WRITE_FAST, here, read, there};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::Reply;
use crate::session::Session;

const GROUP: &str = "generic";

pub(super) static COMMANDS: &[Command] = &[
    there("EXPIRE", -3, WRITE_FAST, ONE_KEY, GROUP, "Lets a key end after seconds.", expire),
    there("PEXPIRE", -3, WRITE_FAST, ONE_KEY, GROUP, "Lets a key end after milliseconds.", pexpire),
    there("EXPIREAT", -3, WRITE_FAST, ONE_KEY, GROUP, "Lets a key end at a second since 1970.", expireat),
    there("PEXPIREAT", -3, WRITE_FAST, ONE_KEY, GROUP, "Lets a key end at a millisecond since 1970.", pexpireat),
    there("PERSIST", 2, REMOVE_FAST, ONE_KEY, GROUP, "Lets a key stay.", persist),
    here("TTL", 2, READ_FAST, ONE_KEY, GROUP, "How many seconds are left.", ttl),
    here("PTTL", 2, READ_FAST, ONE_KEY, GROUP, "How many milliseconds are left.", pttl),
    here("EXPIRETIME", 2, READ_FAST, ONE_KEY, GROUP, "At which second since 1970 it ends.", expiretime),
    here("PEXPIRETIME", 2, READ_FAST, ONE_KEY, GROUP, "At which millisecond since 1970 it ends.", pexpiretime),
];

/// How a client says when a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// In seconds from now.
    Seconds,
    /// In milliseconds from now.
    Millis,
    /// At a second since 1970.
    AtSecond,
    /// At a millisecond since 1970.
    AtMilli,
}

impl Deadline {
    /// By the option of SET and GETEX.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "EX" => Deadline::Seconds,
            "PX" => Deadline::Millis,
            "EXAT" => Deadline::AtSecond,
            "PXAT" => Deadline::AtMilli,
            _ => return None,
        })
    }

    /// The millisecond since 1970 that an argument means; it must lie after 1970 and be one.
    pub(super) fn parse(
        self,
        arguments: &Arguments<'_>,
        at: usize,
        now_ms: u64,
        command: &str,
    ) -> Result<u64, Refused> {
        let number = arguments.integer(at)?;
        let invalid = || Reply::error(format!("ERR invalid expire time in '{command}' command"));
        let at_ms = self.to_ms(number, now_ms).filter(|_| number > 0).ok_or_else(invalid)?;
        Ok(u64::try_from(at_ms).unwrap_or(0))
    }

    fn to_ms(self, number: i64, now_ms: u64) -> Option<i64> {
        let now_ms = i64::try_from(now_ms).ok()?;
        match self {
            Deadline::Seconds => number.checked_mul(1_000)?.checked_add(now_ms),
            Deadline::Millis => number.checked_add(now_ms),
            Deadline::AtSecond => number.checked_mul(1_000),
            Deadline::AtMilli => Some(number),
        }
    }
}

/// When a key ends.
pub(super) fn deadline_of(keys: &Keys<'_, '_>, key: &[u8]) -> Result<Option<u64>, Refused> {
    Ok(keys.read(key, &Read::Summary)?.deadline_ms)
}

/// Decides when a key ends.
pub(super) fn put_deadline(keys: &mut Keys<'_, '_>, key: &[u8], deadline_ms: u64) -> Result<(), Refused> {
    Ok(crate::dump::set_deadline(keys, key, deadline_ms)?)
}

/// Lets a key stay, if it would have ended: said so, that a deadline set at once elsewhere does not win.
pub(super) fn remove_deadline(keys: &mut Keys<'_, '_>, key: &[u8]) -> Result<bool, Refused> {
    if deadline_of(keys, key)?.is_none() {
        return Ok(false);
    }
    keys.write(key, &Write::Put(CellKind::Deadline, vec![(ByteString::default(), NEVER.into())]))?;
    Ok(true)
}

fn expire(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    end(arguments, keys, Deadline::Seconds, "expire")
}

fn pexpire(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    end(arguments, keys, Deadline::Millis, "pexpire")
}

fn expireat(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    end(arguments, keys, Deadline::AtSecond, "expireat")
}

fn pexpireat(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    end(arguments, keys, Deadline::AtMilli, "pexpireat")
}

fn end(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, unit: Deadline, command: &str) -> Done {
    let number = arguments.integer(2)?;
    let (mut absent_only, mut present_only, mut later_only, mut earlier_only) = (false, false, false, false);
    for at in 3..arguments.len() {
        match arguments.word(at).as_str() {
            "NX" => absent_only = true,
            "XX" => present_only = true,
            "GT" => later_only = true,
            "LT" => earlier_only = true,
            _ => return Err(Reply::error(format!("ERR Unsupported option {}", arguments.text(at))).into()),
        }
    }
    if absent_only && (present_only || later_only || earlier_only) {
        return Err(Reply::error("ERR NX and XX, GT or LT options at the same time are not compatible").into());
    }
    if later_only && earlier_only {
        return Err(Reply::error("ERR GT and LT options at the same time are not compatible").into());
    }
    let invalid = || Reply::error(format!("ERR invalid expire time in '{command}' command"));
    let at_ms = unit.to_ms(number, keys.now_ms()).ok_or_else(invalid)?;
    let key = arguments.get(1);
    if !exists(keys, key)? {
        return Ok(Reply::Integer(0));
    }
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    let now_ends_ms = deadline_of(keys, key)?;
    // No deadline is later than any.
    let is_later = now_ends_ms.is_some_and(|ends_ms| at_ms > ends_ms);
    let is_earlier = now_ends_ms.is_none_or(|ends_ms| at_ms < ends_ms);
    let refuses = absent_only && now_ends_ms.is_some()
        || present_only && now_ends_ms.is_none()
        || later_only && !is_later
        || earlier_only && !is_earlier;
    if refuses {
        return Ok(Reply::Integer(0));
    }
    if at_ms <= keys.now_ms() {
        keys.write(key, &Write::RemoveKey)?;
    } else {
        put_deadline(keys, key, at_ms)?;
    }
    Ok(Reply::Integer(1))
}

fn persist(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    Ok(Reply::Integer(remove_deadline(keys, arguments.get(1))?.into()))
}

fn ttl(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    left(arguments, session, node, |at_ms, now_ms| (at_ms.saturating_sub(now_ms) + 500) / 1_000)
}

fn pttl(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    left(arguments, session, node, |at_ms, now_ms| at_ms.saturating_sub(now_ms))
}

fn expiretime(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    left(arguments, session, node, |at_ms, _| at_ms / 1_000)
}

fn pexpiretime(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    left(arguments, session, node, |at_ms, _| at_ms)
}

fn left(arguments: &Arguments<'_>, session: &Session, node: &Node, of: fn(u64, u64) -> u64) -> Step {
    let what = Read::Cells(vec![CellId::deadline()]);
    read(session, node, arguments.get(1), what, move |found: Found| match (found.kind, found.deadline_ms) {
        (None, _) => Reply::Integer(-2),
        (Some(_), None) => Reply::Integer(-1),
        (Some(_), Some(at_ms)) => Reply::Integer(of(at_ms, crate::node::wall_ms()) as i64),
    })
}
