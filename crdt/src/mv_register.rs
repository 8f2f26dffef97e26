//! A register that keeps every concurrent write: the siblings.

use causal::{Actor, DotFun};

use crate::{Causal, Delta};

/// All writes that no other write has seen.
///
/// ```
/// use crdt::MvRegister;
/// let mut a: MvRegister<&str, u8> = MvRegister::new();
/// let mut b = a.clone();
/// let (one, two) = (a.write("a", 1), b.write("b", 2));
/// a.merge_delta(&two)?;
/// b.merge_delta(&one)?;
/// assert_eq!(a.values().collect::<Vec<_>>(), [&1, &2]);
/// b.merge_delta(&a.write("a", 3))?;
/// assert_eq!(b.values().collect::<Vec<_>>(), [&3]);
/// # Ok::<(), causal::DoubleSpentDot<&str>>(())
/// ```
pub type MvRegister<A, V> = Causal<DotFun<A, V>>;

impl<A: Actor, V: Clone + PartialEq> MvRegister<A, V> {
    /// The siblings, by ascending dot.
    pub fn values(&self) -> impl Iterator<Item = &V> + '_ {
        self.store.iter().map(|(_, value)| value)
    }

    /// Replaces every value seen here.
    pub fn write(&mut self, actor: A, value: V) -> Delta<DotFun<A, V>> {
        let replaced = self.store.dots().cloned().collect();
        self.apply(DotFun::from_iter([(self.mint(actor), value)]), replaced)
    }

    /// Removes every value seen here.
    pub fn clear(&mut self) -> Delta<DotFun<A, V>> {
        let replaced = self.store.dots().cloned().collect();
        self.apply(DotFun::new(), replaced)
    }
}
