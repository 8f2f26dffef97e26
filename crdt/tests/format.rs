//! The byte format against its test vectors, serde, and damaged bytes.
//!
//! `CRDT_WRITE_VECTORS=1` writes vectors that are not there yet; those that are never change: what was written once can be
//! read for ever.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use causal::{Minter, Reason};
use crdt::{
    AwMap, AwSet, BoundedCounter, Counter, Deadline, Delta, Digest, Document, DwFlag, Edit, Error, EwFlag, Expiring,
    GCounter, GSet, Hll, Lattice, LatticeBytes, Log, LwwRegister, LwwSet, MaxRegister, MinRegister, MvRegister, Num,
    Owner, PnCounter, Replica, RwSet, Seq, State, StoreBytes, Text, ZSet,
};
use quickcheck::{Arbitrary, Gen};

/// The largest block this thread asked for since it was last reset.
struct Watching;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// An allocator cannot be written without.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static WATCHING: Watching = Watching;

/// What decodes a type's bytes and writes them again, if they are accepted.
type Decode = fn(&[u8]) -> Result<Vec<u8>, Reason>;

struct Sample {
    name: String,
    bytes: Vec<u8>,
    decode: Decode,
}

fn state_again<S: StoreBytes<Actor = u64>>(bytes: &[u8]) -> Result<Vec<u8>, Reason> {
    let state = State::<S>::from_bytes(bytes).map_err(|why| why.reason)?;
    let mut other = State::<S>::new();
    other.apply(&state.diff(&other.digest())).unwrap(); // whatever was read can be used
    other.merge(&state).unwrap();
    assert_eq!(other.compare(&state), causal::Causality::Equal);
    Ok(state.to_bytes())
}

fn digest_again<S: StoreBytes>(bytes: &[u8]) -> Result<Vec<u8>, Reason> {
    Digest::<S>::from_bytes(bytes).map(|digest| digest.to_bytes()).map_err(|why| why.reason)
}

fn delta_again<S: StoreBytes>(bytes: &[u8]) -> Result<Vec<u8>, Reason> {
    Delta::<S>::from_bytes(bytes).map(|delta| delta.to_bytes()).map_err(|why| why.reason)
}

fn lattice_again<L: LatticeBytes>(bytes: &[u8]) -> Result<Vec<u8>, Reason> {
    L::from_bytes(bytes).map(|state| state.to_bytes()).map_err(|why| why.reason)
}

type Step<S> = fn(&mut Edit<'_, S>) -> Result<(), Error<u64>>;

/// Two replicas, 7 and 9: each step is done by one of them, and the second has seen the first one's only at the end. The
/// state of both together, and the last delta.
fn samples<S: StoreBytes<Actor = u64> + 'static>(name: &str, steps: &[Step<S>]) -> [Sample; 3] {
    let [mut a, mut b] = [7, 9].map(|actor| Replica::<S>::new(Minter::once(actor)));
    let mut last = Delta::default();
    for (at, step) in steps.iter().enumerate() {
        let replica = if at % 3 == 2 { &mut b } else { &mut a };
        last = replica.edit_at(1_700_000_000_000 + 250 * at as u64, step).unwrap();
    }
    a.merge(b.state()).unwrap();
    let state = Sample { name: format!("{name} state"), bytes: a.state().to_bytes(), decode: state_again::<S> };
    let delta = Sample { name: format!("{name} delta"), bytes: last.to_bytes(), decode: delta_again::<S> };
    let digest = a.state().digest().to_bytes();
    [state, delta, Sample { name: format!("{name} digest"), bytes: digest, decode: digest_again::<S> }]
}

fn lattice<L: LatticeBytes>(name: &str, state: &L) -> [Sample; 2] {
    let empty = Sample { name: format!("{name} empty"), bytes: L::default().to_bytes(), decode: lattice_again::<L> };
    [Sample { name: name.to_owned(), bytes: state.to_bytes(), decode: lattice_again::<L> }, empty]
}

