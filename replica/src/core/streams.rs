//! Streams that go out, at the speed that the shell allows: whoever copies a partition must not hold up those whose requests are
//! answered meanwhile. (Dynamo, 2007, section 6.5: background tasks get what the foreground leaves.)
//!
//! One range after the other: those that wait to go on come before those that wait to begin, so that however slow it is, what has
//! begun comes to its end.

use std::collections::VecDeque;

use crate::core::{Action, Core, Step, Until};
use crate::id::{NodeId, PartitionId};
use crate::message::{Cursor, Message};

/// How long a range counts at most: everybody who waits has a turn before giving up, and what came while it was slow does not
/// outlast that by much.
const RANGE_US: u64 = 500_000;

/// Who waits for the next range of what, from where.
#[derive(Debug)]
struct Waiting {
    to: NodeId,
    partition: PartitionId,
    after: Option<Cursor>,
}

/// Ranges that were asked for.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Of each node and partition one at most.
    waiting: VecDeque<Waiting>,
    /// When the next may go, in microseconds.
    free_at_us: u64,
}

impl Streams {
    fn ask(&mut self, asked: Waiting) {
        // Who asks again has waited long enough to do so, and stands where it stood.
        let same = |it: &Waiting| (it.to, it.partition) == (asked.to, asked.partition);
        match self.waiting.iter_mut().find(|it| same(it)) {
            Some(before) => *before = asked,
            None => self.waiting.push_back(asked),
        }
    }

    fn next(&mut self) -> Option<Waiting> {
        let begun = self.waiting.iter().position(|asked| asked.after.is_some());
        self.waiting.remove(begun.unwrap_or(0))
    }

    /// When the next range may go, if one waits.
    pub(super) fn next_ms(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then(|| self.free_at_us.div_ceil(1_000))
    }
}

impl Core {
    pub(super) fn on_stream(&mut self, step: &mut Step<'_>, to: NodeId, partition: PartitionId, after: Option<Cursor>) {
        self.streams.ask(Waiting { to, partition, after });
        self.send_streams(step);
    }

    /// Sends the ranges whose time has come.
    pub(super) fn send_streams(&mut self, step: &mut Step<'_>) {
        let now_us = step.now.mono_ms * 1_000;
        while self.streams.free_at_us <= now_us
            && let Some(Waiting { to, partition, after }) = self.streams.next()
        {
            let streamed = self.quietly(step, partition, |p, txn| p.stream_range(txn, after));
            let Some((range, bytes)) = streamed else { continue };
            let took_us = (bytes as u64).saturating_mul(1_000_000) / self.settings.stream_bytes_per_s.max(1);
            let took_us = took_us.min(RANGE_US);
            self.streams.free_at_us = self.streams.free_at_us.max(now_us.saturating_sub(1_000)) + took_us;
            let until = Until::OnDisk(self.batch_of(partition));
            self.release(step, until, Action::Send(to, Message::Streamed(partition, Box::new(range))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Streams, Waiting};
    use crate::id::{NodeId, PartitionId};
    use crate::message::Cursor;

    fn waiting(node: u128, partition: u16, key: Option<&[u8]>) -> Waiting {
        let after = key.map(|key| Cursor { key: key.into(), cell: None });
        Waiting { to: NodeId(uuid::Uuid::from_u128(node)), partition: PartitionId::new(partition).unwrap(), after }
    }

    #[test]
    fn what_has_begun_goes_first_and_nobody_stands_there_twice() {
        let mut streams = Streams::default();
        for (node, partition, key) in [(1, 1, None), (1, 2, None), (2, 1, Some(b"k")), (1, 1, None), (2, 1, Some(b"l"))]
        {
            streams.ask(waiting(node, partition, key.map(|key: &[u8; 1]| &key[..])));
        }
        let order: Vec<_> = std::iter::from_fn(|| streams.next()).map(|it| (it.partition.number(), it.after)).collect();
        let last = Cursor { key: b"l".as_slice().into(), cell: None };
        assert_eq!(order, [(1, Some(last)), (1, None), (2, None)]);
    }
}
