//! What mapped values come to.

use std::collections::BTreeMap;

use crate::operation::{ByteString, Failure};
use crate::procedure::Procedures;

/// Values by name, each made of all that were said under it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reduced {
    values: BTreeMap<ByteString, ByteString>,
    bytes: usize,
}

impl Reduced {
    pub(crate) fn add(
        &mut self,
        procedures: &dyn Procedures,
        job: &[u8],
        name: ByteString,
        value: ByteString,
    ) -> Result<(), Failure> {
        let value = match self.values.remove(&name) {
            Some(before) => {
                self.bytes -= before.0.len() + name.0.len();
                procedures.reduce(job, &name.0, before, value)?
            }
            None => value,
        };
        self.bytes += value.0.len() + name.0.len();
        self.values.insert(name, value);
        Ok(())
    }

    /// How large names and values are together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn values(&self) -> &BTreeMap<ByteString, ByteString> {
        &self.values
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = (ByteString, ByteString)> {
        self.values.into_iter()
    }
}
