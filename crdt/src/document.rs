//! Documents: places that can be anything, to any depth.

use causal::{Actor, ActorBytes};

use crate::{AwMap, AwSet, Boxed, Counter, DotStore, Edit, Error, MvRegister, Seq, Text};
use crate::{dot_store, store_bytes};

/// A plain value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Some text.
    Text(String),
    /// Some bytes.
    Bytes(Vec<u8>),
}

macro_rules! scalar_from {
    ($($kind:ident: $($type:ty),+;)*) => {$($(
        impl From<$type> for Scalar {
            fn from(value: $type) -> Self {
                Scalar::$kind(value.into())
            }
        }
    )+)*};
}

scalar_from! {
    Bool: bool;
    Integer: i64, i32, u32;
    Text: String, &str;
    Bytes: Vec<u8>, &[u8];
}

/// A place whose type is decided by who writes to it: a register, a counter, a set, a list, a text or a map of more such
/// places. If two write to a place as different types at the same time, it has both: one does not make the other's work
/// go away. Removing it removes whatever was seen of it, as whichever type.
///
/// ```
/// use causal::Minter;
/// use crdt::{Document, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<Document<&str>>::new(Minter::once(name)));
/// b.apply(&a.edit(|task| {
///     task.map().at("title").register().write("paint the fence".into())?;
///     task.map().at("tags").set().add("home")?;
///     task.map().at("spent").map().at("hours").counter().add(2)
/// })?)?;
/// let more = b.edit(|task| task.map().at("spent").map().at("hours").counter().add(3))?;
/// a.apply(&more)?;
/// let hours = a.at("spent").and_then(|spent| spent.at("hours")).and_then(Document::counter);
/// assert_eq!(hours.map(|hours| hours.value()), Some(5));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Document<A: Actor> {
    register: Boxed<MvRegister<A, Scalar>>,
    counter: Boxed<Counter<A>>,
    set: Boxed<AwSet<A, Scalar>>,
    list: Boxed<Seq<A, Scalar>>,
    text: Boxed<Text<A>>,
    map: Boxed<AwMap<String, Document<A>>>,
}

impl<A: Actor> Default for Document<A> {
    fn default() -> Self {
        Self {
            register: Boxed::default(),
            counter: Boxed::default(),
            set: Boxed::default(),
            list: Boxed::default(),
            text: Boxed::default(),
            map: Boxed::default(),
        }
    }
}

dot_store!(Document<A: Actor> by A {
    register: Boxed<MvRegister<A, Scalar>>,
    counter: Boxed<Counter<A>>,
    set: Boxed<AwSet<A, Scalar>>,
    list: Boxed<Seq<A, Scalar>>,
    text: Boxed<Text<A>>,
    map: Boxed<AwMap<String, Document<A>>>,
});
store_bytes!(Document<A: ActorBytes> by A, "document" {
    register: Boxed<MvRegister<A, Scalar>>,
    counter: Boxed<Counter<A>>,
    set: Boxed<AwSet<A, Scalar>>,
    list: Boxed<Seq<A, Scalar>>,
    text: Boxed<Text<A>>,
    map: Boxed<AwMap<String, Document<A>>>,
});

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $type:ty,)*) => {
        impl<A: Actor> Document<A> {
            $($(#[$doc])* ///
            /// Nothing if it is not there as that.
            #[must_use]
            pub fn $kind(&self) -> Option<&$type> {
                self.$kind.get()
            })*

            /// The types it is there as, by the names of the methods that give them.
            #[must_use]
            pub fn kinds(&self) -> Vec<&'static str> {
                let kinds = [$((stringify!($kind), self.$kind.shows())),*];
                kinds.into_iter().filter_map(|(kind, is_there)| is_there.then_some(kind)).collect()
            }
        }

        impl<A: Actor> Edit<'_, Document<A>> {
            $($(#[$doc])* ///
            /// It becomes that when something is written.
            pub fn $kind(&mut self) -> Edit<'_, $type> {
                self.field(|it| &it.$kind, |it| &mut it.$kind).into_inside()
            })*
        }
    };
}

kinds! {
    /// The place as a register: all values that no other has seen.
    register: MvRegister<A, Scalar>,
    /// The place as a counter.
    counter: Counter<A>,
    /// The place as a set.
    set: AwSet<A, Scalar>,
    /// The place as a list.
    list: Seq<A, Scalar>,
    /// The place as a text.
    text: Text<A>,
    /// The place as a map.
    map: AwMap<String, Document<A>>,
}

impl<A: Actor> Document<A> {
    /// What is under a key, if the place is there as a map. O(log n).
    #[must_use]
    pub fn at(&self, key: &str) -> Option<&Document<A>> {
        self.map()?.get(key)
    }
}

impl<A: Actor> Edit<'_, Document<A>> {
    /// Removes what is under a key. See [`Edit::<AwMap<K, S>>::remove`].
    ///
    /// # Errors
    /// Those of a map's remove.
    pub fn remove(&mut self, key: &str) -> Result<(), Error<A>> {
        self.map().remove(key)
    }
}
