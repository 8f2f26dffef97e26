//! Objects that are kept place by place in ordered storage, and never whole in memory.
//!
//! The same types, edits and merges as in memory ([`Replica`]): what an edit or a delta touches is loaded, changed by the
//! same code, and written back, in one batch with the context. So an element added to a set of a million costs one look-up
//! and two small records.
//!
//! ```text
//! name 'c'                      version, kind 7 and type (4 bytes, as in all bytes); the greatest clock reading given
//!                               out or seen (8 bytes, big endian); the context
//! name 'p' path                 a place: its live dots with what they say; paths are ordered as the keys in them are
//! name 'p' path more            of a sequence, a text, the order of a sorted set: the nodes of a tree
//! ```
//!
//! The name of an object is written as a key is, so that none is the beginning of another.
//!
//! Which places an edit will touch is not known before it has run. So it runs, on what is loaded; if it has touched what
//! was not, that is loaded, and it runs again, until there is nothing new. What it changes in trees is tried out in the
//! same way, on a copy of what is loaded of them. Nothing is written before.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use causal::{CausalContext, Hlc, Lease, Minter, Reader};

use crate::bytes::records_header;
use crate::{Delta, Edit, Error, KeyBytes, Place, Replica, State, StoreBytes, StoreReader, StoreWriter, Wanted};

/// Ordered storage of small records.
pub trait Records {
    /// Why it failed.
    type Error: fmt::Display;

    /// The record under a key.
    ///
    /// # Errors
    /// If it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Visits the records whose keys begin with `prefix`, ascending, as long as `visit` wants more.
    ///
    /// # Errors
    /// If they cannot be read.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Self::Error>;

    /// Writes and removes records: all of them or none, also if the power goes.
    ///
    /// # Errors
    /// If that may not have happened.
    fn write(&mut self, batch: Batch) -> Result<(), Self::Error>;
}

/// Records to be written, or to be removed: key and record.
pub type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Records in memory: for tests, and for what need not last.
impl Records for BTreeMap<Vec<u8>, Vec<u8>> {
    type Error = Infallible;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Infallible> {
        let records = self.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        records.take_while(|(key, record)| visit(key, record)).for_each(drop);
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<(), Infallible> {
        for (key, record) in batch {
            match record {
                Some(record) => drop(self.insert(key, record)),
                None => drop(self.remove(&key)),
            }
        }
        Ok(())
    }
}

/// A replica of an object that is kept in records: one for each place, and trees of them for sequences, texts and the order
/// of sorted sets.
///
/// ```
/// use std::collections::BTreeMap;
/// use causal::Minter;
/// use crdt::{AwSet, Replica, Stored};
/// let mut stored = Stored::<AwSet<u64, String>, _>::open(BTreeMap::new(), b"cart/", Minter::once(1))?;
/// let mut phone = Replica::<AwSet<u64, String>>::new(Minter::once(2));
/// phone.apply(&stored.edit(|cart| cart.add("milk"))?)?;
/// stored.apply(&phone.edit(|cart| cart.add("eggs"))?)?;
/// assert_eq!(stored.load_all()?, *phone.state());
/// # Ok::<(), crdt::Error<u64>>(())
/// ```
pub struct Stored<S: StoreBytes, R> {
    /// Its context is whole; of its places only those are here that are being worked on.
    replica: Replica<S>,
    records: R,
    prefix: Vec<u8>,
    is_broken: bool,
}

impl<S: StoreBytes<Actor: Send + 'static>, R: Records> Stored<S, R> {
    /// Goes on with the object that is in `records` under `name`, or begins it.
    ///
    /// # Errors
    /// [`Error::Records`]; [`Error::Amnesia`] if the records know of dots the minter has not given out.
    pub fn open<L: Lease<S::Actor, Error: fmt::Display> + Send + 'static>(
        records: R,
        name: &[u8],
        minter: Minter<S::Actor, L>,
    ) -> Result<Self, Error<S::Actor>> {
        let mut prefix = Vec::new();
        name.to_vec().write_key(&mut prefix);
        let record = records.get(&[&prefix, &b"c"[..]].concat()).map_err(failed)?;
        let header = records_header::<S>();
        let (clock, context) = match record {
            None => (Hlc(0), CausalContext::new()),
            Some(record) => {
                let rest = record.strip_prefix(header.as_slice());
                let rest = rest.ok_or(failed("they are of another type or release"))?;
                let (clock, context) = rest.split_first_chunk().ok_or(failed("the context is cut off"))?;
                (Hlc(u64::from_be_bytes(*clock)), CausalContext::from_bytes(context).map_err(failed)?)
            }
        };
        let mut replica = Replica::recover(State::from_parts(S::default(), context), minter)?;
        replica.resume_at(clock);
        Ok(Self { replica, records, prefix, is_broken: false })
    }
}

