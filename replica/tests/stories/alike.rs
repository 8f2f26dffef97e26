//! The types in memory and the cells of a cluster's nodes: the same operations, the same news, the same readings.

use crdt::{AwMap, AwSet, DotStore, Edit, Error, MvRegister, Num, reading};
use replica::{Actor, ByteString, CellId, CellKind, Event, Message, Ticket, Write};

use super::{Replica, exchange, node, pass_time, request};

/// One node's objects in memory.
struct InMemory {
    number: crdt::Replica<Num<Actor>>,
    members: crdt::Replica<AwSet<Actor, String>>,
    fields: crdt::Replica<AwMap<String, Num<Actor>>>,
    text: crdt::Replica<MvRegister<Actor, Vec<u8>>>,
}

fn new<S: DotStore<Actor = Actor>>(at: usize) -> crdt::Replica<S> {
    let actor = Actor { node: node(at as u128 + 1), incarnation: replica::Incarnation(1) };
    crdt::Replica::new(causal::Minter::once(actor))
}

impl InMemory {
    fn new(at: usize) -> Self {
        Self { number: new(at), members: new(at), fields: new(at), text: new(at) }
    }

    /// Has it seen all that the other has?
    fn knows(&self, other: &Self) -> bool {
        self.number.state().context().covers(other.number.state().context())
            && self.members.state().context().covers(other.members.state().context())
            && self.fields.state().context().covers(other.fields.state().context())
            && self.text.state().context().covers(other.text.state().context())
    }
}

/// Both forms on three nodes.
struct Nodes {
    cells: Vec<Replica>,
    memory: Vec<InMemory>,
    wall_ms: u64,
}

