//! A flow of greatest value and, of these, of least cost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An arc, and beside it (number ^ 1) the way back.
#[derive(Clone, Copy, Debug)]
struct Arc {
    to: u32,
    room: u32,
    cost: i32,
}

/// A network; costs are not negative.
#[derive(Debug)]
pub(super) struct Flow {
    arcs: Vec<Arc>,
    leaving: Vec<Vec<u32>>,
}

impl Flow {
    pub(super) fn new(places: usize) -> Self {
        Self { arcs: Vec::new(), leaving: vec![Vec::new(); places] }
    }

    /// Adds an arc; gives its number.
    pub(super) fn arc(&mut self, from: usize, to: usize, room: u32, cost: i32) -> usize {
        let number = self.arcs.len();
        self.arcs.push(Arc { to: to as u32, room, cost });
        self.arcs.push(Arc { to: from as u32, room: 0, cost: -cost });
        self.leaving[from].push(number as u32);
        self.leaving[to].push(number as u32 + 1);
        number
    }

    /// How much flows through an arc.
    pub(super) fn used(&self, arc: usize) -> u32 {
        self.arcs[arc ^ 1].room
    }

    /// Sends as much as there is room for, along cheapest ways first: all ways of one cost at once. (Primal-dual: Ford and
    /// Fulkerson 1962; Dinic's levels within one cost.)
    ///
    /// Gives the potentials that [prove](Self::is_cheapest) it.
    pub(super) fn run(&mut self, source: usize, sink: usize) -> Vec<i32> {
        let mut potential = vec![0; self.leaving.len()];
        while let Some(distance) = self.distances(source, sink, &potential) {
            potential.iter_mut().zip(distance).for_each(|(potential, distance)| *potential += distance);
            while let Some(level) = self.levels(source, sink, &potential) {
                let mut next = vec![0; self.leaving.len()];
                while self.send(source, sink, u32::MAX, &level, &potential, &mut next) > 0 {}
            }
        }
        potential
    }

    /// Could no rerouting make it cheaper? (No way round costs less than nothing: every arc with room costs at least the
    /// difference of the potentials at its ends.)
    pub(super) fn is_cheapest(&self, potential: &[i32]) -> bool {
        let leaving =
            self.leaving.iter().enumerate().flat_map(|(place, arcs)| arcs.iter().map(move |arc| (place, *arc)));
        let mut arcs = leaving.map(|(place, number)| (place, self.arcs[number as usize]));
        arcs.all(|(place, arc)| arc.room == 0 || arc.cost + potential[place] >= potential[arc.to as usize])
    }

    /// The cost of the cheapest way to each place, beyond its potential; at most that of the sink.
    fn distances(&self, source: usize, sink: usize, potential: &[i32]) -> Option<Vec<i32>> {
        let mut distance = vec![i32::MAX; self.leaving.len()];
        let mut queue = BinaryHeap::from([Reverse((0, source))]);
        distance[source] = 0;
        while let Some(Reverse((so_far, place))) = queue.pop() {
            if so_far > distance[place] {
                continue;
            }
            if place == sink {
                break; // whatever is further than the sink counts as far as the sink
            }
            for number in &self.leaving[place] {
                let arc = self.arcs[*number as usize];
                let to = arc.to as usize;
                let cost = so_far + arc.cost + potential[place] - potential[to];
                if arc.room > 0 && cost < distance[to] {
                    distance[to] = cost;
                    queue.push(Reverse((cost, to)));
                }
            }
        }
        let most = distance[sink];
        (most < i32::MAX).then(|| distance.into_iter().map(|cost| cost.min(most)).collect())
    }

    fn is_tight(&self, from: usize, arc: Arc, potential: &[i32]) -> bool {
        arc.room > 0 && arc.cost + potential[from] == potential[arc.to as usize]
    }

    /// How many arcs that cost nothing more are between the source and each place.
    fn levels(&self, source: usize, sink: usize, potential: &[i32]) -> Option<Vec<u32>> {
        let mut level = vec![u32::MAX; self.leaving.len()];
        let mut queue = std::collections::VecDeque::from([source]);
        level[source] = 0;
        while let Some(place) = queue.pop_front() {
            for number in &self.leaving[place] {
                let arc = self.arcs[*number as usize];
                let to = arc.to as usize;
                if level[to] == u32::MAX && self.is_tight(place, arc, potential) {
                    level[to] = level[place] + 1;
                    queue.push_back(to);
                }
            }
        }
        (level[sink] < u32::MAX).then_some(level)
    }

    /// Sends up to `most` from a place to the sink, one level at a time; says how much. As deep as there are levels.
    fn send(
        &mut self,
        place: usize,
        sink: usize,
        most: u32,
        level: &[u32],
        potential: &[i32],
        next: &mut [usize],
    ) -> u32 {
        if place == sink {
            return most;
        }
        while let Some(number) = self.leaving[place].get(next[place]).copied() {
            let arc = self.arcs[number as usize];
            let to = arc.to as usize;
            if level[to] == level[place] + 1 && self.is_tight(place, arc, potential) {
                let sent = self.send(to, sink, most.min(arc.room), level, potential, next);
                if sent > 0 {
                    self.arcs[number as usize].room -= sent;
                    self.arcs[number as usize ^ 1].room += sent;
                    return sent;
                }
            }
            next[place] += 1;
        }
        0
    }
}
