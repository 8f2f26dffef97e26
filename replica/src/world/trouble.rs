//! What goes wrong: with the machines, and with their disks.

use crate::world::{Node, What, World, partition};
use crate::{Actor, BatchSeq, Context, Core, Event, Incarnation, NodeId, Settings};
use uuid::Uuid;

/// What may strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Some nodes are cut off from the others.
    Cut,
    /// Nothing arrives from one node at another.
    OneWay,
    /// A message is lost.
    Loss,
    /// A message is lost on a link that comes and goes.
    Flap,
    /// A node stops with its unsynced writes, or most of them.
    Crash,
    /// Several nodes stop at once.
    Outage,
    /// A node takes its time for one event, and the others wait for their turn.
    SlowStep,
    /// Syncs take long at one node.
    SlowDisk,
    /// A batch does not fit any more, and the node stops.
    FullDisk,
    /// A sync fails: nobody knows what is on disk, and the node stops.
    FailedSync,
    /// A wall clock jumps.
    ClockJump,
    /// A disk is replaced by an older copy of it, or an empty one, under the same name.
    Restore,
    /// A node is replaced by another at its address.
    Replaced,
    /// A record vanishes from a disk.
    Rot,
    /// A layout is committed.
    Layout,
    /// A disk is copied, and the copy runs beside the original.
    Copied,
    /// One of two nodes with one id is not let in.
    Refused,
    /// A node starts as another release.
    Upgrade,
    /// Something is decided for the whole cluster.
    Decision,
    /// A message is not sent, or another in its place, because its receiver could not understand it.
    NotUnderstood,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Cut,
        Self::OneWay,
        Self::Loss,
        Self::Flap,
        Self::Crash,
        Self::Outage,
        Self::SlowStep,
        Self::SlowDisk,
        Self::FullDisk,
        Self::FailedSync,
        Self::ClockJump,
        Self::Restore,
        Self::Replaced,
        Self::Rot,
        Self::Layout,
        Self::Copied,
        Self::Refused,
        Self::Upgrade,
        Self::Decision,
        Self::NotUnderstood,
    ];
}

/// What a node suffers from at the moment.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// About how long one event takes it.
    pub(super) step_ms: u64,
    /// No sync comes to an end before.
    pub(super) stalls_until_ms: u64,
    pub(super) next_sync_fails: bool,
}

impl Node {
    /// Runs as it should again, and has room on its disk.
    pub(super) fn relieve(&mut self) {
        self.troubles = Troubles::default();
        self.disk.room_batches = None;
    }
}