impl Nodes {
    /// Does a thing at a node in both forms; its news reaches the nodes that are `up`.
    fn run<S: DotStore<Actor = Actor>>(
        &mut self,
        (at, up): (usize, &[usize]),
        (key, write): (&str, Write),
        object: impl Fn(&mut InMemory) -> &mut crdt::Replica<S>,
        change: impl FnOnce(&mut Edit<'_, S>) -> Result<(), Error<Actor>>,
    ) {
        self.wall_ms += 1;
        self.cells.iter_mut().for_each(|cells| cells.wall_ms = self.wall_ms);
        let mut asked = request(key, write);
        asked.quorum = replica::Quorum::of(1);
        let sent = self.cells[at].handle(Event::Peer(node(99), Message::Forward(Ticket(7), asked)));
        exchange(&mut self.cells, up, at, sent);
        let delta = object(&mut self.memory[at]).edit_at(self.wall_ms, change).expect("there is a dot");
        for to in up.iter().filter(|to| **to != at) {
            object(&mut self.memory[*to]).apply(&delta).expect("no dot twice");
        }
    }

    /// Two nodes tell each other everything.
    fn meet(&mut self, x: usize, y: usize) {
        pass_time(&mut self.cells, &[x, y], 40);
        for (to, from) in [(x, y), (y, x)] {
            let [to, from] = self.memory.get_disjoint_mut([to, from]).expect("two nodes");
            to.number.merge(from.number.state()).expect("no dot twice");
            to.members.merge(from.members.state()).expect("no dot twice");
            to.fields.merge(from.fields.state()).expect("no dot twice");
            to.text.merge(from.text.state()).expect("no dot twice");
        }
    }

    fn compare(&self, at: usize) {
        let (contents, memory) = (self.cells[at].contents(), &self.memory[at]);
        let cell = |key: &str, id: CellId| contents.cells.get(&(key.as_bytes().to_vec(), id)).map(|state| &state.live);
        let number = |key: &str, id: CellId| {
            let text = reading::winner(cell(key, id)?)?;
            Some(reading::parse_integer(&text).expect("a number"))
        };
        assert_eq!(number("number", CellId::value()), memory.number.value(), "the number at node {at}");
        for name in NAMES {
            let is_member = cell("members", CellId::member(name)).is_some_and(reading::is_present);
            assert_eq!(is_member, memory.members.contains(name), "member {name} at node {at}");
            let expected = memory.fields.get(name).and_then(Num::value);
            assert_eq!(number("fields", CellId::field(name)), expected, "field {name} at node {at}");
        }
        let mut texts: Vec<Vec<u8>> = cell("text", CellId::value()).into_iter().flat_map(siblings).collect();
        let mut expected: Vec<Vec<u8>> = memory.text.values().cloned().collect();
        texts.sort();
        expected.sort();
        assert_eq!(texts, expected, "the siblings at node {at}");
    }
}

fn siblings(cell: &reading::Cell<Actor>) -> Vec<Vec<u8>> {
    reading::siblings(cell).into_iter().map(|sibling| sibling.value.into_owned()).collect()
}

const NAMES: [&str; 3] = ["x", "y", "z"];

/// Numbers that look as if drawn, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

/// One operation of any type, in both forms.
fn step(nodes: &mut Nodes, dice: &mut Dice) {
    let (at, is_told) = (dice.below(3), dice.below(2) == 0);
    // News that overtakes other news may tell more in cells: removing a key speaks of all that its coordinator ever saw there.
    let may_hear = |to: &usize| *to == at || (is_told && nodes.memory[*to].knows(&nodes.memory[at]));
    let up: Vec<usize> = (0..3).filter(may_hear).collect();
    let (name, amount) = (NAMES[dice.below(3)], dice.below(9) as i64 - 4);
    let (whom, bytes) = ((at, up.as_slice()), |text: String| text.into_bytes());
    let (value, names) = (CellId::value(), || vec![ByteString::from(name)]);
    match dice.below(12) {
        0 => nodes.run(whom, ("number", Write::Set(bytes(amount.to_string()))), |it| &mut it.number, |n| n.set(amount)),
        1 | 2 => nodes.run(whom, ("number", Write::Increment(value, amount)), |it| &mut it.number, |n| n.add(amount)),
        3 => nodes.run(whom, ("number", Write::RemoveKey), |it| &mut it.number, |n| n.clear()),
        4 => nodes.run(whom, ("members", Write::Add(names())), |it| &mut it.members, |set| set.add(name)),
        5 => {
            let remove = Write::Remove(CellKind::Member, names());
            nodes.run(whom, ("members", remove), |it| &mut it.members, |set| set.remove(name));
        }
        6 => {
            let put = Write::Put(CellKind::Field, vec![(name.into(), amount.to_string().into())]);
            nodes.run(whom, ("fields", put), |it| &mut it.fields, |map| map.at(name).set(amount));
        }
        7 => {
            let add = Write::Increment(CellId::field(name), amount);
            nodes.run(whom, ("fields", add), |it| &mut it.fields, |map| map.at(name).add(amount));
        }
        8 => {
            let remove = Write::Remove(CellKind::Field, names());
            nodes.run(whom, ("fields", remove), |it| &mut it.fields, |map| map.remove(name));
        }
        9 => nodes.run(whom, ("fields", Write::RemoveKey), |it| &mut it.fields, |map| map.clear()),
        10 => {
            let text = bytes(format!("text {}", nodes.wall_ms));
            let set = Write::Set(text.clone());
            nodes.run(whom, ("text", set), |it| &mut it.text, |register| register.write(text));
        }
        _ => nodes.run(whom, ("text", Write::RemoveKey), |it| &mut it.text, |register| register.clear()),
    }
}

#[test]
fn types_in_memory_and_the_cells_of_nodes_read_alike() {
    for seed in 1..=200 {
        let mut dice = Dice(seed);
        let all = [1, 2, 3];
        let mut nodes = Nodes {
            cells: all.iter().map(|n| Replica::new(*n, &all, &all, 1 << 20)).collect(),
            memory: (0..3).map(InMemory::new).collect(),
            wall_ms: 1,
        };
        for _ in 0..60 {
            if dice.below(6) == 0 {
                let x = dice.below(3);
                nodes.meet(x, (x + 1) % 3);
            } else {
                step(&mut nodes, &mut dice);
            }
            (0..3).for_each(|at| nodes.compare(at));
        }
    }
}
