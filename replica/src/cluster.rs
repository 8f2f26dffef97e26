//! Membership of one node: joining, the member list's gossip, and who answers.
//!
//! A state machine like the replica's: events in, actions out. A node hears from every member it talks to; one that
//! has been silent too long, or says that it hears nothing from here, is skipped until both hear each other again. This
//! never changes who owns what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decisions::{Decisions, Undecided};
use crate::detector::{Detector, Health, Opinion, Swim, Word};
use crate::digest::hash_of;
use crate::id::{Actor, ClusterId, Incarnation, NodeId, PartitionId};
use crate::layout::{LayoutChange, Member, Members, PartitionSet, Presence, Proposal, Refused, View, check, propose};

/// How often nodes say that they are there.
pub const BEAT_MS: u64 = 250;
/// After how long a silence a node is skipped that others do not hear either.
pub const SILENCE_MS: u64 = 1_500;
/// After how long a silence a node is skipped that others hear: its link has failed.
const LINK_SILENCE_MS: u64 = 2_500;

/// Between the membership machines of two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gossip {
    /// I am there.
    Beat {
        /// Of my list.
        digest: u64,
        /// Have I heard you of late? What you send me is lost otherwise.
        hears_you: bool,
    },
    /// This is my list.
    List(Box<Members>),
    /// For the detector.
    Detector(Vec<u8>),
    /// What this cluster's nodes have decided, as far as I know.
    Decided(ClusterId, Box<Decisions>),
}

/// What the membership machine wants done.
#[derive(Clone, Debug)]
pub enum ClusterAction {
    /// Send this to a node.
    Send(NodeId, Gossip),
    /// This address belongs to a node of the cluster: keep a connection to it.
    Connect(NodeId, SocketAddr),
    /// The picture has changed: hand it to every replica core, and keep the list.
    View(Arc<View>),
    /// Somebody knows a later run of this node than this one: it was restored from a copy. Restart the cores
    /// under this incarnation, once it is on disk.
    Reincarnate(Incarnation),
    /// Something was decided, here or elsewhere: keep it, and live by it.
    Decided(Arc<Decisions>),
}

/// What is known of the way to another node and back.
#[derive(Clone, Copy, Debug)]
struct Contact {
    heard_at_ms: u64,
    hears_me: bool,
}

/// The membership machine.
#[derive(Debug)]
pub struct Cluster {
    me: NodeId,
    members: Members,
    contacts: BTreeMap<NodeId, Contact>,
    detector: Box<dyn Detector>,
    health: Health,
    view: Arc<View>,
    changed: bool,
    /// What an operator wants of the layout, and has not committed.
    staged: Vec<LayoutChange>,
    decisions: Decisions,
}

impl Cluster {
    /// Starts with what this node says of itself and the list it kept, if any. A node that joins others, or has a
    /// kept list, is filled for what it says there; one that begins a cluster holds everything.
    #[must_use]
    pub fn new(me: NodeId, own: Member, kept: Option<Members>, replicas: u8) -> Self {
        let detector = Box::new(Swim::new(me, own.incarnation));
        let mut members = kept.unwrap_or_else(|| Members::new(replicas, BTreeMap::new()));
        if members.nodes.is_empty() && own.filled != PartitionSet::none() {
            members.cluster = ClusterId(Some(me.0));
        }
        members.nodes.insert(me, own);
        let view = Arc::new(View::new(me, members.clone(), BTreeSet::from([me])));
        let (contacts, health) = (BTreeMap::new(), Health::new());
        Self {
            me,
            members,
            contacts,
            detector,
            health,
            view,
            changed: false,
            staged: Vec::new(),
            decisions: Decisions::default(),
        }
    }

    /// The same with another detector of failures than [`Swim`].
    #[must_use]
    pub fn with_detector(self, detector: Box<dyn Detector>) -> Self {
        Self { detector, ..self }
    }