impl World<'_> {
    pub(super) fn count(&mut self, fault: Fault) {
        *self.outcome.faults.entry(fault).or_default() += 1;
    }

    pub(super) fn fault(&mut self) {
        if self.now_ms >= self.plan.troubled_ms {
            return;
        }
        let victim = self.dice.below(self.nodes.len());
        let other = self.dice.below(self.nodes.len());
        match self.dice.below(20) {
            0..=2 => {
                let side = self.some_nodes(40);
                self.cut_off(side);
            }
            3 | 4 => self.network.reconnect(),
            5 => self.network.loss_percent = [0, 2, 10, 30][self.dice.below(4)],
            6 | 7 => {
                self.count(Fault::Crash);
                self.crash(victim);
            }
            8 => {
                self.count(Fault::ClockJump);
                self.nodes[victim].wall_offset_ms = self.dice.between(0, 7_200_000) as i64 - 3_600_000;
            }
            9 => self.nodes[victim].backup = Some(self.nodes[victim].disk.durable().clone()),
            10 => self.restore(victim),
            11 => {
                self.count(Fault::OneWay);
                self.network.one_way.insert((victim, other));
            }
            12 => {
                let period_ms = self.dice.between(10, 400);
                let both = self.dice.percent(50).then_some((other, victim));
                for link in [(victim, other)].into_iter().chain(both) {
                    self.network.flapping.insert(link, period_ms);
                }
            }
            13 => {
                self.nodes[victim].troubles.step_ms = self.dice.between(2, 150);
                self.relief(victim);
            }
            14 => {
                let stall_ms = self.dice.between(100, 2_500);
                self.slow_disk(victim, stall_ms);
            }
            15 => {
                self.nodes[victim].disk.room_batches = Some(self.dice.below(20));
                self.relief(victim);
            }
            16 => self.nodes[victim].troubles.next_sync_fails = true,
            17 => {
                let struck = self.some_nodes(60);
                self.power_fails(&struck);
            }
            18 if self.plan.moves() => self.replace(victim),
            _ => {}
        }
        let rare = if self.plan.scene.is_some() { 5 } else { 1 };
        let pause = self.dice.between(50, 900) * rare;
        self.at(self.now_ms + pause, What::Fault);
    }

    fn some_nodes(&mut self, percent: u64) -> Vec<usize> {
        (0..self.nodes.len()).filter(|_| self.dice.percent(percent)).collect()
    }

    fn relief(&mut self, n: usize) {
        let after_ms = self.dice.between(300, 4_000);
        self.at(self.now_ms + after_ms, What::Relief { node: n });
    }

    pub(super) fn cut_off(&mut self, nodes: Vec<usize>) {
        self.count(Fault::Cut);
        self.network.cut = nodes.into_iter().collect();
    }

    /// For so long no sync comes to an end.
    pub(super) fn slow_disk(&mut self, n: usize, for_ms: u64) {
        self.count(Fault::SlowDisk);
        self.nodes[n].troubles.stalls_until_ms = self.now_ms + for_ms;
    }

    pub(super) fn power_fails(&mut self, nodes: &[usize]) {
        self.count(Fault::Outage);
        nodes.iter().for_each(|n| self.crash(*n));
    }

    /// A sync comes to an end, one way or the other. After a failure nobody knows what is on disk, and the node stops.
    pub(super) fn sync(&mut self, n: usize, upto: BatchSeq) {
        if std::mem::take(&mut self.nodes[n].troubles.next_sync_fails) {
            self.count(Fault::FailedSync);
            return self.crash(n);
        }
        if self.nodes[n].disk.sync(upto) {
            self.core(n, Event::Flushed(upto));
        } else {
            self.count(Fault::FullDisk);
            self.crash(n);
        }
    }

    /// Does somebody else hold on disk all that this node does?
    fn is_elsewhere(&self, n: usize) -> bool {
        self.durable_of(|other| other != n && !self.is_twin(other)).covers(&self.durable_clock(n))
    }

    /// What these nodes have on disk, together.
    pub(super) fn durable_of(&self, which: impl Fn(usize) -> bool) -> Context {
        (0..self.nodes.len()).filter(|n| which(*n)).fold(Context::new(), |mut all, n| {
            all.union(&self.durable_clock(n));
            all
        })
    }

    /// Another node starts at the address of this one, with nothing - unless that would lose what nobody else has on disk.
    fn replace(&mut self, n: usize) {
        let seed = (0..self.nodes.len()).find(|other| *other != n && self.nodes[*other].running.is_some());
        let Some(seed) = seed.filter(|_| self.is_elsewhere(n) && self.nodes[n].running.is_some()) else { return };
        self.count(Fault::Replaced);
        self.crash(n);
        let kept = self.nodes[seed].kept.clone();
        let node = &mut self.nodes[n];
        node.id = NodeId(Uuid::from_u128(node.id.0.as_u128() + (1 << 32)));
        (node.incarnation, node.kept) = (Incarnation(0), kept);
        node.disk.restore(crate::MemoryStore::default());
        (node.restored, node.backup) = (true, None);
    }

    /// The node comes back with an old copy of its disk (or an empty one) - unless that would lose what nobody else
    /// has on disk: no protocol survives that.
    fn restore(&mut self, n: usize) {
        if !self.is_elsewhere(n) || self.nodes[n].running.is_none() {
            return;
        }
        self.count(Fault::Restore);
        self.majorities.give_up();
        self.crash(n);
        let copy = self.nodes[n].backup.take().unwrap_or_default();
        self.nodes[n].disk.restore(copy);
        self.nodes[n].restored = true;
    }

    pub(super) fn durable_clock(&self, n: usize) -> Context {
        let actor = Actor { node: self.nodes[n].id, incarnation: Incarnation(0) };
        let durable = self.nodes[n].disk.durable();
        let core = Core::new(actor, Settings::default(), [partition()].into_iter(), durable)
            .expect("the simulated disk reads");
        core.contents(partition(), durable).map(|contents| contents.clock).unwrap_or_default()
    }

    /// An owner's disk loses a record of a key that the others have as well, and the scrub comes by. What is read or written
    /// in between would take the loss for a removal: nothing can be done about that.
    pub(super) fn rot(&mut self) {
        let Some((_, cluster)) = &self.nodes[0].running else { return };
        let owners = cluster.view().replicas(partition()).serving.clone();
        let owners: Vec<usize> = (0..self.nodes.len()).filter(|n| owners.contains(&self.nodes[*n].id)).collect();
        let victim = owners[self.dice.below(owners.len())];
        let contents: Vec<_> = owners.iter().map(|n| self.contents(*n)).collect();
        if contents.iter().any(|other| *other != contents[0]) {
            return;
        }
        let (mut paths, table) = (Vec::new(), [b'K', b'C'][self.dice.below(2)]);
        let scanned = crate::Store::scan(&self.nodes[victim].disk.visible, &[table], &[table], &mut |path, _| {
            paths.push(path.to_vec());
            std::ops::ControlFlow::Continue(())
        });
        if scanned.is_ok() && !paths.is_empty() {
            let lost = paths[self.dice.below(paths.len())].clone();
            self.nodes[victim].disk.lose(&lost);
            self.count(Fault::Rot);
        }
        self.core(victim, Event::Scrub);
    }

    pub(super) fn heal(&mut self) {
        self.turn_off();
        self.network.reconnect();
        self.network.loss_percent = 0;
        self.nodes.iter_mut().for_each(Node::relieve);
    }
}
