//! Dots known to be removed beyond a clock. There are hardly ever any: a cell without them carries a pointer instead of a context,
//! and reads, which move cells about, move a third of the bytes.

use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::Context;

static NOTHING: LazyLock<Context> = LazyLock::new(Context::new);

/// A context that is empty as a rule; used as the context it is.
///
/// ```
/// use replica::{Context, Residual};
///
/// let residual = Residual::from(Context::new());
/// assert!(residual.is_empty());
/// assert_eq!(std::mem::size_of::<Residual>(), std::mem::size_of::<usize>());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Residual(Option<Box<Context>>);

impl Residual {
    /// Adds what is in a context.
    pub fn union(&mut self, other: &Context) {
        if !other.is_empty() {
            self.0.get_or_insert_default().union(other);
        }
    }

    /// What is not in a clock.
    #[must_use]
    pub fn beyond(&self, clock: &Context) -> Self {
        self.0.as_deref().map_or_else(Self::default, |context| context.minus(clock).into())
    }

    /// The context itself.
    #[must_use]
    pub fn into_context(self) -> Context {
        self.0.map_or_else(Context::new, |context| *context)
    }
}

impl From<Context> for Residual {
    fn from(context: Context) -> Self {
        Self((!context.is_empty()).then(|| Box::new(context)))
    }
}

impl Deref for Residual {
    type Target = Context;

    fn deref(&self) -> &Context {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Residual {
    fn deref_mut(&mut self) -> &mut Context {
        self.0.get_or_insert_default()
    }
}

impl PartialEq for Residual {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Residual {}

impl Serialize for Residual {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Context::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Residual {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Context::deserialize(deserializer).map(Self::from)
    }
}