    /// The same with what it has kept of decisions.
    #[must_use]
    pub fn with_decisions(self, decisions: Decisions) -> Self {
        Self { decisions, ..self }
    }

    /// What is decided.
    #[must_use]
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// Decides something, or that nothing is decided any more, for the whole cluster.
    ///
    /// # Errors
    /// [`Undecided`] if it cannot be.
    pub fn decide(&mut self, name: &[u8], value: Option<&[u8]>, out: &mut Vec<ClusterAction>) -> Result<(), Undecided> {
        let incarnation = self.members.nodes.get(&self.me).map_or(Incarnation(0), |own| own.incarnation);
        self.decisions.decide(Actor { node: self.me, incarnation }, name, value)?;
        self.have_decided(out);
        Ok(())
    }

    fn have_decided(&self, out: &mut Vec<ClusterAction>) {
        out.push(ClusterAction::Decided(Arc::new(self.decisions.clone())));
        for node in self.view.alive.iter().filter(|node| **node != self.me) {
            self.tell_decisions(*node, out);
        }
    }

    fn tell_decisions(&self, to: NodeId, out: &mut Vec<ClusterAction>) {
        if !self.decisions.is_empty() {
            let decided = Gossip::Decided(self.members.cluster, Box::new(self.decisions.clone()));
            out.push(ClusterAction::Send(to, decided));
        }
    }