const NOT_THERE: &str = "one of a tree is not there";

/// Nothing is missing.
fn found<A>(missing: &Places) -> Result<(), Error<A>> {
    if missing.is_empty() { Ok(()) } else { Err(failed(NOT_THERE)) }
}

fn failed<A>(why: impl fmt::Display) -> Error<A> {
    Error::Records(why.to_string())
}

/// By path; what is [listed](Place::Listed) there beside what is there.
type Places = BTreeMap<(Vec<u8>, bool), Place>;

/// The places of a store, by path.
fn places<S: StoreBytes>(store: &S) -> Places {
    let mut places = Places::new();
    store.unload(Wanted::Places, &mut Vec::new(), &mut |path, place| {
        places.insert((path.to_vec(), place == Place::Listed), place);
    });
    places
}

/// Has this been loaded, by itself or with everything around it?
fn is_loaded(loaded: &Places, path: &[u8], is_listed: bool) -> bool {
    let around = |len: usize| loaded.contains_key(&(path[..len].to_vec(), true));
    (0..=path.len()).any(around) || (!is_listed && loaded.contains_key(&(path.to_vec(), false)))
}

/// What a store has looked for in vain, because it is in records.
fn missing<S: StoreBytes>(store: &S) -> Places {
    let mut missing = Places::new();
    store.unload(Wanted::Missing, &mut Vec::new(), &mut |path, place| {
        if place == Place::Missing {
            missing.insert((path.to_vec(), false), place);
        }
    });
    missing
}

/// Loads all places whose keys begin with `prefix`; paths begin at `start`.
fn scan<S: StoreBytes, R: Records>(
    records: &R,
    prefix: &[u8],
    start: usize,
    store: &mut S,
) -> Result<(), Error<S::Actor>> {
    let mut outcome = Ok(());
    let scanned = records.scan(prefix, &mut |key, record| {
        outcome = store.load(&mut Reader::new(&key[start..]), record);
        outcome.is_ok()
    });
    scanned.map_err(failed)?;
    outcome.map_err(failed)
}

impl<S: StoreBytes, R: Records> Stored<S, R> {
    /// Everything seen.
    #[must_use]
    pub fn context(&self) -> &CausalContext<S::Actor> {
        self.replica.state().context()
    }

    /// The records it is kept in.
    #[must_use]
    pub fn records(&self) -> &R {
        &self.records
    }

    /// Gives the records back.
    #[must_use]
    pub fn into_records(self) -> R {
        self.records
    }

    /// The whole object. O(n).
    ///
    /// # Errors
    /// [`Error::Records`].
    pub fn load_all(&self) -> Result<State<S>, Error<S::Actor>> {
        Ok(State::from_parts(self.load_under(&[])?, self.context().clone()))
    }

    /// The places whose paths begin with `path`, as a store that has only these. The path is that of
    /// [`StoreBytes::unload`].
    ///
    /// # Errors
    /// [`Error::Records`].
    pub fn load_under(&self, path: &[u8]) -> Result<S, Error<S::Actor>> {
        let store = self.load_records(path)?;
        if !S::HAS_TREES {
            return Ok(store);
        }
        let bytes = StoreWriter::record(|to| store.write(to));
        found(&missing(&store))?;
        S::read(&mut StoreReader::record(&bytes).map_err(failed)?).map_err(failed)
    }

    /// [`Self::load_under`], with trees as they are in records.
    fn load_records(&self, path: &[u8]) -> Result<S, Error<S::Actor>> {
        self.check()?;
        let mut store = S::default();
        scan(&self.records, &self.key(path), self.prefix.len() + 1, &mut store)?;
        Ok(store)
    }

    /// Reads what is here now, by the methods of an edit that look: they load what they need. What else `read` does is
    /// not done. It may run more than once, as in [`Self::edit`].
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use causal::Minter;
    /// use crdt::{Stored, Text};
    /// let mut note = Stored::<Text<u64>, _>::open(BTreeMap::new(), b"note/", Minter::once(1))?;
    /// let _ = note.edit(|note| note.push("far away and long ago"))?;
    /// assert_eq!(note.read(|note| Ok(note.slice(4..8)))?, "away");
    /// # Ok::<(), crdt::Error<u64>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Records`], and what `read` gives.
    pub fn read<T>(
        &mut self,
        mut read: impl FnMut(&mut Edit<'_, S>) -> Result<T, Error<S::Actor>>,
    ) -> Result<T, Error<S::Actor>> {
        self.check()?;
        let (at, mut outcome) = (self.replica.last_tick(), None);
        let drafted = self.draft(at, &mut |edit: &mut Edit<'_, S>| {
            outcome = None;
            outcome = Some(read(edit)?);
            Ok(())
        });
        self.replica.give_up();
        self.forget();
        drafted?;
        outcome.ok_or(failed("nothing was read"))
    }

