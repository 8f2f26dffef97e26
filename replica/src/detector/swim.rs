//! SWIM (Das, Gupta, Motivala 2002) by [foca](https://docs.rs/foca): each node asks one other per period, has three more ask if
//! that one is silent, and what was found out travels with the questions. A node's cost does not grow with the cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{
    Config, Foca, Identity, Member, NoCustomBroadcast, Notification, PeriodicParams, PostcardCodec, Runtime, Timer,
};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use crate::detector::{Detector, Opinion, Word};
use crate::digest::hash_of;
use crate::id::{Incarnation, NodeId};

/// Each node asks another one once per period.
const PERIOD: Duration = Duration::from_millis(500);
/// After this, others are asked to ask.
const DIRECT: Duration = Duration::from_millis(200);
/// So long whoever answered nobody may say that it is there after all.
const SUSPICION: Duration = Duration::from_millis(1_000);
/// What was found out is handed on so often, also when nothing is asked.
const HAND_ON: Duration = Duration::from_millis(250);
/// Those that were given up are asked so often whether they are back.
const ASK_AGAIN: Duration = Duration::from_millis(2_000);
/// The greatest word.
const WORD_BYTES: usize = 1_400;
/// With more doubts than this under way somebody is making up nodes: further ones are dropped.
const TIMERS: usize = 16_384;
/// Of so many processes more than there are members may be heard; then words are passed over until this node starts again.
const STRANGERS: usize = 1_024;

/// A process: one run of a node, and how often it had to say that it is not dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    node: NodeId,
    run: Incarnation,
    returned: u32,
}

impl Identity for Process {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { returned: self.returned.wrapping_add(1), ..self.clone() })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        (self.run, self.returned) > (other.run, other.returned)
    }
}

type Machine = Foca<Process, PostcardCodec, SmallRng, NoCustomBroadcast>;

/// What foca wants done.
#[derive(Default)]
struct Wishes {
    words: Vec<Word>,
    timers: Vec<(Duration, Timer<Process>)>,
}