    /// Tells apart what nodes know of the cluster.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.members.digest() ^ self.decisions.digest()
    }

    /// The current picture.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The connections to keep and the list to send, at the start.
    pub fn start(&mut self, out: &mut Vec<ClusterAction>) {
        self.connect(out);
        self.changed = true;
        self.publish(0, out);
        if !self.decisions.is_empty() {
            out.push(ClusterAction::Decided(Arc::new(self.decisions.clone())));
        }
    }

    /// There is a connection to a node now, which perhaps has never heard of this one.
    pub fn linked(&mut self, node: NodeId, now_ms: u64, out: &mut Vec<ClusterAction>) {
        out.push(ClusterAction::Send(node, self.beat(node, now_ms)));
        out.push(ClusterAction::Send(node, Gossip::List(Box::new(self.members.clone()))));
    }

    /// A node was heard, by whatever message.
    pub fn heard(&mut self, from: NodeId, now_ms: u64, out: &mut Vec<ClusterAction>) {
        let before = self.contacts.get(&from).copied();
        let hears_me = before.is_some_and(|contact| contact.hears_me);
        self.contacts.insert(from, Contact { heard_at_ms: now_ms, hears_me });
        if before.is_none_or(|contact| !self.is_heard(from, contact, now_ms)) {
            // It waits for that word to count this node.
            out.push(ClusterAction::Send(from, self.beat(from, now_ms)));
        }
        // One that does not count any more is told when it says that its list is another one, and not at every word of it.
        let counts = || self.members.current().any(|(node, _)| *node == from);
        if before.is_none() || (hears_me && !self.view.alive.contains(&from) && counts()) {
            out.push(ClusterAction::Send(from, Gossip::List(Box::new(self.members.clone()))));
            self.publish(now_ms, out);
        }
    }

    /// The connection to a node is gone, or the one from it.
    pub fn lost(&mut self, node: NodeId, now_ms: u64, out: &mut Vec<ClusterAction>) {
        self.contacts.remove(&node);
        self.publish(now_ms, out);
    }

    /// Gossip has come in.
    pub fn receive(&mut self, from: NodeId, gossip: Gossip, now_ms: u64, out: &mut Vec<ClusterAction>) {
        self.heard(from, now_ms, out);
        match gossip {
            Gossip::Beat { digest, hears_you } => {
                // That a node is not heard which did not speak says nothing of the way to others.
                let counts = hears_you || !self.health.is_bad(now_ms);
                let contact = self.contacts.get_mut(&from).filter(|contact| contact.hears_me != hears_you && counts);
                if let Some(contact) = contact {
                    contact.hears_me = hears_you;
                    self.publish(now_ms, out);
                }
                if digest != self.digest() {
                    out.push(ClusterAction::Send(from, Gossip::List(Box::new(self.members.clone()))));
                    self.tell_decisions(from, out);
                }
            }
            Gossip::List(list) => self.merge(*list, now_ms, out),
            Gossip::Detector(word) => self.detect(out, |detector, out| detector.hear(&word, now_ms, out)),
            Gossip::Decided(cluster, decisions) => {
                if self.members.cluster.may_meet(cluster) && self.decisions.merge(&decisions) {
                    self.have_decided(out);
                }
            }
        }
    }

    fn detect(&mut self, out: &mut Vec<ClusterAction>, work: impl FnOnce(&mut dyn Detector, &mut Vec<Word>)) {
        let mut words = Vec::new();
        work(self.detector.as_mut(), &mut words);
        out.extend(words.into_iter().map(|(to, word)| ClusterAction::Send(to, Gossip::Detector(word))));
    }

    /// Was the node heard of late? Longer silences are borne of one that others hear, and by a node that runs badly itself.
    fn is_heard(&self, node: NodeId, contact: Contact, now_ms: u64) -> bool {
        let usual_ms = match self.detector.opinion(node) {
            Opinion::Alive => LINK_SILENCE_MS,
            Opinion::Doubtful | Opinion::Down => SILENCE_MS,
        };
        now_ms.saturating_sub(contact.heard_at_ms) < usual_ms * self.health.stretch_percent() / 100
    }

    fn merge(&mut self, list: Members, now_ms: u64, out: &mut Vec<ClusterAction>) {
        if !self.members.cluster.may_meet(list.cluster) {
            return;
        }
        let own = self.members.nodes.get(&self.me).cloned();
        let theirs_of_me = list.nodes.get(&self.me).map(|member| (member.incarnation, member.peer_address));
        let mut changed = self.members.merge(&list);
        if let Some(mut own) = own {
            // The same run at another address is that of a copy. The address then tells where the two go on.
            let is_not_mine = |(run, address): &(Incarnation, SocketAddr)| {
                *run > own.incarnation || (*run == own.incarnation && *address != own.peer_address)
            };
            if let Some((later, _)) = theirs_of_me.filter(is_not_mine) {
                // At every meeting another step: two addresses that give the same once do not give it again.
                let chance = hash_of(format!("{} {}", own.peer_address, later.0).as_bytes());
                own.incarnation = later.next(0, chance);
                out.push(ClusterAction::Reincarnate(own.incarnation));
            }
            let before_me = self
                .members
                .nodes
                .iter()
                .filter(|(node, member)| **node != self.me && member.peer_address == own.peer_address);
            own.replaces.extend(before_me.map(|(node, _)| *node));
            let known = self.members.nodes.get(&self.me).map_or(0, |member| member.version);
            if self.members.nodes.get(&self.me) != Some(&own) {
                own.version = own.version.max(known) + 1;
                self.members.nodes.insert(self.me, own);
                changed = true;
            }
        }
        if changed {
            self.changed = true;
            self.connect(out);
            self.publish(now_ms, out);
            self.tell_all(out);
        }
    }

    /// This node holds everything of a partition, or nothing of it any more.
    pub fn set_filled(&mut self, partitions: &[PartitionId], to: Presence, now_ms: u64, out: &mut Vec<ClusterAction>) {
        let Some(own) = self.members.nodes.get_mut(&self.me) else { return };
        let changed = partitions.iter().filter(|partition| own.filled.set(**partition, to)).count();
        if to == Presence::In {
            for partition in partitions {
                own.lost.set(*partition, Presence::Out);
            }
        }
        if changed > 0 {
            own.version += 1;
            self.changed = true;
            self.publish(now_ms, out);
            self.tell_all(out);
        }
    }

    /// What is staged here: on this node, as long as it runs.
    #[must_use]
    pub fn staged(&self) -> &[LayoutChange] {
        &self.staged
    }

    /// Notes a change of the layout, to be [proposed](Self::propose) and committed with the others.
    ///
    /// # Errors
    /// [`Refused`] if it cannot be.
    pub fn stage(&mut self, change: LayoutChange) -> Result<(), Refused> {
        check(&change, &self.members, &self.view.alive)?;
        let node_of = |change: &LayoutChange| match change {
            LayoutChange::Role(node, _) | LayoutChange::Leave(node) | LayoutChange::Remove(node) => Some(*node),
            LayoutChange::Replicas(_) => None,
        };
        // The last word on a node, and on the number of replicas, counts.
        self.staged.retain(|other| node_of(other) != node_of(&change));
        self.staged.push(change);
        Ok(())
    }

    /// Forgets what is staged.
    pub fn revert(&mut self) {
        self.staged.clear();
    }

    /// What committing would do: who owns what then, and what moves. Changes nothing.
    ///
    /// # Errors
    /// [`Refused`] if it cannot be done.
    pub fn propose(&self) -> Result<Proposal, Refused> {
        // What could be staged then may not be committed now: a node may be back.
        self.staged.iter().try_for_each(|change| check(change, &self.members, &self.view.alive))?;
        let mut proposal = propose(&self.members, &self.staged)?;
        let silent = self.staged.iter().filter_map(|change| match change {
            LayoutChange::Leave(node) if !self.view.alive.contains(node) => self.members.nodes.get(node),
            _ => None,
        });
        proposal.plan.violations.extend(silent.map(|member| {
            format!(
                "{} does not answer: it hands over what it has when it is back (REMOVE is for one that will not be)",
                member.name
            )
        }));
        Ok(proposal)
    }

    /// Commits what was proposed as `id`. Old owners serve until the new ones hold everything.
    ///
    /// # Errors
    /// [`Refused::OtherPlan`] if that is not what would be proposed now.
    pub fn commit(&mut self, id: u64, now_ms: u64, out: &mut Vec<ClusterAction>) -> Result<(), Refused> {
        let proposal = self.propose()?;
        if proposal.id != id {
            return Err(Refused::OtherPlan { now: proposal.id });
        }
        let incarnation = self.members.nodes.get(&self.me).map_or(Incarnation(0), |own| own.incarnation);
        let actor = Actor { node: self.me, incarnation };
        self.members.commit(actor, proposal.layout);
        self.staged.clear();
        self.changed = true;
        self.publish(now_ms, out);
        self.tell_all(out);
        Ok(())
    }

    /// Every [`BEAT_MS`].
    pub fn tick(&mut self, now_ms: u64, out: &mut Vec<ClusterAction>) {
        let deaf_ms = self.health.tick(now_ms);
        for contact in self.contacts.values_mut() {
            contact.heard_at_ms = (contact.heard_at_ms + deaf_ms).min(now_ms);
        }
        let stretch_percent = self.health.stretch_percent();
        self.detect(out, |detector, out| detector.tick(now_ms, stretch_percent, out));
        self.publish(now_ms, out);
        for (node, _) in self.members.current().filter(|(node, _)| **node != self.me) {
            out.push(ClusterAction::Send(*node, self.beat(*node, now_ms)));
        }
    }

    fn beat(&self, to: NodeId, now_ms: u64) -> Gossip {
        let hears_you = self.contacts.get(&to).is_some_and(|contact| self.is_heard(to, *contact, now_ms));
        Gossip::Beat { digest: self.digest(), hears_you }
    }

    fn connect(&self, out: &mut Vec<ClusterAction>) {
        for (node, member) in self.members.current().filter(|(node, _)| **node != self.me) {
            out.push(ClusterAction::Connect(*node, member.peer_address));
        }
    }

    fn tell_all(&self, out: &mut Vec<ClusterAction>) {
        for node in self.view.alive.iter().filter(|node| **node != self.me) {
            out.push(ClusterAction::Send(*node, Gossip::List(Box::new(self.members.clone()))));
        }
    }

    /// Whoever would serve a partition that it had lost, or had lost perhaps by a layout that it never heard of, was not told of
    /// writes meanwhile: it says in the same breath that it has to be filled. (Were the new layouts kept without that, a crash
    /// in between would have it serve.)
    fn let_go_of_what_was_lost(&mut self, before: &View) {
        let Some(own) = self.members.nodes.get_mut(&self.me) else { return };
        let has_skipped = self.members.layouts.skip_some_of(&before.members.layouts);
        let mut has_lost = false;
        for partition in PartitionId::all() {
            let serves = self.view.replicas(partition).serving.contains(&self.me);
            if serves && (has_skipped || !before.replicas(partition).contains(self.me)) {
                has_lost |= own.filled.set(partition, Presence::Out);
            }
        }
        if has_lost {
            own.version += 1;
            self.view = Arc::new(View::new(self.me, self.members.clone(), self.view.alive.clone()));
        }
    }

    fn publish(&mut self, now_ms: u64, out: &mut Vec<ClusterAction>) {
        let answers = |node: &&NodeId| {
            **node == self.me
                || self
                    .contacts
                    .get(node)
                    .is_some_and(|contact| contact.hears_me && self.is_heard(**node, *contact, now_ms))
        };
        let alive: BTreeSet<NodeId> = self.members.current().map(|(node, _)| node).filter(answers).copied().collect();
        if std::mem::take(&mut self.changed) {
            let watched: Vec<_> = self.members.current().map(|(node, member)| (*node, member.incarnation)).collect();
            self.detect(out, |detector, out| detector.watch(&mut watched.into_iter(), now_ms, out));
            let before = Arc::clone(&self.view);
            self.view = Arc::new(View::new(self.me, self.members.clone(), alive));
            self.let_go_of_what_was_lost(&before);
        } else if alive != self.view.alive {
            self.view = Arc::new(self.view.with_alive(alive));
        } else {
            return;
        }
        out.push(ClusterAction::View(Arc::clone(&self.view)));
    }
}

