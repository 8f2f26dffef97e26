//! Commands of an application's own that decide by what they see: carried out where the key's partition is coordinated, in one
//! atomic batch. (In Dynamo, and in Riak's buckets of application state, a read and a write are two requests with a context
//! between them; here the code travels to the data, as riak_core's vnode commands do.)

use std::fmt;

use crate::operation::{ByteString, Failure, Write, Written};
use crate::partition::Keys;
use crate::place::CellKind;

/// What a map has to say of a key: values under names.
pub type Mapped = Vec<(ByteString, ByteString)>;

/// What [`Write::Call`](crate::Write::Call) means.
///
/// A call sees what its coordinator sees, whatever other owners know by then: two coordinators on two sides of a
/// partition both carry theirs out, and the cells merge as ever.
///
/// ```
/// use replica::{CellId, CellKind, Failure, Keys, Procedures, Read, Write};
///
/// /// The first to call takes the seat; the others are told who has it.
/// #[derive(Debug)]
/// struct Seats;
///
/// impl Procedures for Seats {
///     fn call(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
///         let found = keys.read(b"seat", &Read::Cells(vec![CellId::value()]))?;
///         let taken = found.cell(&CellId::value()).and_then(|cell| crdt::reading::winner(&cell.live));
///         if let Some(by) = taken {
///             return Ok(by.into_owned());
///         }
///         keys.write(b"seat", &Write::Set(call.to_vec()))?;
///         Ok(call.to_vec())
///     }
/// }
/// ```
pub trait Procedures: fmt::Debug + Send + Sync {
    /// Carries a call out, and says what the caller is told. The same call on the same cells must do the same everywhere.
    ///
    /// # Errors
    /// A [`Failure`]; nothing is changed then.
    fn call(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure>;

    /// Says something of keys that it may only look at: what [`Read::Call`](crate::Read::Call) means. It runs where the key is
    /// coordinated, on what enough owners have together.
    ///
    /// # Errors
    /// A [`Failure`].
    fn look(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        let _ = (call, keys);
        Err(Failure::NotUnderstood)
    }

    /// Does somebody want to know of writes? Asked before each. If so, notes are taken ([`Keys::take_notes`]), and every write but calls and
    /// removals of everything goes through [`Procedures::write`].
    fn is_watched(&self) -> bool {
        false
    }

    /// Carries out a write of one key while writes are watched, be it a client's or the removal of a key whose time is over.
    ///
    /// # Errors
    /// As [`Keys::write`], which is to carry it out.
    fn write(&self, key: &[u8], write: &Write, keys: &mut Keys<'_, '_>) -> Result<Written, Failure> {
        keys.write(key, write)
    }

    /// Says what a key contributes to a [`Sweep`](crate::Sweep); runs where the key is, on the thread that serves its partition, and
    /// holds that up meanwhile. It may look at the key (and others of its partition), and changes nothing.
    ///
    /// # Errors
    /// A [`Failure`]; it ends the sweep.
    fn map(&self, job: &[u8], key: &[u8], kind: CellKind, keys: &mut Keys<'_, '_>) -> Result<Mapped, Failure> {
        let _ = (job, key, kind, keys);
        Err(Failure::NotUnderstood)
    }

    /// Makes one value of two that were said under one name. The order in which it is applied is anybody's guess: it must be
    /// associative and commutative.
    ///
    /// # Errors
    /// As [`Procedures::map`].
    fn reduce(&self, job: &[u8], name: &[u8], one: ByteString, other: ByteString) -> Result<ByteString, Failure> {
        let _ = (job, name, one, other);
        Err(Failure::NotUnderstood)
    }
}

/// For applications that have none: every call fails with [`Failure::NotUnderstood`].
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProcedures;

impl Procedures for NoProcedures {
    fn call(&self, _: &[u8], _: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        Err(Failure::NotUnderstood)
    }
}
