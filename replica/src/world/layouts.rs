//! Operators, who commit layouts.

use crate::world::{Fault, What, World};
use crate::{LayoutChange, Role};

impl World<'_> {
    /// Operators commit layouts: one, or two who do not know of each other. Once everything has healed, one commits what
    /// replaces all that hold.
    pub(super) fn operate(&mut self) {
        if self.now_ms >= self.plan.troubled_ms {
            let running = (0..self.nodes.len()).find(|n| self.nodes[*n].running.is_some());
            match running {
                // Each side may have made all the others leave: somebody has to stay.
                Some(n) => self.commit(n, &[0, 1].map(|n| LayoutChange::Role(self.nodes[n].id, Role::default()))),
                None => self.at(self.now_ms + 100, What::Layout),
            }
            return;
        }
        for _ in 0..=self.dice.below(2) {
            let changes: Vec<LayoutChange> = (0..=self.dice.below(2)).map(|_| self.wish()).collect();
            let at = self.dice.below(self.nodes.len());
            self.commit(at, &changes);
        }
        let next = self.now_ms + self.dice.between(500, 4_000);
        let next = if next < self.plan.troubled_ms { next } else { self.plan.troubled_ms + 5_000 };
        self.at(next, What::Layout);
    }

    fn wish(&mut self) -> LayoutChange {
        let at = self.dice.below(self.nodes.len());
        let node = self.nodes[at].id;
        match self.dice.below(6) {
            0 => LayoutChange::Leave(node),
            1 => LayoutChange::Replicas(self.dice.between(2, 4) as u8),
            _ => {
                let zone = ["x", "y", "z"][self.dice.below(3)].to_owned();
                LayoutChange::Role(node, Role { zone, capacity: self.dice.between(1, 4) as u32 })
            }
        }
    }

    pub(super) fn commit(&mut self, n: usize, changes: &[LayoutChange]) {
        self.count(Fault::Layout);
        self.cluster(n, |cluster, now, out| {
            changes.iter().for_each(|change| drop(cluster.stage(change.clone())));
            // The oracle hears of writes by their deltas: somebody else has to own the partition as well.
            match cluster.propose() {
                Ok(proposal) if proposal.layout.roles.len() > 1 => drop(cluster.commit(proposal.id, now, out)),
                _ => cluster.revert(),
            }
        });
    }
}