impl Member {
    /// What a starting node says of itself.
    #[must_use]
    pub fn starting(
        name: String,
        peer: SocketAddr,
        client: SocketAddr,
        incarnation: Incarnation,
        filled: PartitionSet,
    ) -> Self {
        let replaces = BTreeSet::new();
        let lost = PartitionSet::none();
        Self { name, peer_address: peer, client_address: client, incarnation, version: 1, filled, lost, replaces }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cluster, ClusterAction, Gossip, SILENCE_MS};
    use crate::id::{Incarnation, NodeId};
    use crate::layout::{LayoutChange, Member, Members, PartitionSet};
    use std::collections::BTreeMap;
    use uuid::Uuid;

    fn node(n: u128) -> NodeId {
        NodeId(Uuid::from_u128(n))
    }

    /// Two machines that know each other and have not heard each other yet.
    fn pair() -> [Cluster; 2] {
        let member = |n: u16| {
            let at = |port: u16| ([127, 0, 0, 1], port + n).into();
            Member::starting(n.to_string(), at(100), at(200), Incarnation(1), PartitionSet::all())
        };
        let members = Members::new(3, BTreeMap::from([(node(1), member(1)), (node(2), member(2))]));
        [1, 2].map(|n| Cluster::new(node(n.into()), member(n), Some(members.clone()), 3))
    }