fn all() -> Vec<Sample> {
    let (mut up, mut down) = (Owner::<u64, PnCounter<u64>>::new(7), Owner::<u64, PnCounter<u64>>::new(9));
    up.add(300).unwrap();
    up.apply(&down.add(-5).unwrap()).unwrap();
    let mut sum = Owner::<u64, GCounter<u64>>::new(7);
    sum.add(300).unwrap();
    let mut stock = Owner::<u64, BoundedCounter<u64>>::new(7);
    stock.add(10).unwrap();
    stock.hand_over(&9, 4).unwrap();
    stock.take(1).unwrap();
    let mut hll = Hll::default();
    ["a", "b", "c"].iter().for_each(|thing| hll.join(&hll.clone().add(thing.as_bytes()).unwrap_or_default()));
    let objects = [
        samples::<EwFlag<u64>>("ew-flag", &[|it| it.enable(), |it| it.disable(), |it| it.enable()]),
        samples::<DwFlag<u64>>("dw-flag", &[|it| it.enable(), |it| it.disable(), |it| it.enable()]),
        samples::<MvRegister<u64, String>>(
            "mv-register",
            &[|it| it.write("one".into()), |it| it.write("two".into()), |it| it.write("zwei".into())],
        ),
        samples::<LwwRegister<u64, i64>>("lww-register", &[|it| it.write(-1), |it| it.write(2), |it| it.write(3)]),
        samples::<MaxRegister<u64, u32>>("max-register", &[|it| it.write(5), |it| it.write(4), |it| it.write(9)]),
        samples::<MinRegister<u64, u32>>("min-register", &[|it| it.write(5), |it| it.write(4), |it| it.write(9)]),
        samples::<AwSet<u64, String>>(
            "aw-set",
            &[|it| it.add("apple"), |it| it.add("apricot"), |it| it.add("apple"), |it| it.remove("apricot")],
        ),
        samples::<AwSet<u64, u64>>("aw-set of numbers", &[|it| it.add(5u64), |it| it.add(300u64), |it| it.add(6u64)]),
        samples::<RwSet<u64, u64>>("rw-set", &[|it| it.add(5u64), |it| it.add(6u64), |it| it.remove(5u64)]),
        samples::<LwwSet<u64, Vec<u8>>>("lww-set", &[|it| it.add([1]), |it| it.add([1, 2]), |it| it.remove([1])]),
        samples::<Counter<u64>>(
            "counter",
            &[|it| it.add(5), |it| it.add(-2), |it| it.add(100), |it| it.clear(), |it| it.add(1)],
        ),
        samples::<Num<u64>>("num", &[|it| it.add(5), |it| it.set(10), |it| it.set(-3), |it| it.add(2)]),
        samples::<AwMap<String, AwMap<i32, Counter<u64>>>>(
            "aw-map",
            &[
                |it| it.at("a").at(-1).add(1),
                |it| it.at("a").at(7).add(2),
                |it| it.at("b").at(7).add(3),
                |it| it.remove("a"),
            ],
        ),
        samples::<ZSet<u64, String>>(
            "z-set",
            &[|it| it.set("ann", 30), |it| it.add("bob", 5), |it| it.add("ann", 2), |it| it.remove("ann")],
        ),
        samples::<Log<u64, String>>(
            "log",
            &[
                |it| it.append("first".into()),
                |it| it.append("second".into()),
                |it| it.append("third".into()),
                |it| it.trim(causal::Hlc(1_700_000_000_100 << 16)),
            ],
        ),
        samples::<Seq<u64, i64>>(
            "seq",
            &[|it| it.insert(0, [1, 2, 3]), |it| it.insert(1, [-4]), |it| it.insert(0, [5, 6]), |it| it.remove(0..2)],
        ),
        samples::<Text<u64>>(
            "text",
            &[|it| it.push("Hello"), |it| it.insert(0, "¡"), |it| it.push("Ciao"), |it| it.remove(1..3)],
        ),
        samples::<Expiring<MvRegister<u64, u8>>>(
            "expiring",
            &[
                |it| it.value().write(1),
                |it| it.expire(Deadline::At(1_800_000_000_000)),
                |it| it.expire(Deadline::Never),
            ],
        ),
        samples::<Document<u64>>(
            "document",
            &[
                |it| it.map().at("title").register().write("fence".into()),
                |it| it.map().at("tags").set().add("home"),
                |it| it.map().at("title").text().push("Fence"),
                |it| it.map().at("spent").map().at("hours").counter().add(2),
                |it| it.map().at("list").list().push(7.into()),
            ],
        ),
    ];
    let lattices = [
        lattice("g-counter", sum.state()),
        lattice("pn-counter", up.state()),
        lattice("bounded-counter", stock.state()),
        lattice("g-set", &GSet::from_iter([3u64, 5, 8])),
        lattice("hll", &hll),
    ];
    objects.into_iter().flatten().chain(lattices.into_iter().flatten()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/format/vectors.json");

fn vectors() -> BTreeMap<String, String> {
    serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap_or_else(|_| "{}".to_owned())).unwrap()
}

#[test]
fn what_was_once_written_is_still_written_and_read() {
    let (mut vectors, all) = (vectors(), all());
    if std::env::var("CRDT_WRITE_VECTORS").is_ok() {
        for sample in &all {
            vectors.entry(sample.name.clone()).or_insert_with(|| hex(&sample.bytes));
        }
        std::fs::write(VECTORS, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
    }
    assert_eq!(vectors.len(), all.len());
    for Sample { name, bytes, decode } in all {
        assert_eq!(vectors.get(&name), Some(&hex(&bytes)), "{name}");
        assert_eq!(decode(&bytes), Ok(bytes), "{name}");
    }
}

#[test]
fn bytes_of_another_type_or_kind_and_newer_ones_are_refused_by_name() {
    let all = all();
    for (at, sample) in all.iter().enumerate() {
        for (other, Sample { name, decode, .. }) in all.iter().enumerate() {
            let same = at == other || name.replace(" empty", "") == sample.name.replace(" empty", "");
            let refused = matches!(decode(&sample.bytes), Err(Reason::OtherKind(_)));
            assert!(same != refused, "{} read as {name}", sample.name);
        }
        let mut newer = sample.bytes.clone();
        newer[0] += 0x10;
        assert_eq!((sample.decode)(&newer), Err(Reason::UnknownVersion(newer[0])));
        let longer = [&sample.bytes[..], &[0]].concat();
        assert_eq!((sample.decode)(&longer), Err(Reason::NotCanonical), "{}", sample.name);
        for len in 0..sample.bytes.len() {
            assert!((sample.decode)(&sample.bytes[..len]).is_err(), "{} cut to {len}", sample.name);
        }
    }
}

/// A run of 2^61 removed elements takes a few bytes. Whatever is done with them takes as long as with one.
#[test]
fn what_is_announced_in_few_bytes_costs_no_more_than_they_do() {
    let mut bytes = unhex(&vectors()["text state"][..8]);
    let mut context = causal::CausalContext::new();
    context.insert_run(7u64, causal::Run { first: 1, last: 1 << 61 });
    let context = context.to_bytes();
    bytes.extend([context.len() as u8].iter().chain(&context).chain(&[0, 1, 0, 1, 0, 0]));
    bytes.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
    let state = State::<Text<u64>>::from_bytes(&bytes).unwrap();
    let mut other = Replica::<Text<u64>>::new(Minter::once(9));
    let _ = other.edit(|text| text.push("x")).unwrap();
    other.apply(&state.diff(&other.state().digest())).unwrap();
    other.merge(&state).unwrap();
    assert_eq!((other.to_string(), other.runs_of_text()), ("x".to_owned(), 2));
}

/// A text with this context and, of actor 7, these runs.
fn text(seen: u64, runs: &[u8]) -> Result<State<Text<u64>>, Reason> {
    let mut bytes = unhex(&vectors()["text state"][..8]);
    let context: causal::CausalContext<u64> = (1..=seen).map(|counter| causal::Dot::new(7, counter)).collect();
    let context = context.to_bytes();
    bytes.extend([context.len() as u8].iter().chain(&context).chain(&[0]).chain(runs));
    State::from_bytes(&bytes).map_err(|why| why.reason)
}

#[test]
fn an_element_that_was_never_seen_is_refused_and_one_that_was_does_not_come_back() {
    assert_eq!(text(1, &[1, 0, 1, 1, 0, 2, b'a', b'b']), Err(Reason::NotSeen));
    let both = text(2, &[1, 0, 1, 1, 0, 2, b'a', b'b']).unwrap();
    assert_eq!(both.to_string(), "ab");
    let mut neither = text(2, &[0]).unwrap();
    neither.merge(&both).unwrap();
    assert!(neither.is_empty());
}

trait Runs {
    fn runs_of_text(&self) -> usize;
}

impl Runs for Replica<Text<u64>> {
    fn runs_of_text(&self) -> usize {
        self.characters().runs()
    }
}

#[test]
fn serde_carries_the_bytes_and_in_readable_formats_their_text() {
    let mut set = Replica::<AwSet<u64, String>>::new(Minter::once(7));
    let delta = set.edit(|set| set.add("x")).unwrap();
    let json = serde_json::to_string(set.state()).unwrap();
    assert!(json.starts_with('"') && json.len() < 60, "{json}");
    assert_eq!(serde_json::from_str::<State<AwSet<u64, String>>>(&json).unwrap(), *set.state());
    let binary = postcard::to_allocvec(&(set.state(), &delta)).unwrap();
    type Tags = AwSet<u64, String>;
    let read: (State<Tags>, Delta<Tags>) = postcard::from_bytes(&binary).unwrap();
    assert_eq!(read, (set.state().clone(), delta));
    let why = serde_json::from_str::<State<Counter<u64>>>(&json).unwrap_err().to_string();
    assert!(why.starts_with("at byte 0: byte 0x13 announces something else than was asked for"), "{why}");
}

fn mutate(g: &mut Gen, input: &mut Vec<u8>, corpus: &[Sample]) {
    let at = usize::arbitrary(g) % (input.len() + 1);
    match u8::arbitrary(g) % 7 {
        0 if at < input.len() => input[at] ^= 1 << (u8::arbitrary(g) % 8),
        1 if at < input.len() => input[at] = *g.choose(&[0, 1, 0x7f, 0x80, 0xff, 0x13, 0x14]).unwrap(),
        2 if at < input.len() => drop(input.remove(at)),
        3 => input.insert(at, u8::arbitrary(g)),
        4 => input.truncate(at),
        5 => input.extend_from_within(at..),
        _ => input.extend_from_slice(&g.choose(corpus).unwrap().bytes),
    }
}

fn decode(sample: &Sample, input: &[u8]) {
    LARGEST.set(0);
    let outcome = (sample.decode)(input);
    let most = 400 * input.len() + 64 * 1024; // a dense HyperLogLog takes 16 KiB
    assert!(LARGEST.get() <= most, "{} bytes at once for {} of {}", LARGEST.get(), input.len(), sample.name);
    if let Ok(again) = outcome {
        assert_eq!(again, input, "{}", sample.name);
    }
}

/// A second, or as many as the environment's `DOTTED_FUZZ_SECONDS` says.
#[test]
fn mutated_bytes_are_refused_or_decode_to_what_encodes_to_them() {
    let seconds = std::env::var("DOTTED_FUZZ_SECONDS").map_or(1, |text| text.parse().expect("a number of seconds"));
    let (end, corpus) = (Instant::now() + Duration::from_secs(seconds), all());
    let (mut g, mut inputs) = (Gen::new(64), 0u64);
    while Instant::now() < end {
        let sample = g.choose(&corpus).unwrap();
        let mut input = sample.bytes.clone();
        for _ in 0..=u8::arbitrary(&mut g) % 6 {
            mutate(&mut g, &mut input, &corpus);
        }
        input.splice(..input.len().min(4), sample.bytes[..4].iter().copied()); // past the header
        if std::panic::catch_unwind(|| self::decode(sample, &input)).is_err() {
            panic!("these bytes do it to {}: {input:02x?}", sample.name);
        }
        inputs += 1;
    }
    println!("{inputs} inputs");
}
