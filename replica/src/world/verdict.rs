//! What a run is judged by: receipts as they are given, and at the end what the nodes hold.

use std::hash::Hasher as _;

use crate::world::{Outcome, World, partition};
use crate::{Holder, Medium, Part, Written};

impl World<'_> {
    /// Who is said to hold a write on disk does - or has dropped it, because every owner has it; it may hold later things by
    /// the time the answer arrives. Where owners change, so may they.
    pub(super) fn check_receipt(&mut self, written: &Written) {
        self.outcome.stood_in += written.receipt.nodes(Part::StandIn).count() as u64;
        if self.plan.moves() {
            return;
        }
        let has_all = |n: usize| self.nodes[n].restored || self.durable_clock(n).covers(&written.own.context);
        let view = self.nodes.iter().find_map(|node| node.running.as_ref().map(|(_, cluster)| cluster.view()));
        let owners = view.map_or(Vec::new(), |view| view.replicas(partition()).serving.clone());
        let all_have_it = (0..self.nodes.len()).filter(|n| owners.contains(&self.nodes[*n].id)).all(has_all);
        let untruthful = |holder: &&Holder| {
            if holder.part == Part::StandIn && all_have_it {
                return false;
            }
            let node = self.nodes.iter().position(|node| node.id == holder.node);
            node.is_some_and(|n| {
                let clock = self.durable_clock(n);
                let is_old_copy = self.nodes[n].restored;
                !is_old_copy && !clock.is_empty() && !clock.covers(&written.own.context)
            })
        };
        let on_disk = written.receipt.holders.iter().filter(|holder| holder.medium == Medium::Disk);
        if let Some(holder) = on_disk.clone().find(untruthful) {
            self.alarm = Some(format!("by its receipt {:?} holds {:?} on disk", holder, written.own.context));
        }
    }

    pub(super) fn contents(&self, n: usize) -> crate::Contents {
        let node = &self.nodes[n];
        let contents = node.running.as_ref().map(|(core, _)| core.contents(partition(), &node.disk.visible));
        contents.and_then(Result::ok).unwrap_or_default()
    }

    pub(super) fn judge(mut self) -> Outcome {
        self.outcome.trace = self.trace.finish();
        self.outcome.violation = self.alarm.take().or_else(|| self.verdict());
        self.outcome
    }

    fn verdict(&mut self) -> Option<String> {
        let Some((_, cluster)) = self.nodes.iter().find_map(|node| node.running.as_ref()) else {
            return Some("after healing no node runs".to_owned());
        };
        let replicas = cluster.view().replicas(partition()).clone();
        let owner = |n: &usize| replicas.serving.contains(&self.nodes[*n].id);
        let (owners, rest): (Vec<usize>, Vec<usize>) = (0..self.nodes.len()).partition(owner);
        let owners: Vec<_> = owners.into_iter().map(|n| (n, self.contents(n))).collect();
        let members = &cluster.view().members;
        let bearing = members
            .layouts
            .iter()
            .map(|(_, layout)| layout.roles.len())
            .max()
            .unwrap_or(self.nodes.iter().filter(|node| !node.is_off).count());
        if !replicas.filling.is_empty() || replicas.serving.len() != bearing.min(members.replicas().into()) {
            return Some(format!("after healing the owners are still {replicas:?}"));
        }
        if members.layouts.iter().len() > 1 {
            return Some("after one more commit there are still several layouts".to_owned());
        }
        if let Some(differ) = self.differ_in_decisions() {
            return Some(differ);
        }
        if let Some(n) = rest.into_iter().find(|n| self.contents(*n) != crate::Contents::default()) {
            return Some(format!("node {n} owns nothing any more and still holds {:?}", self.contents(n)));
        }
        if let Some(n) = owners.iter().map(|(n, _)| *n).find(|n| self.log_entries(*n) > 0) {
            return Some(format!("node {n} still logs {} events that everybody has", self.log_entries(n)));
        }
        let contents: Vec<_> = owners.into_iter().map(|(_, contents)| contents).collect();
        self.oracle.judge(&contents).or_else(|| self.clients.judge(&contents))
    }

    pub(super) fn log_entries(&self, n: usize) -> usize {
        let mut entries = 0;
        let visible = &self.nodes[n].disk.visible;
        let counted = crate::Store::scan(visible, b"L", b"L", &mut |_, _| {
            entries += 1;
            std::ops::ControlFlow::Continue(())
        });
        counted.map_or(0, |()| entries)
    }
}
