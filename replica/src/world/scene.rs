//! Scenes: what goes wrong in an order that chance alone hardly ever finds, staged again and again with other timings.

use crate::world::network::{Link, Network};
use crate::world::{Fault, What, World, partition};
use crate::{Contents, LayoutChange, NodeId};

/// What is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// All owners are cut off for so long that others stand in for them. When they are back, and have been handed what they missed
    /// on slow disks, the power of all owners fails - or it does not, and it begins anew at once. Wants five nodes.
    Handover,
    /// One owner was alone, and has written. Then it reaches only one other, slowly, while that one ceases to be an owner and
    /// becomes one again; the third knows of nothing. Wants three nodes.
    Bridge,
    /// One that is no owner sees none, and counts for them. It begins to hand over to one of them, and is cut off again before it is
    /// done: it counts on, while the owners set back what they were handed. Wants five nodes, and clients that count.
    Relapse,
}

/// Who plays what.
#[derive(Debug, Default)]
pub(super) struct Stage {
    owners: Vec<usize>,
    alone: usize,
    bridge: usize,
    /// Are clients silent, so that the nodes come to agree?
    pub(super) is_quiet: bool,
    /// No longer than until then is anything waited for.
    until_ms: u64,
}

impl World<'_> {
    pub(super) fn play(&mut self, step: usize) {
        if self.now_ms >= self.plan.troubled_ms {
            return;
        }
        let next = match self.plan.scene {
            Some(Scene::Handover) => self.hand_over(step),
            Some(Scene::Bridge) => self.bridge(step),
            Some(Scene::Relapse) => self.relapse(step),
            None => None,
        };
        let (step, pause_ms) = next.unwrap_or((0, 500));
        self.at(self.now_ms + pause_ms, What::Scene { step });
    }

    /// The owners, if everybody runs.
    fn owners_now(&self) -> Option<Vec<usize>> {
        let all_run = self.nodes.iter().all(|node| node.running.is_some());
        let (_, cluster) = self.nodes[0].running.as_ref().filter(|_| all_run)?;
        let serving = &cluster.view().replicas(partition()).serving;
        Some((0..self.nodes.len()).filter(|n| serving.contains(&self.nodes[*n].id)).collect())
    }

    fn hand_over(&mut self, step: usize) -> Option<(usize, u64)> {
        match step {
            0 => {
                self.stage.owners = self.owners_now()?;
                self.cut_off(self.stage.owners.clone());
                Some((1, self.dice.between(2_000, 4_500)))
            }
            1 => {
                self.network.reconnect();
                let power_fails = self.dice.percent(60);
                if power_fails {
                    self.stage.owners.clone().into_iter().for_each(|n| self.slow_disk(n, 3_000));
                }
                Some((if power_fails { 2 } else { 0 }, self.dice.between(300, 2_000)))
            }
            _ => {
                self.power_fails(&self.stage.owners.clone());
                self.stage.owners.clone().into_iter().for_each(|n| self.nodes[n].relieve());
                Some((0, self.dice.between(1_500, 3_500)))
            }
        }
    }

    fn relapse(&mut self, step: usize) -> Option<(usize, u64)> {
        match step {
            0 => {
                self.stage.owners = self.owners_now()?;
                let others: Vec<usize> = (0..self.nodes.len()).filter(|n| !self.stage.owners.contains(n)).collect();
                self.stage.alone = *others.get(self.dice.below(others.len()))?;
                self.cut_off(vec![self.stage.alone]);
                Some((1, self.dice.between(1_800, 3_000)))
            }
            1 => {
                let (alone, owners) = (self.stage.alone, self.stage.owners.clone());
                self.stage.bridge = owners[self.dice.below(owners.len())];
                self.network.reconnect();
                for other in (0..self.nodes.len()).filter(|n| *n != self.stage.bridge && *n != alone) {
                    self.network.one_way.extend([(alone, other), (other, alone)]);
                }
                self.count(Fault::OneWay);
                Some((2, self.dice.between(50, 1_200)))
            }
            2 => {
                self.network.reconnect();
                self.cut_off(vec![self.stage.alone]);
                Some((3, self.dice.between(2_500, 6_000)))
            }
            _ => {
                self.network.reconnect();
                Some((0, self.dice.between(300, 2_000)))
            }
        }
    }

    fn bridge(&mut self, step: usize) -> Option<(usize, u64)> {
        match step {
            0 => {
                let owners = self.owners_now()?;
                let leaves = self.who_leaves()?;
                self.stage.bridge = self.nodes.iter().position(|node| node.id == leaves)?;
                let others: Vec<usize> = owners.into_iter().filter(|n| *n != self.stage.bridge).collect();
                self.stage.alone = *others.get(self.dice.below(others.len()))?;
                self.cut_off(vec![self.stage.alone]);
                Some((1, self.dice.between(1_500, 3_500)))
            }
            1 => {
                let (alone, bridge) = (self.stage.alone, self.stage.bridge);
                self.network.reconnect();
                for other in (0..self.nodes.len()).filter(|n| *n != bridge && *n != alone) {
                    self.network.one_way.extend([(alone, other), (other, alone)]);
                }
                self.network.stuck.insert((alone, bridge), Vec::new());
                self.count(Fault::OneWay);
                self.stage.is_quiet = true;
                self.stage.until_ms = self.now_ms + 2_500;
                Some((2, 50))
            }
            // Until an answer is under way.
            2 if self.waits_for(|network, link| network.stuck.get(&link).is_some_and(Vec::is_empty)) => Some((2, 20)),
            2 if self.network.stuck.values().all(Vec::is_empty) => Some((5, 1)),
            2 => {
                self.commit(self.stage.bridge, &[LayoutChange::Replicas(2)]);
                self.stage.until_ms = self.now_ms + 4_000;
                Some((3, 100))
            }
            // Until it has let go of everything.
            3 if self.now_ms < self.stage.until_ms && self.contents(self.stage.bridge) != Contents::default() => {
                Some((3, 20))
            }
            3 => {
                self.network.one_way.insert((self.stage.alone, self.stage.bridge));
                self.commit(self.stage.bridge, &[LayoutChange::Replicas(3)]);
                Some((4, self.dice.between(1, 500)))
            }
            4 => {
                self.unstick((self.stage.alone, self.stage.bridge), 200);
                Some((5, self.dice.between(500, 2_000)))
            }
            _ => {
                self.network.reconnect();
                self.stage.is_quiet = false;
                Some((0, self.dice.between(500, 1_500)))
            }
        }
    }

    fn waits_for(&self, what: impl Fn(&Network, Link) -> bool) -> bool {
        self.now_ms < self.stage.until_ms && what(&self.network, (self.stage.alone, self.stage.bridge))
    }

    /// Who would cease to own the partition if there were two replicas.
    fn who_leaves(&mut self) -> Option<NodeId> {
        let owners = self.owners_now()?;
        let mut stays = None;
        self.cluster(0, |cluster, _, _| {
            drop(cluster.stage(LayoutChange::Replicas(2)));
            stays = cluster.propose().ok().map(|proposal| proposal.layout.owners.of(partition()));
            cluster.revert();
        });
        let stays = stays?;
        owners.into_iter().map(|n| self.nodes[n].id).find(|node| !stays.contains(node))
    }
}