    /// Hands over what the one wants sent, and what comes back, but for what does not arrive.
    fn talk(clusters: &mut [Cluster; 2], from: usize, now_ms: u64, arrives: impl Fn(usize, usize) -> bool) {
        let mut out = Vec::new();
        clusters[from].tick(now_ms, &mut out);
        let mut under_way: Vec<_> = out.into_iter().map(|action| (from, action)).collect();
        while let Some((from, action)) = under_way.pop() {
            let (to, mut out) = (1 - from, Vec::new());
            if let ClusterAction::Send(_, gossip) = action
                && arrives(from, to)
            {
                clusters[to].receive(node(from as u128 + 1), gossip, now_ms, &mut out);
            }
            under_way.extend(out.into_iter().map(|action| (to, action)));
        }
    }

    fn alive(cluster: &Cluster) -> usize {
        cluster.view().alive.len()
    }

    /// Requests were passed on to a node that was heard, by a link that was not there yet, and waited for nothing.
    #[test]
    fn who_is_heard_and_does_not_hear_does_not_count() {
        let mut clusters = pair();
        talk(&mut clusters, 0, 0, |from, _| from == 0);
        assert_eq!(clusters.each_ref().map(alive), [1, 1], "one way alone");
        talk(&mut clusters, 0, 10, |_, _| true);
        talk(&mut clusters, 1, 10, |_, _| true);
        assert_eq!(clusters.each_ref().map(alive), [2, 2]);
        for now_ms in (20..=20 + SILENCE_MS).step_by(100) {
            talk(&mut clusters, 0, now_ms, |from, _| from == 0);
            talk(&mut clusters, 1, now_ms, |from, _| from == 0);
        }
        assert_eq!(alive(&clusters[0]), 1, "it hears nothing");
        assert_eq!(alive(&clusters[1]), 1, "it is told that it is not heard");
        talk(&mut clusters, 1, 3_000, |_, _| true);
        talk(&mut clusters, 0, 3_000, |_, _| true);
        assert_eq!(clusters.each_ref().map(alive), [2, 2]);
    }