impl Runtime<Process> for Wishes {
    fn notify(&mut self, _: Notification<'_, Process>) {}

    fn send_to(&mut self, to: Process, data: &[u8]) {
        self.words.push((to.node, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Process>, after: Duration) {
        self.timers.push((after, event));
    }
}

/// The detector.
pub struct Swim {
    foca: Machine,
    config: Config,
    watched: BTreeMap<NodeId, Incarnation>,
    /// By when they are due, and in which order they came.
    timers: BTreeMap<(u64, u64), Timer<Process>>,
    next_timer: u64,
}

impl fmt::Debug for Swim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swim").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Swim {
    /// The detector of one run of a node. Whom it asks when follows from that alone.
    #[must_use]
    pub fn new(me: NodeId, run: Incarnation) -> Self {
        let every = |frequency, nodes| Some(PeriodicParams { frequency, num_members: nodes });
        let (few, one) = (NonZeroUsize::MIN.saturating_add(2), NonZeroUsize::MIN);
        let config = Config {
            probe_period: PERIOD,
            probe_rtt: DIRECT,
            num_indirect_probes: few,
            max_transmissions: NonZeroU8::MIN.saturating_add(9),
            suspect_to_down_after: SUSPICION,
            // A later run has another identity, and one that is back renews its own.
            remove_down_after: None,
            max_packet_size: NonZeroUsize::MIN.saturating_add(WORD_BYTES - 1),
            notify_down_members: true,
            periodic_announce: None,
            periodic_announce_to_down_members: every(ASK_AGAIN, one),
            periodic_gossip: every(HAND_ON, few),
        };
        let seed = hash_of(me.0.as_bytes()) ^ u64::from(run.0);
        let process = Process { node: me, run, returned: 0 };
        let foca = Foca::new(process, config.clone(), SmallRng::seed_from_u64(seed), PostcardCodec);
        Self { foca, config, watched: BTreeMap::new(), timers: BTreeMap::new(), next_timer: 0 }
    }

    /// Has foca do something, and what comes due by it.
    fn with(
        &mut self,
        now_ms: u64,
        out: &mut Vec<Word>,
        work: impl FnOnce(&mut Machine, &mut Wishes) -> Result<(), foca::Error>,
    ) {
        let mut wishes = Wishes::default();
        // What it cannot read, or is out of date, changes nothing.
        let _ = work(&mut self.foca, &mut wishes);
        for (after, timer) in wishes.timers {
            // Those that foca goes on by come again and again, and are few.
            let may_be_dropped = matches!(timer, Timer::ChangeSuspectToDown { .. } | Timer::RemoveDown(_));
            if !may_be_dropped || self.timers.len() < TIMERS {
                self.next_timer += 1;
                self.timers.insert((now_ms + after.as_millis() as u64, self.next_timer), timer);
            }
        }
        out.extend(wishes.words.into_iter().filter(|(to, _)| self.watched.contains_key(to)));
    }
}

impl Detector for Swim {
    fn watch(&mut self, nodes: &mut dyn Iterator<Item = (NodeId, Incarnation)>, now_ms: u64, out: &mut Vec<Word>) {
        let me = self.foca.identity().node;
        let watched: BTreeMap<_, _> = nodes.filter(|(node, _)| *node != me).collect();
        let before = std::mem::replace(&mut self.watched, watched);
        let news = self.watched.iter().filter(|(node, run)| before.get(node) != Some(run));
        let news: Vec<_> = news.map(|(node, run)| Process { node: *node, run: *run, returned: 0 }).collect();
        let is_gone = |node: &NodeId| before.contains_key(node) && !self.watched.contains_key(node);
        let known = self.foca.iter_membership_state().map(Member::id);
        let gone: Vec<_> = known.filter(|it| is_gone(&it.node)).cloned().map(Member::down).collect();
        let updates: Vec<_> = news.into_iter().map(Member::alive).chain(gone).collect();
        if !updates.is_empty() {
            self.with(now_ms, out, |foca, wishes| foca.apply_many(updates.into_iter(), false, wishes));
        }
    }

    fn hear(&mut self, word: &[u8], now_ms: u64, out: &mut Vec<Word>) {
        if self.foca.iter_membership_state().len() <= self.watched.len() + STRANGERS {
            self.with(now_ms, out, |foca, wishes| foca.handle_data(word, wishes));
        }
    }

    fn tick(&mut self, now_ms: u64, stretch_percent: u64, out: &mut Vec<Word>) {
        let suspicion = SUSPICION.mul_f64(stretch_percent as f64 / 100.0);
        if suspicion != self.config.suspect_to_down_after {
            self.config.suspect_to_down_after = suspicion;
            let config = self.config.clone();
            self.with(now_ms, out, |foca, _| foca.set_config(config));
        }
        let later = self.timers.split_off(&(now_ms + 1, 0));
        let mut due: Vec<_> = std::mem::replace(&mut self.timers, later).into_values().collect();
        // Those that are due together have an order of their own.
        due.sort();
        for timer in due {
            self.with(now_ms, out, |foca, wishes| foca.handle_timer(timer, wishes));
        }
    }

    fn opinion(&self, node: NodeId) -> Opinion {
        match self.foca.iter_membership_state().find(|member| member.id().node == node).map(Member::state) {
            Some(foca::State::Alive) => Opinion::Alive,
            Some(foca::State::Down) => Opinion::Down,
            Some(foca::State::Suspect) | None => Opinion::Doubtful,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Detector as _, Opinion, Swim};
    use crate::id::{Incarnation, NodeId};
    use quickcheck::quickcheck;

    fn node(n: u128) -> NodeId {
        NodeId(uuid::Uuid::from_u128(n))
    }

    fn three() -> Vec<Swim> {
        (1..=3).map(|n| Swim::new(node(n), Incarnation(1))).collect()
    }

    /// Lets time pass; what is said arrives at those that are up.
    fn pass(nodes: &mut [Swim], up: &[usize], from_ms: u64, to_ms: u64) {
        for now_ms in (from_ms..to_ms).step_by(50) {
            let mut words = Vec::new();
            for at in up {
                nodes[*at].watch(&mut (1..=3).map(|n| (node(n), Incarnation(1))), now_ms, &mut words);
                nodes[*at].tick(now_ms, 100, &mut words);
            }
            while let Some((to, word)) = words.pop() {
                if let Some(at) = up.iter().find(|at| node(**at as u128 + 1) == to) {
                    nodes[*at].hear(&word, now_ms, &mut words);
                }
            }
        }
    }

    #[test]
    fn who_is_silent_is_doubted_then_given_up_and_believed_when_it_is_back() {
        let mut nodes = three();
        pass(&mut nodes, &[0, 1, 2], 0, 5_000);
        assert!((2..=3).all(|n| nodes[0].opinion(node(n)) == Opinion::Alive));
        pass(&mut nodes, &[0, 1], 5_000, 8_000);
        assert_eq!([2, 3].map(|n| nodes[0].opinion(node(n))), [Opinion::Alive, Opinion::Down]);
        pass(&mut nodes, &[0, 1, 2], 8_000, 16_000);
        assert!((1..=3).all(|n| (0..3).all(|at| at == n - 1 || nodes[at].opinion(node(n as u128)) == Opinion::Alive)));
    }

    #[test]
    fn who_is_no_member_is_neither_asked_nor_answered() {
        let mut nodes = three();
        let (mut stranger, mut words) = (Swim::new(node(9), Incarnation(1)), Vec::new());
        stranger.watch(&mut [(node(1), Incarnation(1))].into_iter(), 0, &mut words);
        for now_ms in (0..3_000).step_by(100) {
            stranger.tick(now_ms, 100, &mut words);
        }
        assert!(!words.is_empty());
        let mut answers = Vec::new();
        words.iter().for_each(|(_, word)| nodes[0].hear(word, 3_000, &mut answers));
        assert_eq!(answers, []);
    }

    quickcheck! {
        fn random_bytes_change_nothing_and_never_panic(word: Vec<u8>) -> bool {
            let (mut nodes, mut out) = (three(), Vec::new());
            nodes[0].hear(&word, 0, &mut out);
            out.is_empty()
        }
    }
}
