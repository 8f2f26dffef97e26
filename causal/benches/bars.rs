//! `cargo bench -p causal --bench bars`: one line per bar, tab-separated: name, ours, peer, peer / ours.
//!
//! Times are nanoseconds per operation, the median of 31 rounds in which ours and the peer take turns. The peer is
//! the `crdts` crate in the same run where it has the operation; for the DVV set it is the Erlang reference
//! implementation (OTP 25 on a 2-core AMD EPYC: 535 ns a put, 326 ns a sync), for bytes what is named beside them.
//! Neither side is charged for making its inputs: `crdts` consumes what it merges, so its copies are made outside.

use std::hint::black_box;
use std::mem;
use std::time::Instant;

use causal::{CausalContext, Dot, DvvSet, Token, VersionVector};
use crdts::{CmRDT, CvRDT, MVReg, VClock};

const ROUNDS: usize = 31;
/// Operations per round: enough for the clock, few enough for the cache.
const BATCH: usize = 256;

/// Nanoseconds per input that `operation` takes in place.
fn time<I>(mut inputs: Vec<I>, mut operation: impl FnMut(&mut I)) -> f64 {
    let start = Instant::now();
    for input in black_box(&mut inputs) {
        operation(input);
    }
    let elapsed = start.elapsed();
    black_box(&inputs);
    elapsed.as_nanos() as f64 / inputs.len() as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Takes turns, so that a noisy moment meets both.
fn race(mut ours: impl FnMut() -> f64, mut peer: impl FnMut() -> f64) -> (f64, f64) {
    let rounds: Vec<_> = (0..ROUNDS).map(|_| (ours(), peer())).collect();
    (median(rounds.iter().map(|round| round.0).collect()), median(rounds.iter().map(|round| round.1).collect()))
}

fn print(name: &str, ours: f64, peer: f64) {
    println!("{name}\t{ours:.1}\t{peer:.1}\t{:.2}", peer / ours);
}

/// `n` actors; the counters differ so that neither of two clocks covers the other.
fn counters(n: u64, offset: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..n).map(move |actor| (actor.wrapping_mul(0x9e37_79b9_7f4a_7c15), 100 + (actor + offset) % 3))
}

fn clocks(n: u64) {
    let [x, y] = [0, 1].map(|offset| counters(n, offset).collect::<VersionVector<u64>>());
    let clock = |offset| counters(n, offset).map(|(a, c)| crdts::Dot::new(a, c)).collect::<VClock<u64>>();
    let [cx, cy] = [0, 1].map(clock);
    let (ours, peer) = race(
        || time(vec![x.clone(); BATCH], |x| x.union(black_box(&y))),
        || time(vec![(cx.clone(), cy.clone()); BATCH], |(x, y)| x.merge(mem::take(y))),
    );
    print(&format!("clock-merge/{n}"), ours, peer);
    let (mut newer, mut cnewer) = (x.clone(), cx.clone());
    newer.union(&y);
    cnewer.merge(cy.clone());
    // Concurrent, before and after, a third each.
    let pairs = [(&x, &y), (&x, &newer), (&newer, &y)];
    let cpairs = [(&cx, &cy), (&cx, &cnewer), (&cnewer, &cy)];
    let (ours, peer) = race(
        || time(pairs.repeat(BATCH), |(x, y)| _ = black_box(x.compare(y))),
        || time(cpairs.repeat(BATCH), |(x, y)| _ = black_box((*x).partial_cmp(*y))),
    );
    print(&format!("clock-compare/{n}"), ours, peer);
}

/// A register that `n` actors have written, each having read the one before; then one more read and write.
fn registers(n: u64) {
    let (mut ours_before, mut peer_before) = (DvvSet::new(), MVReg::<u64, u64>::new());
    for (actor, value) in counters(n, 0) {
        let seen = ours_before.context();
        ours_before.update(&seen, actor, value).expect("a fresh actor");
        peer_before.apply(peer_before.write(value, peer_before.read().derive_add_ctx(actor)));
    }
    let put = |register: &mut DvvSet<u64, u64>| {
        let seen = register.context();
        register.update(&seen, 0, black_box(7)).expect("its own context");
    };
    let peer_put = |register: &mut MVReg<u64, u64>| {
        let seen = register.read_ctx();
        register.apply(register.write(black_box(7), seen.derive_add_ctx(0)));
    };
    let (ours, peer) =
        race(|| time(vec![ours_before.clone(); BATCH], put), || time(vec![peer_before.clone(); BATCH], peer_put));
    print(&format!("register-put/{n}"), ours, peer);
}

/// Three actors and two siblings, as the reference was measured.
fn dvv_sets() {
    let mut before = DvvSet::<u64, u64>::new();
    for (actor, value) in counters(3, 0) {
        let seen = before.context();
        before.update(&seen, actor, value).expect("a fresh actor");
    }
    let read = before.context();
    before.update(&VersionVector::new(), 0, 8).expect("the empty context");
    let put = |set: &mut DvvSet<u64, u64>| _ = set.update(black_box(&read), 0, 9);
    let [mut here, mut there] = [before.clone(), before.clone()];
    here.update(&read, 0, 9).expect("its own context");
    there.update(&read, 0x9e37_79b9_7f4a_7c15, 9).expect("its own context");
    let sync = |set: &mut DvvSet<u64, u64>| _ = set.sync(black_box(&there));
    let rounds = |run: &dyn Fn() -> f64| median((0..ROUNDS).map(|_| run()).collect());
    print("dvvset-put/3", rounds(&|| time(vec![before.clone(); BATCH], put)), 535.0);
    print("dvvset-sync/3", rounds(&|| time(vec![here.clone(); BATCH], sync)), 326.0);
}

/// A hole, then 100,000 dots. Peers: a bitmap's bytes (the reference's node clock), the tokens' bars.
fn sizes() {
    let mut context = CausalContext::<u64>::new();
    context.insert(Dot::new(1, 1));
    (3..100_003).for_each(|counter| {
        context.insert(Dot::new(1, counter));
    });
    print("hole-bytes/100000", context.to_bytes().len() as f64, 12_500.0);
    let token = |dots: CausalContext<_>| Token::new(dots).to_text(b"cart").expect("short").len() as f64;
    let uuids = (1..=3).map(|n| Dot::new((u128::MAX / n).to_be_bytes(), 100_000)).collect();
    print("token-chars/3-uuid", Token::new(uuids).to_text(b"cart").expect("short").len() as f64, 100.0);
    print("token-chars/3-u64", token((1..=3).map(|n| Dot::new(u64::MAX / n, 4_000)).collect()), 48.0);
}

fn main() {
    for n in [3, 16, 64] {
        clocks(n);
        registers(n);
    }
    dvv_sets();
    sizes();
}