    /// The disk of a node was copied, and both were started within one second: they minted under one name for as long as they ran.
    #[test]
    fn two_copies_that_run_as_one_go_different_ways_once_they_hear_of_each_other() {
        let [original, _] = pair();
        let mut own = original.members.nodes[&node(1)].clone();
        own.peer_address = ([127, 0, 0, 1], 9_000).into();
        let copy = Cluster::new(node(1), own, Some(original.members.clone()), 3);
        let (of_original, of_copy) = (original.members.clone(), copy.members.clone());
        let hears = |mut cluster: Cluster, list: Members| {
            let mut out = Vec::new();
            cluster.receive(node(2), Gossip::List(Box::new(list)), 0, &mut out);
            out.into_iter().find_map(|action| match action {
                ClusterAction::Reincarnate(run) => Some(run),
                _ => None,
            })
        };
        let runs = [hears(original, of_copy), hears(copy, of_original)];
        assert!(runs.iter().all(|run| run.is_some_and(|run| run > Incarnation(1))), "{runs:?}");
        assert_ne!(runs[0], runs[1]);
    }

    #[test]
    fn a_plan_says_that_one_who_is_to_leave_does_not_answer() {
        let mut clusters = pair();
        let violations = |cluster: &mut Cluster| {
            cluster.stage(LayoutChange::Leave(node(2))).expect("it can be staged");
            cluster.propose().expect("it can be done").plan.violations
        };
        assert!(violations(&mut clusters[0]).iter().any(|what| what.starts_with("2 does not answer: ")));
        talk(&mut clusters, 0, 10, |_, _| true);
        talk(&mut clusters, 1, 10, |_, _| true);
        assert!(!violations(&mut clusters[0]).iter().any(|what| what.contains("does not answer")));
    }

    #[test]
    fn a_word_of_somebody_unknown_is_answered_at_once() {
        let [mut cluster, _] = pair();
        let mut out = Vec::new();
        cluster.receive(node(2), Gossip::Beat { digest: 0, hears_you: false }, 0, &mut out);
        let says_so = |action: &ClusterAction| matches!(action, ClusterAction::Send(_, Gossip::Beat { hears_you, .. }) if *hears_you);
        assert!(out.iter().any(says_so), "{out:?}");
    }
}