    /// [`Replica::edit`]. The change may run more than once, and sees all of what it looks at only the last time: before
    /// that, places may seem to be empty that are not, and a sequence may have a length and no elements (so it must not
    /// panic where it finds less than it expects). Only its last outcome counts; it must not rely on the others.
    ///
    /// # Errors
    /// [`Error::Records`], and those of [`Replica::edit`].
    pub fn edit<T>(
        &mut self,
        change: impl FnMut(&mut Edit<'_, S>) -> Result<T, Error<S::Actor>>,
    ) -> Result<Delta<S>, Error<S::Actor>> {
        self.edit_at(0, change)
    }

    /// [`Replica::edit_at`]. See [`Self::edit`].
    ///
    /// # Errors
    /// Those of [`Self::edit`].
    pub fn edit_at<T>(
        &mut self,
        wall_ms: u64,
        mut change: impl FnMut(&mut Edit<'_, S>) -> Result<T, Error<S::Actor>>,
    ) -> Result<Delta<S>, Error<S::Actor>> {
        self.check()?;
        let at = self.replica.tick(wall_ms);
        let before = self.context().clone();
        let outcome = self.draft(at, &mut change).and_then(|touched| {
            self.try_out(|trial, replica| drop(trial.apply(&replica.drafted(touched.clone()))))
                .inspect_err(|_| self.replica.give_up())?;
            let delta = self.replica.commit(touched);
            self.persist(&delta, before).map(|()| delta)
        });
        self.forget();
        outcome
    }

    /// Runs a change on what is loaded until that is all it needs; gives what it touches.
    fn draft<T>(
        &mut self,
        at: Hlc,
        change: &mut impl FnMut(&mut Edit<'_, S>) -> Result<T, Error<S::Actor>>,
    ) -> Result<S, Error<S::Actor>> {
        let mut loaded = Places::new();
        loop {
            self.replica.begin(at);
            let (touched, done) = self.replica.draft(&mut *change);
            let mut news = places(&touched);
            news.retain(|(path, is_listed), _| !is_loaded(&loaded, path, *is_listed));
            news.append(&mut missing(&**self.replica.state()));
            if news.is_empty() {
                return done.map(|()| touched);
            }
            if let Err(why) = self.load(&news) {
                self.replica.give_up();
                return Err(why);
            }
            loaded.append(&mut news);
        }
    }

    /// Loads what a change needs of trees: it is done to a copy of what is loaded, again and again, until nothing is missing.
    fn try_out(&mut self, change: impl Fn(&mut State<S>, &Replica<S>)) -> Result<(), Error<S::Actor>> {
        if !S::HAS_TREES {
            return Ok(());
        }
        loop {
            let mut trial = self.replica.state().clone();
            change(&mut trial, &self.replica);
            let missing = missing(&*trial);
            if missing.is_empty() {
                return Ok(());
            }
            self.load(&missing)?;
        }
    }

    /// Only the context stays in memory.
    fn forget(&mut self) {
        *self.replica.state_mut().store_mut() = S::default();
    }

    /// [`Replica::apply`].
    ///
    /// # Errors
    /// [`Error::Records`], and those of [`Replica::apply`].
    pub fn apply(&mut self, delta: &Delta<S>) -> Result<(), Error<S::Actor>> {
        self.apply_with(delta, |replica| replica.apply(delta))
    }

    /// [`Replica::apply_at`].
    ///
    /// # Errors
    /// [`Error::Records`], and those of [`Replica::apply_at`].
    pub fn apply_at(&mut self, wall_ms: u64, delta: &Delta<S>) -> Result<(), Error<S::Actor>> {
        self.apply_with(delta, |replica| replica.apply_at(wall_ms, delta))
    }

    fn apply_with(
        &mut self,
        delta: &Delta<S>,
        apply: impl FnOnce(&mut Replica<S>) -> Result<(), Error<S::Actor>>,
    ) -> Result<(), Error<S::Actor>> {
        self.check()?;
        let before = self.context().clone();
        let loaded = if delta.is_named() {
            let loaded = self.load(&places(delta.touched()));
            loaded.and_then(|()| self.try_out(|trial, _| drop(trial.apply(delta))))
        } else {
            self.load_records(&[]).map(|store| *self.replica.state_mut().store_mut() = store)
        };
        let whole = if delta.is_named() { None } else { Some(places(&**self.replica.state())) };
        let outcome = loaded.and_then(|()| apply(&mut self.replica)).and_then(|()| match whole {
            None => self.persist(delta, before),
            Some(whole) => self.persist_all(whole, before),
        });
        self.forget();
        outcome
    }

    /// [`Replica::merge`]. O(n).
    ///
    /// # Errors
    /// [`Error::Records`], and those of [`Replica::merge`].
    pub fn merge(&mut self, other: &State<S>) -> Result<(), Error<S::Actor>> {
        self.check()?;
        let before = self.context().clone();
        *self.replica.state_mut().store_mut() = self.load_records(&[])?;
        let whole = places(&**self.replica.state());
        let outcome = self.replica.merge(other).and_then(|()| self.persist_all(whole, before));
        self.forget();
        outcome
    }

    /// [`Replica::renew`].
    ///
    /// # Errors
    /// Those of [`Replica::renew`].
    pub fn renew(&mut self) -> Result<(), Error<S::Actor>> {
        self.replica.renew()
    }

    /// After a change that may not have been written, only the records know how things stand.
    fn check(&self) -> Result<(), Error<S::Actor>> {
        if self.is_broken { Err(failed("a change was not written; open the object again")) } else { Ok(()) }
    }

    fn key(&self, path: &[u8]) -> Vec<u8> {
        [&self.prefix, &b"p"[..], path].concat()
    }

    fn load(&mut self, wanted: &Places) -> Result<(), Error<S::Actor>> {
        for ((path, is_listed), place) in wanted {
            let (start, store) = (self.prefix.len() + 1, self.replica.state_mut().store_mut());
            let key = [&self.prefix, &b"p"[..], path].concat();
            let is_around = |len: usize| wanted.contains_key(&(path[..len].to_vec(), true));
            if *is_listed {
                scan(&self.records, &key, start, store)?;
            } else if (0..=path.len()).any(is_around) {
                // It comes with what is around it.
            } else if let Some(record) = self.records.get(&key).map_err(failed)? {
                store.load(&mut Reader::new(path), &record).map_err(failed)?;
            } else if *place == Place::Missing {
                return Err(failed(NOT_THERE));
            } else if matches!(place, Place::Head(_)) {
                let mut is_headless = false;
                let scanned = self.records.scan(&key, &mut |_, _| {
                    is_headless = true;
                    false
                });
                scanned.map_err(failed)?;
                if is_headless {
                    return Err(failed(NOT_THERE));
                }
            }
        }
        Ok(())
    }

    /// Writes the places that a delta touches, as they are now.
    fn persist(&mut self, delta: &Delta<S>, before: CausalContext<S::Actor>) -> Result<(), Error<S::Actor>> {
        let mut now = places(&**self.replica.state());
        let mut changed = Places::new();
        for (key, touched) in places(delta.touched()).into_iter().filter(|((_, is_listed), _)| !is_listed) {
            let gone = if matches!(touched, Place::Head(_)) { Place::Head(None) } else { Place::Empty };
            let is = now.remove(&key).unwrap_or(gone);
            changed.insert(key, is);
        }
        changed.extend(now.into_iter().filter(|(_, place)| matches!(place, Place::Node(_))));
        self.write(changed, before)
    }

    /// Writes all places that are not as they were.
    fn persist_all(&mut self, was: Places, before: CausalContext<S::Actor>) -> Result<(), Error<S::Actor>> {
        let mut now = places(&**self.replica.state());
        for (key, place) in &was {
            let gone = || if matches!(place, Place::Head(_)) { Place::Head(None) } else { Place::Empty };
            now.entry(key.clone()).or_insert_with(gone);
        }
        now.retain(|key, place| was.get(key) != Some(place));
        self.write(now, before)
    }

    /// Removes a tree.
    fn remove_tree(&mut self, key: &[u8], batch: &mut Batch) -> Result<(), Error<S::Actor>> {
        let scanned = self.records.scan(key, &mut |key, _| {
            batch.push((key.to_vec(), None));
            true
        });
        scanned.map_err(failed)
    }

    fn write(&mut self, places: Places, before: CausalContext<S::Actor>) -> Result<(), Error<S::Actor>> {
        self.is_broken = true; // until it is written: what is in memory is not what is in the records
        found(&missing(&**self.replica.state()))?;
        let mut batch = Vec::new();
        for ((path, _), place) in places {
            let key = self.key(&path);
            match place {
                Place::Lives(record) | Place::Head(Some(record)) | Place::Node(Some(record)) => {
                    batch.push((key, Some(record)));
                }
                Place::Head(None) => self.remove_tree(&key, &mut batch)?,
                Place::Empty | Place::Node(None) => batch.push((key, None)),
                Place::Listed | Place::Missing => {}
            }
        }
        if !batch.is_empty() || *self.context() != before {
            let clock = self.replica.last_tick().0.to_be_bytes();
            let record = [&records_header::<S>()[..], &clock, &self.context().to_bytes()].concat();
            batch.push(([&self.prefix, &b"c"[..]].concat(), Some(record)));
        }
        self.records.write(batch).map_err(failed)?;
        self.is_broken = false;
        Ok(())
    }
}
